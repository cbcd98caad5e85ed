"""Texts in other languages: looked up as they are written, then filled in."""

from __future__ import annotations

import pytest

from demo_app import Demo, i18n, viz
from demo_app.errors import InputError
from demo_app.i18n import Catalog, say, speaking

CHINESE = "zh-CN"
GERMAN = {
    "Fetch": "Holen",
    "{size} to fetch": "{size} zu holen",
    "size unknown": "Größe unbekannt",
    "{n} of {n}": "{n} von {n}",
    "no “{name}” of {owner}": "kein „{name}“ von {owner}",
    "Say {what}": "Sage: {what}",
}


@pytest.fixture
def german() -> Catalog:
    return Catalog({"de": GERMAN})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Fetch", "Holen"),
        ("a · Fetch · b", "a · Holen · b"),
        ("Say {what}", "Sage: {what}"),
        ("fetch", None),
        ("a · b", None),
        ("", None),
    ],
)
def test_a_text_is_found_as_it_is_written(german: Catalog, text: str, found: str | None) -> None:
    assert german.find(text, "de") == found
    assert german.find(text, "fr") is None


@pytest.mark.parametrize(
    ("template", "values", "said"),
    [
        ("{size} to fetch", {"size": "3 MB"}, "3 MB zu holen"),
        ("{size} to fetch", {"size": "size unknown"}, "Größe unbekannt zu holen"),  # a value that is a text
        ("{size} to fetch", {"size": "a · Fetch"}, "a · Holen zu holen"),
        ("{size} to fetch", {"size": "{n} of {n}"}, "{n} von {n} zu holen"),  # braces in a value are left alone
        ("{n} of {n}", {"n": 3}, "3 von 3"),
        ("no “{name}” of {owner}", {"name": "Fetch", "owner": "Fetch"}, "kein „Fetch“ von Holen"),  # quoted: data
        ("{count} unknown", {"count": 3}, "3 unknown"),  # a template without a translation
    ],
)
def test_a_template_is_looked_up_and_then_filled_in(
    german: Catalog, template: str, values: dict[str, object], said: str
) -> None:
    assert say(template, **values) == template.format(**values)
    with speaking(german, "de"):
        assert say(template, **values) == said
    with speaking(german, None):
        assert say(template, **values) == template.format(**values)


def test_a_value_is_a_text_that_was_translated_already(german: Catalog) -> None:
    with speaking(german, "de"):
        assert say("Say {what}", what=say("{size} to fetch", size="3 MB")) == "Sage: 3 MB zu holen"


def test_an_error_carries_its_template_and_values(german: Catalog) -> None:
    error = InputError("no “{name}” of {owner}", name="Fetch", owner="Fetch")
    assert str(error) == "no “Fetch” of Fetch"
    with speaking(german, "de"):
        assert say(error.text, **error.values) == "kein „Fetch“ von Holen"
        plain = InputError("Fetch")
        assert say(plain.text, **plain.values) == "Holen"


def test_a_text_without_values_may_have_braces(german: Catalog) -> None:
    with speaking(german, "de"):
        assert say("no {place} here") == "no {place} here"


def test_texts_that_are_made_while_the_page_is_built_are_found_later() -> None:
    with i18n.recording() as formatted:
        label = say("{size} to fetch", size="size unknown")
        both = f"{label} · {say('{n} of {n}', n=3)}"
    say("{size} to fetch", size="unseen")
    catalog = Catalog({"de": GERMAN}, formatted)

    assert label == "size unknown to fetch"
    assert catalog.find(label, "de") == "Größe unbekannt zu holen"
    assert catalog.find(both, "de") == "Größe unbekannt zu holen · 3 von 3"
    assert catalog.find(label, "fr") is None
    assert list(formatted) == [label, "3 of 3"]


def test_a_text_that_was_recorded_can_be_a_value(german: Catalog) -> None:
    with i18n.recording() as formatted:
        said = say("Say {what}", what=say("{size} to fetch", size="3 MB"))
    catalog = Catalog({"de": GERMAN}, formatted)
    assert catalog.find(said, "de") == "Sage: 3 MB zu holen"


def test_of_two_translations_of_a_text_the_first_counts() -> None:
    catalog = i18n.merged([{"de": {"a": "1"}}, {"de": {"a": "2", "b": "3"}, "fr": {"a": "4"}}])
    assert [catalog.find(text, "de") for text in "ab"] == ["1", "3"]
    assert catalog.find("a", "fr") == "4"
    assert catalog.languages == ["de", "fr"]


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", CHINESE),
        ("zh-cn", CHINESE),
        ("de-AT", "de"),
        ("en-US,zh-CN;q=0.5", None),
        ("fr", None),
        ("", None),
        (";;,", None),
    ],
)
def test_the_first_language_of_the_browser_counts(accepted: str, language: str | None) -> None:
    assert Catalog({CHINESE: {}, "de": {}}).language_of(accepted) == language


@pytest.mark.parametrize(
    ("translations", "what"),
    [
        ({"chinese": {"a": "b"}}, "zh-CN"),
        ({"zh-CN": {"a": ""}}, "empty"),
        ({"zh-CN": {"a": 3}}, "texts"),
    ],
)
def test_a_slip_in_translations_is_told(translations: object, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        Demo(name="a", title="A", summary="A.", load=lambda *_: 1, build=lambda _: None, translations=translations)  # type: ignore[arg-type]


# Drawings


def test_a_drawing_is_in_the_language_of_the_visitor(german: Catalog) -> None:
    with speaking(german, "de"):
        note = viz.note(say("{size} to fetch", size="<3 MB>"))
        table = viz.table(["Fetch", "b"], [["Fetch", "size unknown"], ["c", "12"]], label="Fetch")
        data = viz.table(["Fetch", "b"], [["Fetch", "size unknown"]], label="Fetch", data=True)
        heads = viz.heads_grid([[[[1.0]]]], label="Fetch")
    assert "&lt;3 MB&gt; zu holen" in note
    assert table.count("Holen") == 3
    assert "<td>Größe unbekannt</td>" in table
    assert '<th scope="row">Fetch</th><td>size unknown</td>' in data  # a visitor's words
    assert 'title="Layer 1, head 1"' in heads


def test_heads_have_their_names_in_the_language_of_the_visitor() -> None:
    catalog = Catalog({"de": {"Layer {layer}, head {head}": "Schicht {layer}, Kopf {head}"}})
    with speaking(catalog, "de"):
        assert 'title="Schicht 2, Kopf 1"' in viz.heads_grid([[[[1.0]]], [[[1.0]]]], label="Heads")
