"""The tab over HTTP and in a browser, with the embedded weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from demo_app_translator import views
from demo_app_translator.checkpoints import CHECKPOINTS
from demo_app_translator.example import SENTENCE, compute, example
from demo_app_translator.explain import Seen, alignment
from gradio_client.exceptions import AppError

from demo_app.hub import files
from demo_app.testing import DemoHost, check_demo
from demo_app.testing.browser import Visits

EMBEDDED = [checkpoint for checkpoint in CHECKPOINTS if not checkpoint.on_hub]


@pytest.mark.parametrize("checkpoint", EMBEDDED, ids=lambda checkpoint: checkpoint.name)
def test_an_embedded_checkpoint_is_small_and_has_its_card(checkpoint: Any) -> None:
    assert files.size_on_disk(checkpoint.folder, checkpoint.files) < 9_000_000
    card = (checkpoint.folder / "README.md").read_text("utf-8")
    for part in ("license:", "BLEU", "python -m demo_app_translator.train"):
        assert part in card


def test_the_plugin_has_no_problems(plugin_dir: Any) -> None:
    report = check_demo(plugin_dir, load=True)
    assert not report.problems, str(report)


def test_the_page_opens_with_the_translation_of_the_real_model() -> None:
    stored, now = example(), compute()
    assert (stored.text, stored.source, stored.target) == (now.text, now.source, now.target)
    assert stored.log_probability == pytest.approx(now.log_probability, abs=1e-2)
    np.testing.assert_allclose(stored.cross, now.cross, atol=5e-3)
    assert [node.text for node in stored.nodes if node.chosen] == [node.text for node in now.nodes if node.chosen]


def test_a_sentence_is_translated_and_streamed(demo_host: DemoHost) -> None:
    job = demo_host.client.submit(SENTENCE, "en_de", 4, 1.0, api_name="/translator_translate")
    whole = job.result()
    grown = [step[0] for step in job.outputs()]
    assert whole[0] == example().text
    assert len(grown) > 3
    assert grown[-1] == whole[0]
    assert "en_de" in whole[1]


def test_each_sentence_of_a_text_is_translated(demo_host: DemoHost) -> None:
    found = demo_host.call("translate", "A man is sitting. Two dogs run.", "en_de", 2, 1.0)
    assert found[0].count(".") == 2
    assert len(found[2]["choices"]) == 2


def test_chinese_is_written(demo_host: DemoHost) -> None:
    text = demo_host.call("translate", "I am happy.", "en_zh", 4, 1.0)[0]
    assert any("\u4e00" <= letter <= "\u9fff" for letter in text)


def test_a_layer_and_a_head_can_be_looked_at(demo_host: DemoHost) -> None:
    average = demo_host.call("look", 0, "average", "average")
    one = demo_host.call("look", 0, "2", "1")
    assert average[0] != one[0]
    assert "tra-lines" in one[0]
    assert "viz-map" in one[1]
    assert average == demo_host.call("look", 0, "6", "average"), "a layer that it lacks is the average"


def test_a_given_translation_is_judged(demo_host: DemoHost) -> None:
    own = demo_host.call("force", SENTENCE, example().text, "en_de")
    odd = demo_host.call("force", SENTENCE, "Ein kleiner Tisch springt über einen Holzzaun.", "en_de")
    assert "Where it differs" in odd
    assert own != odd


@pytest.mark.parametrize(
    ("action", "arguments", "said"),
    [
        ("translate", ("", "en_de", 4, 1.0), "nothing to translate"),
        ("translate", (" \n ", "en_de", 4, 1.0), "nothing to translate"),
        ("translate", ("我喜欢狗。", "en_de", 4, 1.0), "reads English"),
        ("translate", ("A dog.", "opus_mt_zh_en", 4, 1.0), "not on this disk"),
        ("translate", ("x" * 20_001, "en_de", 4, 1.0), "the limit is"),
        ("force", (SENTENCE, " ", "en_de"), "no translation to judge"),
        ("force", ("", "Ein Hund.", "en_de"), "nothing to translate"),
        ("look", (0, "0", "average"), "choices"),
        ("example", (99,), "no example 99"),
    ],
)
def test_bad_input_gets_a_sentence(demo_host: DemoHost, action: str, arguments: tuple[Any, ...], said: str) -> None:
    with pytest.raises(AppError, match=said):
        demo_host.call(action, *arguments)


@pytest.mark.parametrize("text", ["🙂", "a" * 3000, "<script>alert(1)</script> dog", "\u202e dog", "?" * 200])
def test_odd_texts_are_translated_or_refused_but_never_an_error(demo_host: DemoHost, text: str) -> None:
    said = ""
    drawn: list[str] = []
    try:
        drawn = [str(part) for part in demo_host.call("translate", text, "en_de", 4, 1.0)[3:]]
    except AppError as error:
        said = str(error)
    assert "Something went wrong" not in said
    assert not any("<script>" in part for part in drawn)
    assert said or drawn


def test_what_visitors_write_is_escaped() -> None:
    attack = "<img src=x onerror=alert(1)>"
    seen = example()
    poisoned = Seen(
        **{**seen.__dict__, "source": (attack, *seen.source[1:]), "target": (" " + attack, *seen.target[1:])}
    )
    words = alignment(poisoned, None, None)
    for drawn in (views.alignment_lines(*words), views.alignment_map(*words), views.two_designs(poisoned)):
        assert "<img" not in drawn
        assert "&lt;img" in drawn


def test_no_panel_needs_a_translation_first() -> None:
    assert views.alignment_lines([], [], np.zeros((0, 0), np.float32))
    assert views.about([example()])


@pytest.mark.browser
def test_a_visitor_translates_and_looks(demo_host: DemoHost, visit: Visits) -> None:
    for width, theme in ((1280, "light"), (390, "dark")):
        seen = visit(demo_host.url, width=width, theme=theme)
        page = seen.page
        page.locator("textarea").first.fill("A woman is reading a book.")
        page.get_by_role("button", name="Translate", exact=True).click()
        page.wait_for_function(
            "() => [...document.querySelectorAll('textarea')].some(box => /Frau.*\\./.test(box.value))"
        )
        page.locator(".tra-lines text", has_text="Frau").first.wait_for()
        page.locator(".tra-tree .tra-chosen text", has_text="Frau").first.wait_for(state="attached")
        page.get_by_role("tab", name="Your own translation").click()
        page.get_by_role("button", name="What does the network think of it?").click()
        page.locator(".viz-strip").first.wait_for()
        assert seen.overflow() == 0
        assert not seen.complaints
        assert not seen.strangers(demo_host.url)
