"""Text of visitors: shortened for messages, cleaned for models; and why a file cannot be read."""

from __future__ import annotations


def short(text: str, most: int = 40) -> str:
    """The text on one line of at most `most` characters, to be quoted in a sentence.

    >>> short("a label that fits"), short("and one that does not", 12)
    ('a label that fits', 'and one tha…')
    """
    text = clean(text[: most + 1]).replace("\n", " ").replace("\r", " ")
    return text if len(text) <= most else text[: most - 1] + "…"


def clean(text: str) -> str:
    """The text with lone surrogates, which JSON can carry and UTF-8 cannot, replaced by question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def reason_of(error: Exception) -> str:
    """Why a file could not be opened, in the operating system's words: "No such file or directory"."""
    return (isinstance(error, OSError) and error.strerror) or str(error)
