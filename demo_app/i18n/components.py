"""Texts of components: translated in what handlers return, marked for the browser in the page's configuration.

Gradio's formats of updates and markers are known here, as data; `tests/test_gradio_internals.py` checks them.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from demo_app.i18n.catalog import Catalog, Find, say

SHOWN = ("label", "info", "placeholder", "title", "x_title", "y_title", "description")  # props that visitors read
VALUES = ("button", "downloadbutton", "markdown", "html", "uploadbutton")  # components whose value visitors read
MOST_HTML = 10_000  # characters; a longer drawing is not sent in all languages
_MARKER = "__i18n__"
_UNSEEN = "\u2063"  # a character that no font shows
MOST_KEY = 60  # characters of a key
_TAG = re.compile(r"(<[^>]*>)")


def translate_html(drawing: str) -> str:
    """A drawing with the texts between its tags in the language of the visitor whose event is being handled."""
    parts = _TAG.split(drawing)
    for i, words in _between_tags(parts):
        parts[i] = parts[i].replace(parts[i].strip(), html.escape(say(words)))
    return "".join(parts)


def translate_updates(result: Any) -> Any:
    """What a handler returns, with translated labels and choices in its `gr.update(...)`s."""
    if isinstance(result, tuple | list):
        return type(result)(map(translate_updates, result)) if any(_is_update(part) for part in result) else result
    if not _is_update(result):
        return result
    translated: dict[str, Any] = {
        prop: say(text) for prop, text in result.items() if prop in SHOWN and isinstance(text, str)
    }
    if _has_choices(result):
        translated["choices"] = [
            (say(label), value) if isinstance(label, str) else (label, value) for label, value in result["choices"]
        ]
    return {**result, **translated}


def _is_update(value: Any) -> bool:
    return isinstance(value, dict) and value.get("__type__") == "update"


@dataclass(frozen=True)
class Marks:
    """The texts behind the markers of a page, as `gr.I18n` takes them: language -> key -> text."""

    entries: dict[str, dict[str, str]] = field(default_factory=dict)

    def marked(self, text: str, find: Find, languages: Iterable[str], owner: str) -> str:
        """A marker for the text, or the text itself if no language has a translation.

        Args:
            text: in English.
            find: gives the translation of a text into a language, or `None`.
            languages: to translate into.
            owner: the demo; it goes into the key if another demo translates the text differently.
        """
        known = {language: found for language in languages if (found := find(text, language)) is not None}
        if not known:
            return text
        key = _UNSEEN + (text if len(text) <= MOST_KEY else hashlib.sha256(text.encode()).hexdigest()[:16])
        if any(self.entries.get(language, {}).get(key, found) != found for language, found in known.items()):
            key += f"{_UNSEEN}{owner}"
        for language, found in {"en": text, **known}.items():
            self.entries.setdefault(language, {})[key] = found
        data = json.dumps({"__type__": "translation_metadata", "key": key}, ensure_ascii=False)
        return _MARKER + data[:-1].replace("}", r"\u007d") + "}"  # Gradio reads up to the first brace


def mark(config: Mapping[str, Any], catalogs: Mapping[int, tuple[str, Catalog]]) -> Marks:
    """Put markers into the page's configuration, in place.

    Args:
        config: as Gradio makes it.
        catalogs: component id -> the name of its demo, the translations for it.
    """
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
    """(prop, text, function that translates it) of a component, without the labels of its choices."""
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
    """Whether a value is a drawing that is translated when a page is opened, rather than sent in all languages."""
    return isinstance(drawing, str) and len(drawing) > MOST_HTML


def _has_choices(props: Mapping[str, Any]) -> bool:
    choices = props.get("choices")
    return isinstance(choices, list) and all(isinstance(c, list | tuple) and len(c) == 2 for c in choices)


def _in_markdown(catalog: Catalog, text: str, language: str) -> str | None:
    """Markdown, or plain text that was escaped to be Markdown."""
    found = catalog.find(text, language)
    if found is None and (found := catalog.find(html.unescape(text), language)) is not None:
        found = html.escape(found)
    return found


def _in_html(catalog: Catalog, text: str, language: str) -> str | None:
    """HTML with the texts between its tags translated; `None` if none of them is known."""
    parts, any_known = _TAG.split(text), False
    for i, words in _between_tags(parts):
        found = catalog.find(words, language)
        if found is not None:
            parts[i], any_known = parts[i].replace(parts[i].strip(), html.escape(found)), True
    return "".join(parts) if any_known else None


def _between_tags(parts: Sequence[str]) -> Iterator[tuple[int, str]]:
    """(index, text) of the texts in HTML that was split at its tags, without those inside `translate="no"`."""
    kept, depth = "", 0  # the element that is not translated, and how many elements of its name are open
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
    """The English texts of components, which a translation of their tab should have. `config` has no markers."""
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
            if _has_choices(props):  # a choice whose label is its value is data
                yield from (label for label, value in props["choices"] if isinstance(label, str) and label != value)
            yield from props.get("sample_labels") or ()


def unmark(value: Any, marks: Marks) -> Any:
    """A value with the English texts in place of the markers in it."""
    if isinstance(value, str) and value.startswith(_MARKER):
        return marks.entries["en"][json.loads(value.removeprefix(_MARKER))["key"]]
    if isinstance(value, dict):
        return {name: unmark(part, marks) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(unmark(part, marks) for part in value)
    return value
