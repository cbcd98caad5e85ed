"""Ids to text, piece by piece: no half characters, and nothing of a stop string.

A character may be several tokens of byte-level BPE (most Chinese ones that are rare, most emoji), and a token may end
one character and begin the next. What a piece holds is therefore decided by the text: it grows until the last character
is whole. `tokenizers.decoders.DecodeStream` does the same but keeps what it holds: it cannot be asked for the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer

from demo_app import InputError

BROKEN = "\N{REPLACEMENT CHARACTER}"  # what a decoder writes for bytes that are no character, or not yet one
LEAD = 8  # tokens before the first that are decoded with it: no character is longer


class TextStream:
    """The text of one generation as it comes. Not for several threads at once."""

    def __init__(self, tokenizer: Tokenizer, *, stop: Sequence[str] = (), prompt_ids: Sequence[int] = ()) -> None:
        """`prompt_ids` is what the text goes on from: a character that it leaves half is completed by the first piece.

        The text ends before that of the strings in `stop` that is complete first. Raises `InputError` for an empty one.
        """
        if not all(stop):
            raise InputError("A stop string is empty; leave it out or write what shall end the text.")
        self.stopped = False
        self._tokenizer = tokenizer
        self._stop = tuple(stop)
        self._ids = list(prompt_ids[-LEAD:])  # the last tokens that were given out, then those that were not
        self._lead = len(self._ids)
        self._given = _whole(self._decode(self._ids))  # the text of these ids that was given out
        self._held = ""  # whole characters that may be the beginning of a stop string

    def push(self, id: int) -> str:
        """The text that this token completes; empty while a character, or perhaps a stop string, is not whole."""
        if self.stopped:
            return ""
        self._ids.append(id)
        return self._release(self._fresh(last=False), last=False)

    def flush(self) -> str:
        """What is left when no more tokens come: text that was held back, and half a character as U+FFFD."""
        if self.stopped:
            return ""
        return self._release(self._fresh(last=True), last=True)

    def _fresh(self, *, last: bool) -> str:
        """Text that the ids have become since it was last asked for."""
        text = self._decode(self._ids)
        if len(self._ids) == self._lead or (text.endswith(BROKEN) and not last):
            return ""
        fresh = text[len(self._given) :]
        if fresh:  # from here on these tokens are the lead: decoders look at what is before a token
            self._ids = self._ids[self._lead :]
            self._lead = len(self._ids)
            self._given = self._decode(self._ids)
        return fresh

    def _release(self, fresh: str, *, last: bool) -> str:
        """What of the held and the fresh text is certain to come before every stop string."""
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
    """The text without a character at its end that is not whole."""
    return text.rstrip(BROKEN)


def _begun(text: str, stop: Sequence[str]) -> int:
    """How many characters at the end of the text may be the beginning of a stop string."""
    longest = max((len(string) - 1 for string in stop), default=0)
    for count in range(min(longest, len(text)), 0, -1):
        if any(string.startswith(text[-count:]) for string in stop):
            return count
    return 0
