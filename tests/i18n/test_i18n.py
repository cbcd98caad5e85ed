"""The page in other languages: by the very text, in the browser and in what handlers say; programs get English."""

from __future__ import annotations

import ast
import importlib
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from demo_app import Demo, i18n, viz
from demo_app.i18n import Catalog
from demo_app.page.app import App, create_app
from demo_app.page.shell import HOST
from demo_app.page.tabs import Tab

ROOT = Path(__file__).parent.parent
CHINESE = "zh-CN"

SPEAKS = '''
from demo_app import Demo, InputError, hookimpl

def build(handle):
    import gradio as gr
    from demo_app import viz
    text = gr.Textbox(label="Word {a}", info="Up to {{limit}} letters".format(limit=9), placeholder="Write")
    form = gr.Radio([("Long", "long"), ("Short", "short")], value="long", label="Form")
    out = gr.HTML(viz.note("Nothing yet.") + viz.token_strip(["Long"], [1], label="Words"), label="Out")
    gr.Markdown("## About\\n\\nIt {{says}} `it`.")

    def speak(text, form):
        """Say it. Args: text: any. form: long or short. Returns: how it was said, as HTML; the box."""
        if not text:
            raise InputError("There is no word in 3 letters; write one.")
        return viz.note("Said 3 times."), gr.update(info="Up to 5 letters")

    gr.Button("Speak").click(speak, [text, form], [out, text], api_name="speak", queue=False)

WORDS = {{
    "Word {a}": "词{a}",
    "Up to {{limit}} letters": "最多 {{limit}} 个字母", "Write": "写", "Long": "长", "Form": "形式",
    "Nothing yet.": "还没有 <什么>。", "Words": "词语", "## About\\n\\nIt {{says}} `it`.": "## 关于\\n\\n它说 {{}}。",
    "There is no word in {{count}} letters; write one.": "没有{{count}}个字母的词;请写一个。",
    "Said {{count}} times.": "说了{{count}}次。", "Speak": "说", "Speaker": "说话", "It speaks.": "它会说话。",
}}

@hookimpl
def register_demos():
    return [Demo(name={name!r}, title="Speaker", summary="It speaks.", load=lambda *_: object(), build=build,
                 translations={{"zh-CN": WORDS}})]
'''


@pytest.fixture
def speaker(plugins: Any, host: Any) -> Any:
    plugins.add("speaker", SPEAKS.format(name="speaker", a="A"))
    return host()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Fetch", "Holen"),
        ("Fetch 3 MB", "3 MB holen"),
        ("a · Fetch · b", "a · Holen · b"),
        ("Fetch {it}", "{it} holen"),
        ("fetch", None),
        ("a · b", None),
        ("3 of 3", "3 von 3"),
        ("3 of 4", None),
        ("Say Fetch", "Sage Holen"),
    ],
)
def test_a_text_is_found_by_what_it_says(text: str, said: str | None) -> None:
    catalog = Catalog(
        {"de": {"Fetch": "Holen", "Fetch {size}": "{size} holen", "{n} of {n}": "{n} von {n}", "Say {it}": "Sage {it}"}}
    )
    assert catalog.find(text, "de") == said
    assert catalog.find(text, "fr") is None


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


def test_words_in_a_drawing_are_translated_and_tokens_are_not() -> None:
    drawing = viz.token_strip(["for", "Words"], [1, -1], label="Words", ends=("against", "for"))
    page = {"components": [{"id": 1, "type": "html", "props": {"value": drawing}}]}
    catalog = Catalog({"de": {"Words": "Wörter <b>", "for": "dafür"}})

    marks = i18n.mark(page, {1: ("demo", catalog)})

    (said,) = marks.entries["de"].values()
    assert list(marks.entries["en"].values()) == [drawing]
    assert said.count("dafür") == 1
    assert "Wörter &lt;b&gt;" in said
    assert ">for</span>" in said
    assert ">Words</span>" in said


