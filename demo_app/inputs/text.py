"""Text of visitors: shortened for messages, cleaned for models."""

from __future__ import annotations


def short(text: str, most: int = 40) -> str:
    """What a stranger wrote, fit to be quoted in a sentence: on one line, and not longer than that.

    >>> short("a label that fits"), short("and one that does not", 12)
    ('a label that fits', 'and one tha…')
    """
    text = clean(text[: most + 1]).replace("\n", " ").replace("\r", " ")
    return text if len(text) <= most else text[: most - 1] + "…"


def clean(text: str) -> str:
    """The text with half characters (lone surrogates), which JSON can carry and UTF-8 cannot, made question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")
