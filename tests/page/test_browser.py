"""The page in a real browser, as a visitor meets it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from demo_app.testing import browser, serve

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
SECONDS = 30_000  # ms
EVIL = "<script>window.hacked=1</script><img src=x onerror='window.hacked=2'>${window.hacked=3}{{window.hacked=4}}"

HEAD = """
from demo_app import Demo, hookimpl

def load(folder, device):
    return object()

@hookimpl
def register_demos():
    return [Demo(name={name!r}, title={title!r}, summary={summary!r}, load=load, build=build)]
"""

EVIL_LABEL = """
def build(handle):
    import gradio as gr
    from demo_app import viz
    evil = {evil!r}
    box, label, picture = gr.Textbox(label="Text"), gr.Label(label=evil), gr.HTML(js_on_load=None)

    def answer(text):
        "What it is called. Args: text: any. Returns: labels and a picture."
        return {{evil: 0.9, text: 0.1}}, viz.token_strip([text, evil], [0.5, -0.5], label=evil)

    gr.Button("Answer").click(answer, box, [label, picture], api_name="answer", queue=False)
"""

RENDERS = """
def build(handle):
    import gradio as gr
    box = gr.Textbox(label="How many to {name}")

    @gr.render(inputs=box)
    def show(count):
        for number in range(int(count or 0)):
            gr.Textbox(f"{name} {{number}}", label=f"box {{number}} of {name}")
"""

UPLOADS = """
def build(handle):
    import gradio as gr
    file, out = gr.File(label="A file"), gr.Textbox(label="Its size")

    def size(path):
        "Bytes of a file. Args: path: a file. Returns: its size."
        import os
        return str(os.path.getsize(path)) if path else "none"

    file.upload(size, file, out, api_name="size", queue=False)
