"""The texts to try."""

from __future__ import annotations

from demo_app_translator.example import SENTENCE

EXAMPLES = (
    SENTENCE,
    "Two dogs are playing with a red ball in the snow.",
    "A woman in a blue dress is selling fruit at a street market.",
    "Three children are sitting on a wall. One of them is reading a book.",
    "I do not know what to say.",
)
