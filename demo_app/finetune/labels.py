"""Labels as people write them: which look alike, how each is spelled, and when an example has two."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

from demo_app.i18n import say


def normalised(label: str) -> str:
    """The same for labels that look the same: ignores capitals, Unicode forms, extra spaces, invisible characters."""
    label = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", label).casefold())
    return " ".join("".join(letter for letter in label if unicodedata.category(letter) != "Cf").split())


def spellings(written: Sequence[str], same: bool | None) -> tuple[dict[str, str], tuple[tuple[str, ...], ...]]:
    """The spelling of each label to use, and the groups of labels that look alike, the most frequent of each first.

    With `same`, labels that look alike get the spelling of the most frequent one.
    """
    groups: dict[str, list[str]] = {}
    for label, _ in Counter(written).most_common():
        groups.setdefault(normalised(label), []).append(label)
    spelling = {}
    for group in groups.values():
        for label in group:
            spelling[label] = label if len(group) > 1 and not same else group[0].strip()
    return spelling, tuple(tuple(group) for group in groups.values() if len(group) > 1)


def is_blank(text: str) -> bool:
    """Whether nothing of the text can be seen."""
    return not any(letter.isprintable() and not letter.isspace() for letter in text)


def and_more(first: str, count: int) -> str:
    """The first of several things, and how many more there are; 0: none.

    >>> and_more("'joy'", 2), and_more("'joy'", 0)
    ("'joy' (and 2 more)", "'joy'")
    """
    return say("{first} (and {count} more)", first=first, count=f"{count:,}") if count > 0 else first