"""


def add(plugins: Any, name: str, build: str, title: str = "", summary: str = "For a test.") -> None:
    plugins.add(name, build + HEAD.format(name=name, title=title or name.title(), summary=summary))


@pytest.fixture(scope="module")
def built_in() -> Iterator[str]:
    """Address of the host with the plugins of this checkout."""
    with serve(plugins_dir=ROOT / "plugins") as server:
        yield server.url


def top_tabs(seen: Any) -> list[str]:
    tabs = seen.page.locator("#demos > .tab-wrapper [role=tablist]:not(.visually-hidden) > [role=tab]")
    return [title.strip() for title in tabs.all_inner_texts()]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_request_leaves_the_page_and_nothing_complains(built_in: str, visit: Any, theme: str) -> None:
    seen = visit(built_in, theme=theme)

    for title in top_tabs(seen):
        seen.open(title)
    seen.page.wait_for_load_state("load")
    seen.page.evaluate("() => document.fonts.ready.then(() => true)")

    assert ("dark" in (seen.page.locator("body").get_attribute("class") or "")) == (theme == "dark")
    assert seen.strangers(built_in) == []
    assert seen.complaints == []


def test_the_address_opens_a_tab_and_an_unknown_one_the_first(plugins: Any, host: Any, visit: Any) -> None:
    plugins.add_good("first", order=1)
    plugins.add_good("second", order=2)
    url = host().url

    expect(visit(url, query="demo=second").tab("Second")).to_have_attribute("aria-selected", "true", timeout=SECONDS)
    expect(visit(url, query="demo=nothing").tab("First")).to_have_attribute("aria-selected", "true", timeout=SECONDS)
    status = visit(url, query="demo=status")
    expect(status.page.locator(".demo-status")).to_contain_text("Checkpoints", timeout=SECONDS)


def test_a_failed_plugin_is_a_greyed_tab_that_says_why(plugins: Any, host: Any, visit: Any) -> None:
    plugins.add_good()
    plugins.add("broken", "import a_module_that_nobody_has")
    seen = visit(host().url)

    assert float(seen.tab("broken").evaluate("tab => getComputedStyle(tab).opacity")) < 1
    seen.open("broken")

    expect(seen.page.get_by_role("alert")).to_contain_text("a_module_that_nobody_has")
    seen.open("Good")
    seen.page.get_by_label("Text", exact=True).fill("hello")
    seen.page.get_by_role("button", name="Shout", exact=True).click()
    expect(seen.page.get_by_label("Louder")).to_have_value("HELLO", timeout=SECONDS)


def test_the_status_tab_tells_plugins_checkpoints_and_memory(built_in: str, visit: Any) -> None:
    seen = visit(built_in)

    seen.open("Status")

    report = seen.page.locator(".demo-status")
    for word in ("text_classifier", "0.1.0", "folder text_classifier/", "sst2", "embedded", "models in use", " MB"):
        expect(report).to_contain_text(word, timeout=SECONDS)


def test_tabs_and_buttons_are_reached_by_keyboard(plugins: Any, host: Any, visit: Any) -> None:
    plugins.add_good("first", order=1)
    plugins.add_good("second", order=2)
    seen = visit(host().url)

    focus_by_tab(seen, "el => el.getAttribute('role') === 'tab' && el.textContent.trim() === 'Second'")
    seen.page.keyboard.press("Enter")  # Gradio's tabs are buttons in the tab order; arrows do not move between them
    expect(seen.tab("Second")).to_have_attribute("aria-selected", "true", timeout=SECONDS)
    focus_by_tab(seen, "el => el.tagName === 'TEXTAREA'")
    seen.page.keyboard.type("by keyboard")
    focus_by_tab(seen, "el => el.tagName === 'BUTTON' && el.textContent.trim() === 'Shout'")
    seen.page.keyboard.press("Enter")

    expect(seen.page.get_by_label("Louder").locator("visible=true")).to_have_value("BY KEYBOARD", timeout=SECONDS)


def focus_by_tab(seen: Any, test: str) -> None:
    """Press Tab until the focused element passes; fail after 40."""
    for _ in range(40):
        seen.page.keyboard.press("Tab")
        if seen.page.evaluate(f"({test})(document.activeElement)"):
            return
    pytest.fail(f"Tab never reached {test}")


def test_nothing_is_wider_than_a_phone(built_in: str, visit: Any) -> None:
    seen = visit(built_in, width=390, height=844)

    for name in [*demo_names(seen), "status"]:
        there = visit(built_in, query=f"demo={name}", width=390, height=844)
        expect(there.page.locator(f"#tab-{name}-button")).to_have_attribute("aria-selected", "true", timeout=SECONDS)
        assert there.overflow() <= 0, f"{name} scrolls sideways by {there.overflow()} pixels"


def demo_names(seen: Any) -> list[str]:
    ids = seen.page.locator("[id^=tab-][id$=-button]").evaluate_all("tabs => tabs.map(tab => tab.id)")
    return sorted({name.removeprefix("tab-").removesuffix("-button") for name in ids} - {"status"})


def test_markup_in_texts_labels_titles_and_reasons_never_runs(plugins: Any, host: Any, visit: Any) -> None:
    add(plugins, "evil", EVIL_LABEL.format(evil=EVIL), title=EVIL, summary=EVIL)
    plugins.add("worse", f"raise RuntimeError({EVIL!r})")
    url = host().url
    seen = visit(url, query="demo=evil")

    seen.page.get_by_label("Text", exact=True).fill(EVIL)
    seen.page.get_by_role("button", name="Answer").click()
    expect(seen.page.get_by_text("onerror").nth(2)).to_be_visible(timeout=SECONDS)
    seen.page.locator("#tab-worse-button").click()
    expect(seen.page.get_by_role("alert")).to_contain_text("onerror")
    seen.open("Status")
    expect(seen.page.locator(".demo-status")).to_contain_text("onerror", timeout=SECONDS)

    assert seen.page.evaluate("window.hacked") is None
    assert seen.complaints == []


@pytest.mark.parametrize("button", ["Shout", "Shout in the queue"])
def test_a_text_over_the_limit_gets_a_sentence(button: str, plugins: Any, host: Any, visit: Any) -> None:
    plugins.add_good()
    seen = visit(host(max_text=100).url)

    seen.page.get_by_label("Text", exact=True).fill("x" * 101)
    seen.page.get_by_role("button", name=button, exact=True).click()

    sentence = seen.page.get_by_text("The text has 101 characters and the limit is 100; shorten it.")
    expect(sentence).to_be_visible(timeout=SECONDS)
    expect(sentence).to_have_count(1)


def test_a_failed_action_gets_a_sentence_that_can_be_closed_and_keeps_its_secrets(
    plugins: Any, host: Any, visit: Any
) -> None:
    plugins.add_good(title=EVIL)
    seen = visit(host().url)

    seen.page.get_by_label("Text", exact=True).fill("boom")
    seen.page.get_by_role("button", name="Shout", exact=True).click()

    toast = seen.page.get_by_role("alert")
    expect(toast).to_contain_text("Something went wrong here.", timeout=SECONDS)
    expect(toast).to_contain_text("onerror")  # the title, as text
    expect(toast).not_to_contain_text("shadow")
    toast.get_by_role("button", name="Close").click()
    expect(toast).to_have_count(0)
    assert seen.page.evaluate("window.hacked") is None


def test_an_upload_over_the_limit_gets_a_sentence(plugins: Any, host: Any, visit: Any, tmp_path: Path) -> None:
    add(plugins, "uploads", UPLOADS)
    seen = visit(host(max_upload=1000).url)
    small, large = tmp_path / "small.txt", tmp_path / "large.txt"
    small.write_text("x" * 500)
    large.write_text("x" * 5000)

    seen.page.locator("input[type=file]").first.set_input_files(large)
    expect(seen.page.get_by_text("exceed the maximum allowed size").first).to_be_visible(timeout=SECONDS)
    seen.page.reload()
    seen.page.get_by_role("tab").first.wait_for()
    seen.page.locator("input[type=file]").first.set_input_files(small)
    expect(seen.page.get_by_label("Its size")).to_have_value("500", timeout=SECONDS)


def test_two_demos_that_render_do_not_disturb_each_other(plugins: Any, host: Any, visit: Any) -> None:
    for name in ("apples", "pears"):
        add(plugins, name, RENDERS.format(name=name))
    seen = visit(host().url)

    for name, count in itertools.product(("apples", "pears"), (2, 3)):
        seen.open(name.title())
        seen.page.get_by_label(f"How many to {name}").fill(str(count))
        expect(seen.page.get_by_label(f"box {count - 1} of {name}")).to_have_value(
            f"{name} {count - 1}", timeout=SECONDS
        )
    assert seen.complaints == []


def test_a_sentence_is_classified_and_explained(built_in: str, visit: Any) -> None:
    seen = visit(built_in, query="demo=text_classifier")
    panel = seen.page.locator("#tab-text_classifier")

    panel.locator("textarea:visible").first.fill("A dull and tedious film.")
    panel.get_by_role("button", name="Classify", exact=True).click()

    expect(panel.locator(".viz").get_by_text("tedious").first).to_be_visible(timeout=SECONDS)
    expect(panel.get_by_test_id("label-output-value").first).to_contain_text("negative")
    assert seen.complaints == []


def test_markup_in_a_classified_text_never_runs(built_in: str, visit: Any) -> None:
    seen = visit(built_in, query="demo=text_classifier")
    panel = seen.page.locator("#tab-text_classifier")

    panel.locator("textarea:visible").first.fill(EVIL)
    panel.get_by_role("button", name="Classify", exact=True).click()

    expect(panel.locator(".viz").get_by_text("script").first).to_be_visible(timeout=SECONDS)
    assert seen.page.evaluate("window.hacked") is None
    assert seen.complaints == []


ASSETS = ROOT / "plugins" / "separable_conv" / "demo_app_separable_conv" / "assets"


def test_a_picture_is_uploaded_classified_and_looked_into(built_in: str, visit: Any) -> None:
    seen = visit(built_in, query="demo=separable_conv")
    panel = seen.page.locator("#tab-separable_conv")
    panel.get_by_label("Remove Image").first.click()
    panel.locator("input[type=file]").first.set_input_files(ASSETS / "horse.png")
    expect(panel.locator("img[src*='horse.png']").first).to_be_visible(timeout=SECONDS)

    panel.get_by_role("button", name="Classify", exact=True).click()
    expect(panel.get_by_test_id("label-output-value").first).to_contain_text("horse", timeout=SECONDS)

    sums = panel.get_by_text("channel 9 at (")
    expect(sums).to_have_count(0)
    panel.get_by_role("group", name="What the pointwise convolution mixes").get_by_role("button").nth(9).click()
    expect(sums.first).to_be_visible(timeout=SECONDS)
    assert seen.complaints == []


def test_an_example_is_answered_with_its_lesson(built_in: str, visit: Any) -> None:
    seen = visit(built_in, query="demo=separable_conv")
    panel = seen.page.locator("#tab-separable_conv")

    panel.locator(".gallery-item, .gallery button").nth(1).click()

    expect(panel.get_by_test_id("label-output-value").first).to_contain_text("horse", timeout=SECONDS)
    expect(panel.get_by_text("A silhouette")).to_be_visible(timeout=SECONDS)
    assert seen.complaints == []


def test_a_click_on_the_picture_shows_its_attention(built_in: str, visit: Any) -> None:
    seen = visit(built_in, query="demo=separable_conv")
    panel = seen.page.locator("#tab-separable_conv")
    panel.get_by_role("tab", name="Attention", exact=True).click()

    place = panel.locator(".block").filter(has_text="Click a place: who does it look at?")  # it comes after the tab
    place.locator("img").click(position={"x": 5, "y": 5})

    expect(panel.get_by_text("Row 0, column 0 (framed) looks most at")).to_be_visible(timeout=SECONDS)
    assert seen.complaints == []


BILINGUAL = """
def build(handle):
    import gradio as gr
    from demo_app.i18n import say
    box = gr.Textbox(label="Word", info=say("Up to {n} letters", n=9), placeholder="Write here")
    form = gr.Radio([("Long", "long"), ("Short", "short")], value="long", label="Form")
    gr.Dropdown(["average", "1"], value="average", label="Layer")
    gr.Dataset(components=["textbox"], samples=[["a"]], sample_labels=["An example"], label="Try one")
    out = gr.HTML("<p>Nothing yet.</p>", label="Said")
    gr.Markdown("## About\\n\\nIt is `plain`.")
    with gr.Tab("Inner"):
        from demo_app import InputError, viz

        def speak(text, form):
            "Say it. Args: text: any. form: which. Returns: HTML."
            if not text:
                raise InputError("There is no word; write one.")
            return viz.note(say("Said as {form}.", form=form)), gr.update(info=say("Up to {n} letters", n=5))

        gr.Button("Speak").click(speak, [box, form], [out, box], api_name="speak", queue=False)

