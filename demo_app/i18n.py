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

import hashlib
import html
import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

Translations = Mapping[str, Mapping[str, str]]  # language -> English text -> the same in that language
Find = Callable[[str, str], str | None]  # (English text, language) -> its translation
Formatted = Mapping[str, tuple[str, Mapping[str, Any]]]  # English text -> the template and the values it was made of

SHOWN = ("label", "info", "placeholder", "title", "x_title", "y_title", "description")  # props that are words for eyes
VALUES = ("button", "downloadbutton", "markdown", "html", "uploadbutton")  # components whose value is such words
MOST_HTML = 10_000  # characters of a drawing that every visitor is sent in all languages

_listener: ContextVar[tuple[Catalog, str] | None] = ContextVar("listener", default=None)
_formatted: ContextVar[dict[str, tuple[str, Mapping[str, Any]]] | None] = ContextVar("formatted", default=None)

_DOT = " · "
_PLACE = re.compile(r"\{([a-z_]+)\}")
_MARKER = "__i18n__"
_UNSEEN = "\u2063"  # a character that no font shows
MOST_KEY = 60  # characters of a key
_TAG = re.compile(r"(<[^>]*>)")


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


def translate_html(drawing: str) -> str:
    """A drawing with the texts between its tags in that language."""
    parts = _TAG.split(drawing)
    for i, words in _between_tags(parts):
        parts[i] = parts[i].replace(parts[i].strip(), html.escape(say(words)))
    return "".join(parts)


def translate_updates(result: Any) -> Any:
    """What a handler returns, with the labels and choices of its `gr.update(...)`s in that language."""
    if isinstance(result, tuple | list):
        return type(result)(map(translate_updates, result)) if any(_is_update(part) for part in result) else result
    if not _is_update(result):
        return result
    said: dict[str, Any] = {prop: say(text) for prop, text in result.items() if prop in SHOWN and isinstance(text, str)}
    if _has_choices(result):
        said["choices"] = [
            (say(label), value) if isinstance(label, str) else (label, value) for label, value in result["choices"]
        ]
    return {**result, **said}


def _is_update(value: Any) -> bool:
    return isinstance(value, dict) and value.get("__type__") == "update"


@dataclass(frozen=True)
class Marks:
    """What the page's markers stand for, as Gradio's `I18n` wants it: language -> key -> text."""

    entries: dict[str, dict[str, str]] = field(default_factory=dict)

    def marked(self, text: str, find: Find, languages: Iterable[str], owner: str) -> str:
        """A marker for the text, or the text itself where no language knows it."""
        known = {language: said for language in languages if (said := find(text, language)) is not None}
        if not known:
            return text
        key = _UNSEEN + (text if len(text) <= MOST_KEY else hashlib.sha256(text.encode()).hexdigest()[:16])
        if any(self.entries.get(language, {}).get(key, said) != said for language, said in known.items()):
            key += f"{_UNSEEN}{owner}"  # another demo says it differently
        for language, said in {"en": text, **known}.items():
            self.entries.setdefault(language, {})[key] = said
        data = json.dumps({"__type__": "translation_metadata", "key": key}, ensure_ascii=False)
        return _MARKER + data[:-1].replace("}", r"\u007d") + "}"  # Gradio reads up to the first brace


def mark(config: Mapping[str, Any], catalogs: Mapping[int, tuple[str, Catalog]]) -> Marks:
    """Put markers into the page's configuration, in place. `catalogs`: by component, its demo and what that knows."""
    marks = Marks()
    for component in config["components"]:
        if component["id"] in catalogs:
            owner, catalog = catalogs[component["id"]]
            props = component["props"]
            for prop, text, find in _words(component["type"], props, catalog):
                props[prop] = marks.marked(text, find, catalog.languages, owner)
            if _has_choices(props):
                props["choices"] = [
                    (marks.marked(label, catalog.find, catalog.languages, owner), value)
                    if isinstance(label, str)
                    else (label, value)
                    for label, value in props["choices"]
                ]
    return marks


def _words(kind: str, props: Mapping[str, Any], catalog: Catalog) -> Iterator[tuple[str, str, Find]]:
    """(prop, text, how to find its translation) of a component, without what its choices are called."""
    for prop in (*SHOWN, *(["value"] if kind in VALUES else [])):
        text = props.get(prop)
        if isinstance(text, str) and text and not text.startswith(_MARKER):
            if prop != "value" or kind not in ("html", "markdown"):
                yield prop, text, catalog.find
            elif kind == "markdown":
                yield prop, text, partial(_in_markdown, catalog)
            elif not is_large(text):
                yield prop, text, partial(_in_html, catalog)


def is_large(drawing: Any) -> bool:
    """Whether a value is a drawing that is said to each visitor rather than sent in all languages."""
    return isinstance(drawing, str) and len(drawing) > MOST_HTML


def _has_choices(props: Mapping[str, Any]) -> bool:
    choices = props.get("choices")
    return isinstance(choices, list) and all(isinstance(c, list | tuple) and len(c) == 2 for c in choices)


def _in_markdown(catalog: Catalog, text: str, language: str) -> str | None:
    """Markdown, or plain text that was escaped to be Markdown."""
    said = catalog.find(text, language)
    if said is None and (said := catalog.find(html.unescape(text), language)) is not None:
        said = html.escape(said)
    return said


def _in_html(catalog: Catalog, text: str, language: str) -> str | None:
    """HTML with the texts between its tags translated; `None` where none is known."""
    parts, any_known = _TAG.split(text), False
    for i, words in _between_tags(parts):
        said = catalog.find(words, language)
        if said is not None:
            parts[i], any_known = parts[i].replace(parts[i].strip(), html.escape(said)), True
    return "".join(parts) if any_known else None


def _between_tags(parts: Sequence[str]) -> Iterator[tuple[int, str]]:
    """(place, text) of the words in HTML that was split at its tags, but for what is inside `translate="no"`."""
    kept, depth = "", 0  # the element that is left alone, and how many of its name are open in it
    for i, part in enumerate(parts):
        if i % 2 == 0:
            if not kept and part.strip():
                yield i, html.unescape(part.strip())
            continue
        name = re.split(r"[\s/>]", part[1:].lstrip("/"), maxsplit=1)[0]
        if not kept and 'translate="no"' in part:
            kept, depth = name, 1
        elif kept == name:
            depth += -1 if part.startswith("</") else 1
            kept = kept if depth else ""


def texts(config: Mapping[str, Any], ids: Iterable[int]) -> Iterator[str]:
    """The English texts of components, unmarked: what a translation of their tab should know."""
    wanted, unknown = set(ids), Catalog({})
    for component in config["components"]:
        if component["id"] in wanted:
            props = component["props"]
            for prop, text, _ in _words(component["type"], props, unknown):
                if component["type"] == "html" and prop == "value":
                    yield from (words for _, words in _between_tags(_TAG.split(text)))
                else:
                    yield text
            if component["type"] == "html" and is_large(props.get("value")):
                yield from (words for _, words in _between_tags(_TAG.split(props["value"])))
            if _has_choices(props):  # a choice that is called by its value is data
                yield from (label for label, value in props["choices"] if isinstance(label, str) and label != value)
            yield from props.get("sample_labels") or ()


def unmark(value: Any, marks: Marks) -> Any:
    """What may hold markers, with the English texts in their place."""
    if isinstance(value, str) and value.startswith(_MARKER):
        return marks.entries["en"][json.loads(value.removeprefix(_MARKER))["key"]]
    if isinstance(value, dict):
        return {name: unmark(part, marks) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(unmark(part, marks) for part in value)
    return value