def test_a_marker_survives_every_text_and_comes_off_again() -> None:
    texts = ["}", 'a "b" {c} \\ </script>', "one\n\ntwo", "{}{}", "plain"]
    page = {"components": [{"id": n, "type": "button", "props": {"value": text}} for n, text in enumerate(texts)]}

    marks = i18n.mark(page, dict.fromkeys(range(5), ("demo", Catalog({"de": dict.fromkeys(texts, "x")}))))
    marked = [component["props"]["value"] for component in page["components"]]

    keys = [json.loads(m[8 : m.index("}") + 1])["key"] for m in marked]  # as Gradio reads it
    assert [marks.entries["en"][key] for key in keys] == texts
    assert [marks.entries["de"][key] for key in keys] == ["x"] * len(texts)
    assert i18n.unmark({"a": marked, "b": (1, marked[0])}, marks) == {"a": texts, "b": (1, texts[0])}
    assert not set(keys) & set(texts)  # a value that is called as a text stays what it is


def test_two_demos_may_say_the_same_words_differently(plugins: Any) -> None:
    plugins.add("one", SPEAKS.format(name="one", a="A"))
    plugins.add("two", SPEAKS.format(name="two", a="A").replace('"Speak": "说"', '"Speak": "讲"'))
    app = create_app(plugins_dir=plugins.path)

    entries = app.blocks.translations().translations_dict

    keys = [key for key, text in entries["en"].items() if text == "Speak"]
    assert [entries[CHINESE][key] for key in keys] == ["说", "讲"]


def test_what_a_demo_says_does_not_change_the_host_or_another_demo(plugins: Any) -> None:
    plugins.add("one", SPEAKS.format(name="one", a="A").replace('"Speak": "说"', '"Speak": "说", "Refresh": "改"'))
    plugins.add_good("plain")
    app = create_app(plugins_dir=plugins.path)

    entries = app.blocks.translations().translations_dict
    keys = [key for key, text in entries["en"].items() if text == "Refresh"]
    assert [entries[CHINESE][key] for key in keys] == [HOST[CHINESE]["Refresh"]]


