"""A prompt as the network reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from demo_app import InputError, viz
from demo_app.i18n import say
from demo_app.inputs.numbers import whole_number
from demo_app.inputs.text import clean

if TYPE_CHECKING:
    from demo_app_decoder_generator.writer import Writer

FORMS = {"five": 5, "seven": 7, "free": 0}  # characters a line of a poem
MAX_TOKENS = 1000  # that a visitor may ask for
MAX_UNKNOWN = 12  # unknown characters that are named


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """The ids to continue, and what the visitor reads about them."""

    ids: tuple[int, ...]
    shown: str  # the prompt as it stands before the text that is written
    max_tokens: int  # to write
    notes: tuple[str, ...] = ()  # in the visitor's language

    @classmethod
    def of(cls, writer: Writer, text: str, form: str, max_tokens: Any) -> Prompt:
        """Encode a visitor's prompt, cut from the left to leave room for `max_tokens`.

        Raises `InputError` for an empty prompt, one of unknown characters alone, an unknown form, or a number of tokens
        that is not from 1 to `MAX_TOKENS`.
        """
        if form not in FORMS:
            raise InputError(
                "There is no form {form}; choose one of: {known}.", form=repr(form), known=", ".join(FORMS)
            )
        text = clean(text or "")
        if not text.strip():
            raise InputError("The prompt is empty; write at least one character.")
        ids, shown = writer.prompt(text, FORMS[form])
        if not ids:
            raise InputError(
                "The model knows none of these characters: {characters}; write others.",
                characters=viz.escape(text[:20]),
            )
        count = whole_number(max_tokens, "Tokens at most", least=1, most=MAX_TOKENS)
        notes = []
        if unknown := writer.unknown(text):
            characters = " ".join(unknown[:MAX_UNKNOWN]) + (" …" if len(unknown) > MAX_UNKNOWN else "")
            notes.append(say("left out, since the model does not know them: {characters}", characters=characters))
        room = writer.engine.room(count)
        if len(ids) > room:
            notes.append(
                say(
                    "the prompt was shortened from the left to its last {kept} of {count} tokens",
                    kept=f"{room:,}",
                    count=f"{len(ids):,}",
                )
            )
        return cls(ids=tuple(ids[-room:]), shown=shown, max_tokens=count, notes=tuple(notes))
