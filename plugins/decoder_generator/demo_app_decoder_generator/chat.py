"""Conversations as a model that was tuned to them expects: its own published template, rendered as `transformers` does.

A template is Jinja from the checkpoint's repository, so it runs in a sandbox that can neither reach Python's objects
nor change what it is given.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import Template, TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from demo_app import DemoError, InputError

ROLES = ("system", "user", "assistant")


def template_of(folder: Path) -> str | None:
    """The checkpoint's chat template: chat_template.jinja, else the one in tokenizer_config.json; `None` without one.

    Where tokenizer_config.json has several, it is the one named "default". Raises `DemoError` for an unreadable file.
    """
    alone, config = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    try:
        if alone.is_file():
            return alone.read_text("utf-8")
        if not config.is_file():
            return None
        found = json.loads(config.read_text("utf-8")).get("chat_template")
        if isinstance(found, list):
            found = {entry["name"]: entry["template"] for entry in found}.get("default")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DemoError(
            f"tokenizer_config.json in {folder.name} cannot be read; fetch the checkpoint again."
        ) from error
    return found if isinstance(found, str) else None


def conversation(template: str, messages: Sequence[tuple[str, str]]) -> str:
    """The text that the model goes on from as the assistant: all messages, (role, content) each, as the template says.

    A role is one of `ROLES`; a template adds its default system message where there is none. The names of special
    tokens, tools and documents are not given to the template: none of this plugin's published ones needs them here.
    Raises `InputError` where the template refuses the messages, `DemoError` where it is no template.
    """
    if not messages:
        raise InputError("The conversation is empty; write a message first.")
    for role, _ in messages:
        if role not in ROLES:
            raise InputError(f"The role {role!r} is unknown; choose one of: {', '.join(ROLES)}.")
    try:
        compiled = _compiled(template)
    except TemplateError as error:
        raise DemoError(f"The model's chat template cannot be read ({error}); fetch the checkpoint again.") from error
    given = [{"role": role, "content": content} for role, content in messages]
    try:
        return compiled.render(messages=given, tools=None, documents=None, add_generation_prompt=True)
    except TemplateError as error:
        raise InputError(f"The model cannot read this conversation ({error}); begin a new one.") from error


@lru_cache(maxsize=8)
def _compiled(template: str) -> Template:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(template)


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None) -> str:
    """Jinja's own escapes for HTML, and a model reads no HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)
