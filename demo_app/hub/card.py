"""The YAML header of a model card."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from demo_app.errors import DemoError

# A README with a header


def split_header(text: str) -> tuple[dict[str, Any], str]:
    """The fields of a README's YAML header, and the text below it. Raises `DemoError` for a header that is none."""
    match = re.match(r"---\r?\n(.*?)(?:^---[ \t]*\r?\n|^---[ \t]*\Z)", text, re.DOTALL | re.MULTILINE)
    if match is None:
        return {}, text
    try:
        fields = yaml.safe_load(match[1]) or {}
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 2}" if where else ""
        raise DemoError(f"The header of README.md is no YAML{line}; mend what is between the two '---'.") from None
    if not isinstance(fields, dict):
        raise DemoError("The header of README.md has no fields; write `name: value` lines between the two '---'.")
    return fields, text[match.end() :]


def join_header(fields: Mapping[str, Any], body: str) -> str:
    return f"---\n{yaml.safe_dump(dict(fields), sort_keys=False, allow_unicode=True, width=1000)}---\n{body}"
