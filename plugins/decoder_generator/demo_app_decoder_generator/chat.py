"""Conversations in the format that a chat model was tuned on: its published template, rendered as `transformers` does.

A template is Jinja code from the checkpoint's repository, so it runs in a sandbox that can neither reach Python's
objects nor change its arguments.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import Template, TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from demo_app import DemoError, InputError
from demo_app.inputs.text import clean

ROLES = ("system", "user", "assistant")
MAX_TURNS = 200
MAX_CHARACTERS = 200_000  # of all turns together


def template_of(folder: Path) -> str | None:
    """The checkpoint's chat template: chat_template.jinja, else the one in tokenizer_config.json; `None` without one.

    Of several in tokenizer_config.json it is the one named "default". Raises `DemoError` for an unreadable file.
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
            "tokenizer_config.json in {folder} cannot be read; fetch the checkpoint again.", folder=folder.name
        ) from error
    return found if isinstance(found, str) else None


def turns(history: Sequence[Mapping[str, Any]] | None) -> list[tuple[str, str]]:
    """(role, text) of each message of a `gr.Chatbot`, whose content is a text or a list of parts.

    Raises `InputError` for what is no conversation, and for one that is too long.
    """
    found = []
    if len(history or ()) > MAX_TURNS:
        raise InputError(
            "The conversation has {count} turns and the limit is {limit}; press Clear and begin a new one.",
            count=f"{len(history or ()):,}",
            limit=MAX_TURNS,
        )
    for message in history or ():
        if not isinstance(message, Mapping) or not {"role", "content"} <= set(message):
            raise InputError("A turn of the conversation has no role or no content; press Clear and begin a new one.")
        content = message["content"]
        if not isinstance(content, str):
            parts = content if isinstance(content, list | tuple) else ()
            content = "".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))
        found.append((str(message["role"]), clean(content)))
    count = sum(len(content) for _, content in found)
    if count > MAX_CHARACTERS:
        raise InputError(
            "The conversation has {count} characters and the limit is {limit}; press Clear and begin a new one.",
            count=f"{count:,}",
            limit=f"{MAX_CHARACTERS:,}",
        )
    return found


def conversation(template: str, messages: Sequence[tuple[str, str]]) -> str:
    """Render messages, (role, content) each, as the text after which the model writes the assistant's answer.

    A role is one of `ROLES`; a template adds its default system message if there is none. The template gets no names of
    special tokens, no tools and no documents: the published ones here do not need them. Raises `InputError` if the
    template refuses the messages, `DemoError` if it cannot be compiled.
    """
    if not messages:
        raise InputError("The conversation is empty; write a message first.")
    for role, _ in messages:
        if role not in ROLES:
            raise InputError(
                "The role {role} is unknown; choose one of: {known}.", role=repr(role), known=", ".join(ROLES)
            )
    try:
        compiled = _compiled(template)
    except TemplateError as error:
        raise DemoError(
            "The model's chat template cannot be read ({error}); fetch the checkpoint again.", error=str(error)
        ) from error
    given = [{"role": role, "content": content} for role, content in messages]
    try:
        return compiled.render(messages=given, tools=None, documents=None, add_generation_prompt=True)
    except TemplateError as error:
        raise InputError(
            "The model cannot read this conversation ({error}); begin a new one.", error=str(error)
        ) from error


@lru_cache(maxsize=8)
def _compiled(template: str) -> Template:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(template)


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None) -> str:
    """Without the HTML escapes of Jinja's own filter: the reader is a model."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)
