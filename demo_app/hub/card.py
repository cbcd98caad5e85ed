"""The YAML header of a model card, which is the README.md of a repository."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from demo_app.errors import DemoError


def split_header(text: str) -> tuple[dict[str, Any], str]:
    """The fields of a README's YAML header, and the text below it. Raises `DemoError` for a header that is not YAML."""
    match = re.match(r"---\r?\n(.*?)(?:^---[ \t]*\r?\n|^---[ \t]*\Z)", text, re.DOTALL | re.MULTILINE)
    if match is None:
        return {}, text
    try:
        fields = yaml.safe_load(match[1]) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise DemoError(
            "The header of README.md is no YAML{line}; fix what is between the two '---'.",
            line=f", line {mark.line + 2}" if mark else "",
        ) from None
    if not isinstance(fields, dict):
        raise DemoError("The header of README.md has no fields; write `name: value` lines between the two '---'.")
    return fields, text[match.end() :]


def join_header(fields: Mapping[str, Any], body: str) -> str:
    """A README with these fields as its YAML header, and `body` below it."""
    return f"---\n{yaml.safe_dump(dict(fields), sort_keys=False, allow_unicode=True, width=1000)}---\n{body}"