from demo_app import Demo, hookimpl
WORDS = {
    "Speaker": "说话", "It speaks.": "它会说话。", "Word": "词", "Up to {n} letters": "最多 {n} 个字母",
    "Write here": "写在这里",
    "Long": "长的", "Short": "短的", "Form": "形式", "An example": "一个例子", "Try one": "试一个",
    "Nothing yet.": "还没有。",
    "## About\\n\\nIt is `plain`.": "## 关于\\n\\n就是 `plain`。", "Inner": "里面", "Speak": "说",
    "There is no word; write one.": "没有词；请写一个。", "Said as {form}.": "说成了 {form}。",
}

@hookimpl
def register_demos():
    return [Demo(name="speaker", title="Speaker", summary="It speaks.", load=lambda *_: object(), build=build,
                 translations={"zh-CN": WORDS})]
"""
SHOWN = {
    "zh-CN": [
        "说话",
        "它会说话。",
        "词",
        "最多 9 个字母",
        "长的",
        "短的",
        "形式",
        "一个例子",
        "还没有。",
        "关于",
        "里面",
        "说",
        "状态",
    ],
    "en-US": [
        "Speaker",
        "It speaks.",
        "Word",
        "Up to 9 letters",
        "Long",
        "Form",
        "An example",
        "Nothing yet.",
        "Inner",
    ],
}
SHOWN["fr-FR"] = SHOWN["en-US"]


@pytest.mark.parametrize("locale", SHOWN)
def test_the_page_speaks_the_language_of_the_browser(plugins: Any, host: Any, demo_browser: Any, locale: str) -> None:
    plugins.add("speaker", BILINGUAL)
    url = host().url
    context = demo_browser.new_context(locale=locale, viewport={"width": 390, "height": 844})
    seen = browser.visit(context, url)
    page, chinese = seen.page, locale == "zh-CN"

    for text in SHOWN[locale]:
        expect(page.get_by_text(text, exact=True).first).to_be_attached(timeout=SECONDS)
    expect(page.get_by_placeholder("写在这里" if chinese else "Write here")).to_be_visible()
    expect(page.get_by_label("Layer")).to_have_value("平均" if chinese else "average")  # a choice as its value

    button = page.get_by_role("button", name="说" if chinese else "Speak", exact=True)
    button.click()
    expect(page.locator(".demo-toast")).to_contain_text("没有词" if chinese else "There is no word")
    failed = len(seen.complaints)  # Chromium tells the console of the 500 that an error is
    page.get_by_placeholder("写在这里" if chinese else "Write here").fill("x")
    page.get_by_text("短的" if chinese else "Short", exact=True).click()
    button.click()
    expect(page.locator(".viz-small")).to_have_text("说成了 short。" if chinese else "Said as short.", timeout=SECONDS)
    expect(page.get_by_text("最多 5 个字母" if chinese else "Up to 5 letters")).to_be_visible()

    assert "__i18n__" not in page.content().split("window.gradio_config", 1)[0] + page.inner_text("body")
    assert seen.overflow() <= 0
    assert seen.strangers(url) == []
    assert len(seen.complaints) == failed
    context.close()
