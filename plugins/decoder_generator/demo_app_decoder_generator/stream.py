"""Ids to text, piece by piece: no half characters, and nothing of a stop string.

In byte-level BPE a character may be several tokens (rare Chinese ones, most emoji), and a token may end one character
and begin the next. So ids are collected until the last character is complete. `tokenizers.decoders.DecodeStream` does
the same, but cannot be asked for the rest at the end.
"""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer

from demo_app import InputError

BROKEN = "\N{REPLACEMENT CHARACTER}"  # a decoder's output for bytes that are no character, or not yet one
LEAD = 8  # tokens of the prompt that are decoded with the first one: no character has more


class TextStream:
    """The text of one generation as it comes. Not thread-safe."""

    def __init__(self, tokenizer: Tokenizer, *, stop: Sequence[str] = (), prompt_ids: Sequence[int] = ()) -> None:
        """`prompt_ids` come before the text: the first piece completes a character that they leave half.

        The text ends before whichever of the `stop` strings is complete first. Raises `InputError` for an empty one.
        """
        if not all(stop):
            raise InputError("A stop string is empty; leave it out or write what shall end the text.")
        self.stopped = False
        self._tokenizer = tokenizer
        self._stop = tuple(stop)
        self._ids = list(prompt_ids[-LEAD:])  # the last tokens that were returned, then those that were not
        self._lead = len(self._ids)
        self._given = _whole(self._decode(self._ids))  # the part of their text that was returned
        self._held = ""  # complete characters that may be the beginning of a stop string

    def push(self, id: int) -> str:
        """The text that this token completes; empty while a character, or possibly a stop string, is incomplete."""
        if self.stopped:
            return ""
        self._ids.append(id)
        return self._release(self._fresh(last=False), last=False)

    def flush(self) -> str:
        """The rest after the last token: text that was held back, and half a character as U+FFFD."""
        if self.stopped:
            return ""
        return self._release(self._fresh(last=True), last=True)

    def _fresh(self, *, last: bool) -> str:
        """The text that was completed since the last call."""
        text = self._decode(self._ids)
        if len(self._ids) == self._lead or (text.endswith(BROKEN) and not last):
            return ""
        fresh = text[len(self._given) :]
        if fresh:  # these tokens become the lead: a decoder's output depends on the token before
            self._ids = self._ids[self._lead :]
            self._lead = len(self._ids)
            self._given = self._decode(self._ids)
        return fresh

    def _release(self, fresh: str, *, last: bool) -> str:
        """The part of the held and the fresh text that certainly comes before every stop string."""
        text = self._held + fresh
        ends = [(at + len(string), at) for string in self._stop if (at := text.find(string)) >= 0]
        if ends:
            self.stopped, self._held = True, ""
            return text[: min(ends)[1]]
        keep = 0 if last else _begun(text, self._stop)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text


def _whole(text: str) -> str:
    """The text without an incomplete character at its end."""
    return text.rstrip(BROKEN)


def _begun(text: str, stop: Sequence[str]) -> int:
    """How many characters at the end of the text may be the beginning of a stop string."""
    longest = max((len(string) - 1 for string in stop), default=0)
    for count in range(min(longest, len(text)), 0, -1):
        if any(string.startswith(text[-count:]) for string in stop):
            return count
    return 0
