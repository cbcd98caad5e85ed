"""A page in other languages: in the browser, in what handlers return, and never for programs."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from demo_app import viz
from demo_app.i18n import Catalog, components
from demo_app.page.app import create_app
from demo_app.page.shell import HOST

CHINESE = "zh-CN"

SPEAKS = '''
from demo_app import Demo, InputError, hookimpl

def build(handle):
    import gradio as gr
    from demo_app import viz
    from demo_app.i18n import say
    info = say("Up to {{limit}} letters", limit=9)
    text = gr.Textbox(label="Word {a}", info=info, placeholder="Write")
    form = gr.Radio([("Long", "long"), ("Short", "short")], value="long", label="Form")
    out = gr.HTML(viz.note("Nothing yet.") + viz.token_strip(["Long"], [1], label="Words"), label="Out")
    gr.HTML(viz.note(say("Said {{count}} times.", count=0)))
    gr.Markdown("## About\\n\\nIt {{says}} `it`.")

    def speak(text, form):
        """Say it. Args: text: any. form: long or short. Returns: how it was said, as HTML; the box."""
        if not text:
            raise InputError("There is no word in {{count}} letters; write one.", count=3)
        return viz.note(say("Said {{count}} times.", count=3)), gr.update(info=say("Up to {{limit}} letters", limit=5))

    def count(text):
        """Count. Args: text: any. Returns: how often."""
        for number in range(3):
            yield viz.note(say("Said {{count}} times.", count=number))
        if text:
            raise InputError("There is no word in {{count}} letters; write one.", count=number)

    async def count_later(text):
        """Count. Args: text: any. Returns: how often."""
        for number in range(3):
            yield viz.note(say("Said {{count}} times.", count=number))

    async def speak_later(text):
        """Say it. Args: text: any. Returns: how often."""
        return viz.note(say("Said {{count}} times.", count=1))

    gr.Button("Speak").click(speak, [text, form], [out, text], api_name="speak", queue=False)
    gr.Button("Speak").click(count, text, out, api_name="count")
    gr.Button("Speak").click(count_later, text, out, api_name="count_later")
    gr.Button("Speak").click(speak_later, text, out, api_name="speak_later")

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


def test_words_in_a_drawing_are_translated_and_tokens_are_not() -> None:
    drawing = viz.token_strip(["for", "Words"], [1, -1], label="Words", ends=("against", "for"))
    page = {"components": [{"id": 1, "type": "html", "props": {"value": drawing}}]}
    catalog = Catalog({"de": {"Words": "Wörter <b>", "for": "dafür"}})

    marks = components.mark(page, {1: ("demo", catalog)})

    (said,) = marks.entries["de"].values()
    assert list(marks.entries["en"].values()) == [drawing]
    assert said.count("dafür") == 1
    assert "Wörter &lt;b&gt;" in said
    assert ">for</span>" in said
    assert ">Words</span>" in said


def test_a_marker_survives_every_text_and_comes_off_again() -> None:
    texts = ["}", 'a "b" {c} \\ </script>', "one\n\ntwo", "{}{}", "plain"]
    page = {"components": [{"id": n, "type": "button", "props": {"value": text}} for n, text in enumerate(texts)]}

    marks = components.mark(page, dict.fromkeys(range(5), ("demo", Catalog({"de": dict.fromkeys(texts, "x")}))))
    marked = [component["props"]["value"] for component in page["components"]]  # type: ignore[index]

    keys = [json.loads(m[8 : m.index("}") + 1])["key"] for m in marked]  # as Gradio reads it
    assert [marks.entries["en"][key] for key in keys] == texts
    assert [marks.entries["de"][key] for key in keys] == ["x"] * len(texts)
    assert components.unmark({"a": marked, "b": (1, marked[0])}, marks) == {"a": texts, "b": (1, texts[0])}
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


def test_templates_that_are_filled_in_while_the_tab_is_built_are_translated_in_the_browser(plugins: Any) -> None:
    plugins.add("speaker", SPEAKS.format(name="speaker", a="A"))
    plugins.add("broken", "raise RuntimeError('no')")
    entries = create_app(plugins_dir=plugins.path).blocks.translations().translations_dict

    chinese = {entries["en"][key]: text for key, text in entries[CHINESE].items()}
    assert chinese["Up to 9 letters"] == "最多 9 个字母"
    (note,) = (text for english, text in chinese.items() if "Said 0 times." in english)
    assert "说了0次。" in note
    (failed,) = (text for english, text in chinese.items() if "broken is not available" in english)
    assert "“broken”暂不可用" in failed
    assert "出错阶段：导入" in failed


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


@pytest.mark.parametrize("action", ["count", "count_later"])
def test_every_step_of_a_generator_is_in_the_language_of_its_visitor(speaker: Any, action: str) -> None:
    """Gradio runs each step in a thread and a context of its own; two visitors at once do not mix."""
    chinese = Client(speaker.url, verbose=False, headers={"accept-language": CHINESE})
    english = Client(speaker.url, verbose=False)

    jobs = [visitor.submit("", api_name=f"/speaker_{action}") for visitor in (chinese, english)]
    found = [(job.result(timeout=60), job.outputs())[1] for job in jobs]

    assert [[text for text in ("0", "1", "2") if f"说了{text}次。" in step] for step in found[0]] == [
        ["0"],
        ["1"],
        ["2"],
    ]
    assert ["Said" in step for step in found[1]] == [True] * 3


def test_the_end_of_a_generator_and_a_coroutine_are_in_the_language_of_the_visitor(speaker: Any) -> None:
    visitor = Client(speaker.url, verbose=False, headers={"accept-language": CHINESE})
    with pytest.raises(AppError, match="没有2个字母的词"):
        visitor.predict("x", api_name="/speaker_count")
    assert "说了1次。" in visitor.predict("x", api_name="/speaker_speak_later")
