"""Translations of texts: an English text is its own key.

A demo's `translations` map, for each language, the English texts of its tab to their translations. A text that has
details is a template: `say("{n} rows", n=3)` looks up "{n} rows", then formats it. Values that are texts are looked up
too, unless the template quotes them: “{name}”. A text that was formatted before, as by an f-string, is not found.

Texts that are on the page from the start are translated in the browser, by Gradio: `components.mark` puts markers into
the page's configuration, and only there, so components, the API and its clients see English alone. A marker's key never
equals a text of the page: Gradio also looks up values, and would translate the value `average` to something that is not
among the choices. The key starts with the English text, which shows for a moment at the start. While the page is built,
`recording` notes which templates its texts were made of. Texts that a handler makes later are translated by `say`, into
the language that `speaking` sets for the visitor. Imports neither gradio nor torch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

Translations = Mapping[str, Mapping[str, str]]  # language -> English text -> the same in that language
Find = Callable[[str, str], str | None]  # (English text, language) -> its translation
Formatted = Mapping[str, tuple[str, Mapping[str, Any]]]  # English text -> the template and the values it was made of

_listener: ContextVar[tuple[Catalog, str] | None] = ContextVar("listener", default=None)
_formatted: ContextVar[dict[str, tuple[str, Mapping[str, Any]]] | None] = ContextVar("formatted", default=None)

_DOT = " · "


class Catalog:
    """Translations into several languages.

    `formatted` are the texts that were made of templates while the page was built; see `recording`.
    """

    def __init__(self, translations: Translations, formatted: Formatted | None = None) -> None:
        self._formatted = formatted or {}
        self._texts = {
            language: {inspect.cleandoc(text): inspect.cleandoc(found) for text, found in texts.items()}
            for language, texts in translations.items()
        }

    @property
    def languages(self) -> list[str]:
        """The languages, as `translations` name them."""
        return list(self._texts)

    def find(self, text: str, language: str) -> str | None:
        """The text in that language, or `None` if there is no translation. Facts between dots are looked up one by one.

        >>> catalog = Catalog({"de": {"Row": "Zeile", "first": "erste"}})
        >>> catalog.find("Row", "de"), catalog.find("first · 3", "de"), catalog.find("Column", "de")
        ('Zeile', 'erste · 3', None)
        """
        found = self._texts.get(language, {}).get(text)
        if found is not None:
            return found
        if text in self._formatted:
            template, values = self._formatted[text]
            if (found := self.format(template, values, language)) is not None:
                return found
        if _DOT in text:
            facts = [(fact, self.find(fact, language)) for fact in text.split(_DOT)]
            if any(found for _, found in facts):
                return _DOT.join(found or fact for fact, found in facts)
        return None

    def format(self, template: str, values: Mapping[str, Any], language: str) -> str | None:
        """The template in that language with its values filled in; `None` if there is no translation.

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
        """The text in the language that a browser accepts; in English if there is no translation."""
        language = self.language_of(accepted)
        return (self.find(text, language) if language else None) or text

    def language_of(self, accepted: str) -> str | None:
        """The language for a browser, chosen by its header Accept-Language as Gradio chooses it in the page.

        >>> Catalog({"zh-CN": {}, "de": {}}).language_of("de-AT,de;q=0.9,en;q=0.8")
        'de'
        """
        first = accepted.split(",")[0].split(";")[0].strip()
        known = {language.lower(): language for language in self._texts}
        return known.get(first.lower()) or known.get(first.lower().partition("-")[0])


def merged(sources: Iterable[Translations], formatted: Formatted | None = None) -> Catalog:
    """One catalog of several translations; of two translations of a text the earlier one counts."""
    texts: dict[str, dict[str, str]] = {}
    for source in sources:
        for language, known in source.items():
            texts[language] = {**known, **texts.get(language, {})}
    return Catalog(texts, formatted)


@contextmanager
def speaking(catalog: Catalog, language: str | None) -> Iterator[None]:
    """Inside, `say` translates into that language; `None` is English."""
    token = _listener.set((catalog, language) if language is not None else None)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def recording() -> Iterator[dict[str, tuple[str, Mapping[str, Any]]]]:
    """Inside, `say` notes in the dictionary which template and values each of its texts was made of.

    The page is built in English, once for all visitors; a `Catalog` with the dictionary translates it for each.
    """
    token = _formatted.set({})
    try:
        formatted = _formatted.get()
        assert formatted is not None
        yield formatted
    finally:
        _formatted.reset(token)


def say(text: str, /, **values: Any) -> str:
    """The text in the language of the visitor whose event is being handled, with `values` filled in.

    It is English if no visitor is known: while the page is built, and for programs, which name no language.

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
