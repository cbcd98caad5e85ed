"""The page in the language of the visitor's browser: an English text is its own key.

A demo's `translations` map, for each language, the English texts of its tab to their translations. A text whose
details vary is a template: `say("{n} rows", n=3)` looks up "{n} rows", then formats it. Values that are texts are
looked up too, unless the template quotes them: “{name}”.

Texts that are on the page from the start are translated in the browser, by Gradio: `mark` puts markers into the page's
configuration, and only there, so components, the API and its clients see English alone. A marker's key never equals a
text of the page: Gradio also looks up values, and would translate the value `average` to something that is not among
the choices. The key starts with the English text, which shows for a moment at the start. What a handler says later is
translated by `say`, in the language of the visitor whom `speaking` names. Imports neither gradio nor torch.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

Translations = Mapping[str, Mapping[str, str]]  # language -> English text -> the same in that language
Find = Callable[[str, str], str | None]  # (English text, language) -> its translation
Formatted = Mapping[str, tuple[str, Mapping[str, Any]]]  # English text -> the template and the values it was made of

_listener: ContextVar[tuple[Catalog, str] | None] = ContextVar("listener", default=None)
_formatted: ContextVar[dict[str, tuple[str, Mapping[str, Any]]] | None] = ContextVar("formatted", default=None)

_DOT = " · "
_PLACE = re.compile(r"\{([a-z_]+)\}")


class Catalog:
    """Translations that can be asked for a text."""

    def __init__(self, translations: Translations, formatted: Formatted | None = None) -> None:
        self._formatted = formatted or {}
        self._texts = {
            language: {inspect.cleandoc(text): inspect.cleandoc(said) for text, said in texts.items()}
            for language, texts in translations.items()
        }
        self._patterns = {
            language: [(_pattern(text), said) for text, said in texts.items() if _PLACE.search(text)]
            for language, texts in self._texts.items()
        }

    @property
    def languages(self) -> list[str]:
        return list(self._texts)

    def find(self, text: str, language: str) -> str | None:
        """The text in that language, or `None` where it is not known. Facts between dots are looked up one by one.

        >>> catalog = Catalog({"de": {"Row {n}": "Zeile {n}", "first": "erste"}})
        >>> catalog.find("Row 12", "de"), catalog.find("Row first", "de"), catalog.find("Column", "de")
        ('Zeile 12', 'Zeile erste', None)
        """
        found = self._texts.get(language, {}).get(text)
        if found is not None:
            return found
        if text in self._formatted:
            template, values = self._formatted[text]
            return self.format(template, values, language)
        if _DOT in text:
            facts = [(fact, self.find(fact, language)) for fact in text.split(_DOT)]
            return _DOT.join(said or fact for fact, said in facts) if any(said for _, said in facts) else None
        for pattern, said in self._patterns.get(language, ()):
            match = pattern.fullmatch(text)
            if match:
                stands = match.groupdict()
                parts = _PLACE.split(said)
                for i in range(1, len(parts), 2):
                    part = stands.get(parts[i], f"{{{parts[i]}}}")
                    quoted = parts[i - 1].endswith("“") and parts[i + 1].startswith("”")
                    parts[i] = part if quoted else self.find(part, language) or part
                return "".join(parts)
        return None

    def format(self, template: str, values: Mapping[str, Any], language: str) -> str | None:
        """The template in that language with its values filled in; `None` where the language does not know it.

        >>> catalog = Catalog({"de": {"{n} rows of “{name}”": "{n} Zeilen aus „{name}“", "first": "erste"}})
        >>> catalog.format("{n} rows of “{name}”", {"n": 3, "name": "first"}, "de")
        '3 Zeilen aus „first“'
        """
        found = self._texts.get(language, {}).get(template)
        if found is None:
            return None
        return found.format(**{name: self._value(template, name, value, language) for name, value in values.items()})

    def _value(self, template: str, name: str, value: Any, language: str) -> Any:
        quoted = f"“{{{name}}}”" in template
        return value if quoted or not isinstance(value, str) else self.find(value, language) or value

    def say(self, text: str, accepted: str) -> str:
        """The text in the language that a browser accepts; unchanged where that language does not know it."""
        language = self.language_of(accepted)
        return (self.find(text, language) if language else None) or text

    def language_of(self, accepted: str) -> str | None:
        """Which of the languages a browser wants, by its header Accept-Language, as Gradio chooses in the page.

        >>> Catalog({"zh-CN": {}, "de": {}}).language_of("de-AT,de;q=0.9,en;q=0.8")
        'de'
        """
        first = accepted.split(",")[0].split(";")[0].strip()
        known = {language.lower(): language for language in self._texts}
        return known.get(first.lower()) or known.get(first.lower().partition("-")[0])


@cache  # the host's own are in the catalog of every demo
def _pattern(text: str) -> re.Pattern[str]:
    """Of a text with places; a name that comes twice is the same both times."""
    parts, seen = _PLACE.split(text), set[str]()
    for i in range(1, len(parts), 2):
        name = parts[i]
        parts[i] = f"(?P={name})" if name in seen else f"(?P<{name}>.*?)"
        seen.add(name)
    parts[::2] = map(re.escape, parts[::2])
    return re.compile("".join(parts), re.DOTALL)


def merged(sources: Iterable[Translations], formatted: Formatted | None = None) -> Catalog:
    """One catalog of several; where two know a text, the earlier one is taken."""
    texts: dict[str, dict[str, str]] = {}
    for source in sources:
        for language, known in source.items():
            texts[language] = {**known, **texts.get(language, {})}
    return Catalog(texts, formatted)


@contextmanager
def speaking(catalog: Catalog, language: str | None) -> Iterator[None]:
    """Inside, `say` speaks that language; English where it is `None`."""
    token = _listener.set((catalog, language) if language is not None else None)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def recording() -> Iterator[dict[str, tuple[str, Mapping[str, Any]]]]:
    """Inside, `say` notes which template each of its texts was made of, for a `Catalog` to translate them later.

    The page is built in English, once for all visitors, and translated for each.
    """
    token = _formatted.set({})
    try:
        formatted = _formatted.get()
        assert formatted is not None
        yield formatted
    finally:
        _formatted.reset(token)


def say(text: str, /, **values: Any) -> str:
    """The text in the language of the visitor whose event is being handled, `values` filled in at their `{names}`.

    English where no visitor is known: at start, and for programs that call the API, which name no language.

    >>> say("{n} rows", n=3)
    '3 rows'
    """
    listener = _listener.get()
    if listener is not None:
        catalog, language = listener
        found = catalog.format(text, values, language) if values else catalog.find(text, language)
        if found is not None:
            return found
    said = text.format(**values) if values else text
    formatted = _formatted.get()
    if values and formatted is not None:
        formatted[said] = (text, values)
    return said
