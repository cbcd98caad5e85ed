"""Texts as sentences, and sentences as texts. Imports neither gradio nor torch."""

from __future__ import annotations

import re
from collections.abc import Sequence

from demo_app import InputError

SPACELESS = ("zh", "ja", "th")  # languages written without spaces between words
BOUNDARY = re.compile(
    r"(?:(?<=[.!?…])|(?<=[.!?…][\"'”’)\]]))\s+(?=\S)|(?<=[。！？])(?=[^”’」』）])|\n+"
)  # between two sentences


def sentences(text: str) -> list[str]:
    """Split a text after each sentence and line, since the network has learned from single sentences.

    Raises `InputError` if there are none.
    """
    found = [part.strip() for part in BOUNDARY.split(text) if part and part.strip()]
    if not found:
        raise InputError("There is nothing to translate; write a sentence.")
    return found


def joined(texts: Sequence[str], language: str) -> str:
    """Sentences as one text, with spaces between them if the language uses spaces."""
    return ("" if language in SPACELESS else " ").join(text for text in texts if text)