@pytest.mark.parametrize(
    ("translations", "what"),
    [
        ({"chinese": {"a": "b"}}, "zh-CN"),
        ({"zh-CN": {"a": ""}}, "empty"),
        ({"zh-CN": {"a": 3}}, "texts"),
    ],
)
def test_a_slip_in_translations_is_told(translations: Any, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        Demo(name="a", title="A", summary="A.", load=lambda *_: 1, build=lambda _: None, translations=translations)


def test_programs_get_english(speaker: Any) -> None:
    info = httpx.get(f"{speaker.url.rstrip('/')}/gradio_api/info").text
    client = Client(speaker.url, verbose=False)

    assert "__i18n__" not in info
    parameters = json.loads(info)["named_endpoints"]["/speaker_speak"]["parameters"]
    assert [(p["parameter_name"], p["label"]) for p in parameters] == [("text", "Word A"), ("form", "Form")]
    assert "__i18n__" not in str(client.view_api(return_format="dict"))
    assert "Said 3 times." in client.predict("x", "long", api_name="/speaker_speak")[0]
    with pytest.raises(AppError, match="There is no word in 3 letters"):
        client.predict("", "long", api_name="/speaker_speak")


def test_what_a_handler_says_is_in_the_language_of_the_browser(speaker: Any) -> None:
    def call(text: str, language: str) -> Any:
        body = {"data": [text, "long"], "session_hash": "a"}
        headers = {"accept-language": language}
        return httpx.post(f"{speaker.url.rstrip('/')}/gradio_api/run/speaker_speak", json=body, headers=headers).json()

    drawn, update = call("x", "zh-CN,zh;q=0.9")["data"]
    assert "说了3次。" in drawn
    assert update["info"] == "最多 5 个字母"
    assert call("", CHINESE)["error"] == "没有3个字母的词;请写一个。"
    assert call("", "fr-FR")["error"] == "There is no word in 3 letters; write one."


# The built-in demos: what their tabs show, and what their sources say

BUILT_IN = sorted(folder.parent.name for folder in ROOT.glob("plugins/*/pyproject.toml"))
NUMBERS = re.compile(r"[\d.,%×→+\-−=/() ]*[kMGB]?|\d+\. .*")  # and what is written, as the sentences of a translation
SYMBOLS = {
    "P",
    "A",
    "[CLS]",
    "[SEP]",
    "</s>",
    "␣",
    "1 / C_out + 1 / K² = 1 / 128 + 1 / 9 = 0.119",
}  # as papers write them


@pytest.fixture(scope="module")
def built_in() -> App:
    return create_app(plugins_dir=ROOT / "plugins")


def shown(app: App, tab: Tab) -> set[str]:
    """The texts of a tab, as the page has them before anybody clicks."""
    assert tab.blocks is not None
    config = i18n.unmark(app.blocks.config, app.blocks.marks)
    ids = [id for id, (owner, _) in app.blocks.catalogs.items() if owner == tab.name]
    texts = {text.strip() for text in i18n.texts(config, ids)}
    return {text for text in texts if not NUMBERS.fullmatch(text)} - SYMBOLS


def sources(package: str) -> str:
    """All texts in the code of a package."""
    folder = Path(importlib.import_module(package).__file__ or "").parent
    trees = [ast.parse(file.read_text("utf-8")) for file in folder.rglob("*.py") if file.name != "zh_cn.py"]
    texts = [node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return "\n".join([str(text) for text in texts] + [file.read_text("utf-8") for file in folder.rglob("*.js")])


def unused(texts: Any, said: set[str], package: str) -> list[str]:
    """Translated texts that neither stand on the page nor are made of what the package's code says."""
    code = sources(package)
    parts = {text: [part for part in re.split(r"\{[a-z_]+\}|, ", text) if part.strip()] for text in texts}
    catalogs = {text: Catalog({CHINESE: {text: "x"}}) for text in texts}
    return [
        text
        for text in texts
        if not any(catalogs[text].find(shown, CHINESE) for shown in said)
        and not all(part.strip(" .:()") in code for part in parts[text])
    ]


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_text_of_a_built_in_tab_is_there_in_chinese(built_in: App, name: str) -> None:
    tab = next(tab for tab in built_in.tabs if tab.name == name)
    assert tab.demo is not None, tab.plugin.reason
    known = i18n.merged([tab.demo.translations, HOST])

    assert sorted(text for text in shown(built_in, tab) if known.find(text, CHINESE) is None) == []


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_chinese_text_of_a_built_in_demo_is_of_an_english_one_that_is_there(built_in: App, name: str) -> None:
    tab = next(tab for tab in built_in.tabs if tab.name == name)
    assert tab.demo is not None, tab.plugin.reason

    assert unused(tab.demo.translations[CHINESE], shown(built_in, tab), f"demo_app_{name}") == []


def test_every_chinese_text_of_the_host_is_of_an_english_one_that_is_there() -> None:
    assert unused(HOST[CHINESE], set(), "demo_app") == []


@pytest.mark.parametrize("name", ["host", *BUILT_IN])
def test_a_translation_keeps_the_places_of_its_text(built_in: App, name: str) -> None:
    texts = HOST[CHINESE]
    if name != "host":
        tab = next(tab for tab in built_in.tabs if tab.name == name)
        assert tab.demo is not None, tab.plugin.reason
        texts = tab.demo.translations[CHINESE]
    place = re.compile(r"\{([a-z_]+)\}")

    assert [text for text, said in texts.items() if set(place.findall(text)) != set(place.findall(said))] == []
    assert [text for text, said in texts.items() if re.search(r"[\u4e00-\u9fff][,;:?!(]", said)] == []
