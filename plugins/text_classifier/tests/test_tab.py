"""The tab over HTTP, as the page and other programs use it; tiny models, the real host."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from demo_app_text_classifier import views
from demo_app_text_classifier.classifier import Classifier
from demo_app_text_classifier.example import compute, example
from demo_app_text_classifier.explain import look, occlude
from demo_app_text_classifier.lessons import LESSONS
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from demo_app import InputError
from demo_app.page.widgets import index
from demo_app.serving.server import Server
from demo_app.testing import DemoHost
from demo_app.testing.browser import Visits

MAX_TEXT, MAX_ROWS = 2_000, 600
PLUGIN = """
from pathlib import Path
import demo_app
from demo_app_text_classifier import build, load, load_tuner

@demo_app.hookimpl
def register_demos():
    folders = {folders!r}
    checkpoints = tuple(demo_app.Checkpoint(name=n, title=n, folder=Path(f)) for n, f in folders.items())
    yield demo_app.Demo(
        name="text_classifier", title="T", summary="S", load=load, build=build, tuner=load_tuner,
        checkpoints=checkpoints,
    )
"""
PYPROJECT = """
[project]
name = "tiny-text-classifier"
version = "1"
requires-python = ">=3.11"
dependencies = ["demo-app"]
[project.entry-points.demo_app]
text_classifier = "tiny_text_classifier_plugin"
"""


@pytest.fixture(scope="module")
def deep(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with as many layers and heads as DistilBERT."""
    import torch
    from demo_app_text_classifier.model import Config, TextClassifier

    tokenizer = Classifier.load(folder, "cpu").tokenizer
    torch.manual_seed(0)
    config = Config(
        labels=("negative", "positive"),
        vocab_size=tokenizer.get_vocab_size(),
        width=24,
        heads=12,
        layers=6,
        feed_forward=24,
        max_tokens=512,
    )
    path = tmp_path_factory.mktemp("checkpoint") / "deep"
    Classifier(TextClassifier(config), tokenizer).save(path)
    return path


@pytest.fixture(scope="module")
def encoder(deep: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model without classes."""
    from demo_app_text_classifier.model import TextClassifier

    classifier = Classifier.load(deep, "cpu")
    path = tmp_path_factory.mktemp("checkpoint") / "encoder"
    Classifier(TextClassifier(replace(classifier.config, labels=())), classifier.tokenizer).save(path)
    return path


@pytest.fixture(scope="module")
def plugin_dir(
    folder: Path, chinese: Path, deep: Path, encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A plugin with this one's tab, and tiny models under the names of its own."""
    plugin = tmp_path_factory.mktemp("plugins") / "tiny"
    plugin.mkdir()
    folders = {"sst2": str(folder), "emotion": str(folder), "zh_reviews": str(chinese), "distilbert_sst2": str(deep)}
    folders["encoder"] = str(encoder)
    (plugin / "pyproject.toml").write_text(PYPROJECT)
    (plugin / "tiny_text_classifier_plugin.py").write_text(PLUGIN.replace("{folders!r}", repr(folders)))
    return plugin


@pytest.fixture(scope="module")
def demo_settings() -> dict[str, Any]:
    return {"max_text": MAX_TEXT, "max_rows": MAX_ROWS}


@pytest.fixture(scope="module")
def server(demo_host: DemoHost) -> Server:
    return demo_host.server


@pytest.fixture(scope="module")
def client(demo_host: DemoHost) -> Client:
    return demo_host.client


def call(client: Client, action: str, *args: Any, **kwargs: Any) -> Any:
    return client.predict(*args, api_name=f"/text_classifier_{action}", **kwargs)


def confidences(label: dict[str, Any]) -> dict[str, float]:
    return {entry["label"]: entry["confidence"] for entry in label["confidences"]}


def test_every_action_has_a_name_and_documents_what_it_takes_and_returns(server: Server) -> None:
    fns = [fn for fn in server.app.blocks.fns.values() if str(fn.api_name).startswith("text_classifier_")]
    public = {fn.api_name.removeprefix("text_classifier_"): fn for fn in fns if fn.api_visibility == "public"}
    public = {name: fn for name, fn in public.items() if name != "use_folder" and not name.startswith("finetune")}
    assert set(public) == {"classify", "example", "colour", "attention", "occlude", "compare", "classify_file"}
    for fn in public.values():
        assert "Args:" in fn.fn.__doc__
        assert "Returns:" in fn.fn.__doc__


def test_the_tab_stays_small(server: Server) -> None:
    (own,) = [t.blocks for t in server.app.tabs if t.name == "text_classifier"]
    assert len(own.blocks) < 120  # each costs every new session time and memory; layout rows included


def test_classify_gives_the_models_probabilities(client: Client, classifier: Classifier) -> None:
    answer, words, heads = call(client, "classify", "a film that is not bad", "sst2")
    expected = dict(zip(classifier.labels, classifier.predict(["a film that is not bad"])[0].tolist(), strict=True))
    assert confidences(answer) == pytest.approx(expected, abs=1e-5)
    assert "What speaks for" in words
    assert "viz-heads" in heads


def test_the_pickers_redraw_the_text_classified_last(client: Client, classifier: Classifier) -> None:
    call(client, "classify", "boring story", "sst2")
    words = call(client, "colour", "attention", "2", "3")
    assert ">boring</span>" in words
    assert "Attention received, layer 2, head 3" in words
    words, heads = call(client, "attention", "gradient", "1", "average")
    assert ">boring</span>" in words
    assert "layer 1, all heads, averaged" in heads


def test_a_layer_that_the_model_does_not_have_is_the_average(client: Client) -> None:
    call(client, "classify", "boring story", "sst2", layer="6", head="12")
    assert "all layers, all heads, averaged" in call(client, "attention", "gradient", "6", "12")[1]
    assert "layer 2, all heads, averaged" in call(client, "attention", "gradient", "2", "12")[1]
    call(client, "classify", "boring story", "distilbert_sst2")
    assert "layer 6, head 12" in call(client, "attention", "gradient", "6", "12")[1]


def test_before_the_first_click_the_pickers_redraw_the_pages_example(server: Server) -> None:
    fresh = Client(server.url, verbose=False)
    assert call(fresh, "colour", "attention", "average", "average") == views.words_view(
        example(), "attention", None, None
    )


def test_every_example_is_classified(client: Client) -> None:
    for number, lesson in enumerate(LESSONS):
        text, checkpoint, answer, words, heads = call(client, "example", number)
        assert (text, checkpoint) == (lesson.text, lesson.checkpoint)
        assert sum(confidences(answer).values()) == pytest.approx(1, abs=1e-3)
        assert "viz-lesson" in words
        assert "viz-heads" in heads


def test_occlusion_shows_each_word(client: Client, classifier: Classifier) -> None:
    view = call(client, "occlude", "not bad at all", "sst2")
    assert view == views.occlusion_view(occlude(classifier, "not bad at all"))
    assert all(f">{word}</span>" in view for word in ("not", "bad", "at", "all"))


def test_compare_gives_both_answers_and_the_difference(client: Client, classifier: Classifier) -> None:
    a, b, view = call(client, "compare", "the plot is original", "the plot is not original", "sst2")
    pair = look(classifier, ["the plot is original", "the plot is not original"])
    assert confidences(a) == pytest.approx(pair[0].scores(), abs=1e-4)
    assert confidences(b) == pytest.approx(pair[1].scores(), abs=1e-4)
    change = 100 * float(pair[1].probabilities[0] - pair[0].probabilities[0])
    assert f"{change:+.1f} pp" in view


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_a_file_comes_back_with_answers(client: Client, classifier: Classifier, tmp_path: Path, suffix: str) -> None:
    texts = ["a film that is not bad", "boring story", "=HYPERLINK(1)", "<script>alert(1)</script>"] * 100
    source = tmp_path / f"reviews{suffix}"
    with (gzip.open if suffix.endswith("gz") else open)(source, "wt", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["id", "text"], *([i, text] for i, text in enumerate(texts))])
    result, summary = call(client, "classify_file", handle_file(source), "sst2")
    with open(result, encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [str(i) for i in range(len(texts))]
    expected = classifier.predict(texts)
    assert [row["label"] for row in rows] == [classifier.labels[i] for i in expected.argmax(1)]
    np.testing.assert_allclose([float(row["probability"]) for row in rows], expected.max(1).values, atol=1e-4)
    assert rows[2]["text"] == "'=HYPERLINK(1)"
    assert "Answers" in summary


def test_labels_in_a_file_are_kept_and_compared(client: Client, tmp_path: Path) -> None:
    source = tmp_path / "labelled.csv"
    source.write_text("text,label\nboring story,0\na film,1\n")
    result, summary = call(client, "classify_file", handle_file(source), "sst2")
    header, first, _ = Path(result).read_text("utf-8-sig").splitlines()
    assert header == "text,label,predicted_label,probability"
    assert first.startswith("boring story,0,")
    assert "of the rows have the label that the file gives" in summary
    source.write_text("text,label\nboring story,maybe\n")
    assert "Not compared" in call(client, "classify_file", handle_file(source), "sst2")[1]


ODD = {
    "emoji": "😀🎬👍🏽",
    "right to left": "הסרט היה נפלא \u202eabc\u202c مرحبا",
    "control characters": "bad\x00 \x07film\x1b[31m",
    "markup": "<script>window.hacked=1</script><img src=x onerror=alert(1)>",
    "template": "${alert(1)} {{alert(1)}} `",
    "one letter": "a",
    "punctuation": "?!...",
    "combining": "Z̸̢a̷l̶g̵o" * 20,
    "many lines": "a\n\n\n" * 200,
    "no spaces": "x" * MAX_TEXT,
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("checkpoint", ["sst2", "zh_reviews"])
def test_odd_text_gets_an_answer_and_does_no_harm(client: Client, name: str, checkpoint: str) -> None:
    answer, words, heads = call(client, "classify", ODD[name], checkpoint)
    assert sum(confidences(answer).values()) == pytest.approx(1, abs=1e-3)
    for html in (words, heads):
        assert "<script" not in html
        assert "<img" not in html


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "The text is empty; write a sentence"),
        (" \n\t ", "The text is empty; write a sentence"),
        ("x" * 1_000_000, "1,000,000 characters and the limit is 2,000; shorten it"),
    ],
)
@pytest.mark.parametrize("action", ["classify", "occlude", "compare"])
def test_unusable_text_gets_a_sentence(client: Client, text: str, sentence: str, action: str) -> None:
    args = [text, "fine", "sst2"] if action == "compare" else [text, "sst2"]
    sentence = sentence.replace("The text is", "Text A is") if action == "compare" else sentence
    with pytest.raises(AppError, match=sentence):
        call(client, action, *args)
    assert call(client, "classify", "a film", "sst2")


def test_a_lone_surrogate_is_read_as_a_question_mark(server: Server) -> None:
    body = json.dumps({"data": ["bad \ud83d film", "sst2", "gradient", "average", "average"], "session_hash": "half"})
    url = f"{server.url}gradio_api/run/text_classifier_classify"
    response = httpx.post(url, content=body, headers={"content-type": "application/json"}, timeout=60)
    assert response.status_code == 200
    assert ">?</span>" in response.json()["data"][1]


def test_text_with_nothing_to_read_gets_a_sentence(client: Client) -> None:
    with pytest.raises(AppError, match="nothing that the model can read"):
        call(client, "classify", "\x01\x02", "sst2")


def test_a_single_word_cannot_be_taken_away(client: Client) -> None:
    with pytest.raises(AppError, match="write at least two"):
        call(client, "occlude", "film", "sst2")


def test_an_encoder_without_a_head_is_refused_until_it_is_fine_tuned(client: Client, tmp_path: Path) -> None:
    texts = tmp_path / "texts.csv"
    texts.write_text("text\na film\n")
    file = handle_file(texts)
    asked = {"classify": ["a film"], "occlude": ["a film"], "compare": ["a", "b"], "classify_file": [file]}
    for action, given in asked.items():
        with pytest.raises(AppError, match="has no classes yet; teach it some"):
            call(client, action, *given, "encoder")
    call(client, "finetune_example")
    call(client, "finetune", base="encoder", strategies=["freeze"], epochs=1)
    before, after = call(client, "finetune_try", text="a film", which="1")
    assert not before.get("confidences")
    assert sum(confidences(after).values()) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("no-text.csv", b"review,stars\ngood,5\n", "no column named 'text'"),
        ("utf-16.csv", "text\ngood\n".encode("utf-16"), "UTF-16; save it as UTF-8"),
        ("latin.csv", b"text\ncaf\xe9 \xff\n", "save it as UTF-8"),
        ("long.csv", b"text\n" + b"good\n" * 100_000, "more than 600 rows"),
        ("empty.csv", b"", "no column named 'text'"),
        ("header.csv", b"text\n", "no rows"),
        ("picture.csv", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "not a CSV"),
        ("broken.csv.gz", b"\x1f\x8b\x08\x00broken", "cannot be read"),
        ("picture.png", b"\x89PNG\r\n\x1a\n", "Invalid file type"),
    ],
)
def test_an_unusable_file_gets_a_sentence(
    client: Client, tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    source = tmp_path / name
    source.write_bytes(content)
    with pytest.raises(AppError, match=sentence):
        call(client, "classify_file", handle_file(source), "sst2")


def test_no_file_gets_a_sentence(client: Client) -> None:
    with pytest.raises(AppError, match="no file yet"):
        call(client, "classify_file", None, "sst2")


@pytest.mark.parametrize("choice", ["0", "-1", "last", ""])
def test_an_invalid_head_gets_a_sentence(choice: str) -> None:
    with pytest.raises(InputError, match="a number from 1 to 4"):
        index(choice, 4)


def test_the_page_opens_with_the_answer_of_the_real_model() -> None:
    """After a change of the weights: python -m demo_app_text_classifier.example"""
    shown, now = example(), compute()
    assert (shown.labels, shown.tokens, shown.length, shown.parameters) == (
        now.labels,
        now.tokens,
        now.length,
        now.parameters,
    )
    np.testing.assert_allclose(shown.probabilities, now.probabilities, atol=2e-3)
    np.testing.assert_allclose(shown.saliency, now.saliency, atol=2e-2)
    np.testing.assert_allclose(shown.attention, now.attention, atol=5e-3)


@contextmanager
def browser_page(visit: Visits, server: Server, **look: Any) -> Iterator[Any]:
    """The tab in a browser. At the end: no complaints, and no request to another host."""
    seen = visit(server.url, **look)
    seen.page.locator(".viz-strip").first.wait_for()
    yield seen.page
    assert seen.complaints == []
    assert seen.strangers(server.url) == []


def fits(page: Any) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.browser
def test_markup_in_text_and_label_is_shown_and_not_run(server: Server, visit: Visits) -> None:
    attack = "<img src=x onerror=alert(1)> ${alert(2)} {{alert(3)}}"
    with browser_page(visit, server) as page:
        page.locator("textarea").first.fill(attack)
        page.locator("textarea").first.press("Enter")
        page.locator(".viz-strip", has_text="onerror").wait_for()
        page.get_by_text("<script>alert(1)</script>").first.wait_for()  # a label of the tiny model
        page.get_by_role("tab", name="Take a word away").click()
        page.get_by_role("button", name="Take each word").click()
        page.locator(".viz-bars").first.wait_for()
        page.get_by_role("tab", name="Compare two").click()
        page.get_by_label("Text B").fill(attack)
        page.get_by_label("Text B").press("Enter")
        page.get_by_label("B less A, in points of probability").wait_for()


@pytest.mark.browser
def test_a_head_opens_with_the_keyboard_and_its_weights_can_be_read(server: Server, visit: Visits) -> None:
    with browser_page(visit, server) as page:
        page.get_by_role("button", name="Two halves").click()
        page.locator(".viz-lesson").wait_for()
        page.get_by_role("button", name="Layer 2, head 3").focus()
        page.keyboard.press("Enter")
        page.get_by_text("Who looks (row) at whom (column): layer 2, head 3").wait_for()
        assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Layer 2, head 3"
        assert page.get_by_role("button", name="Layer 2, head 3").get_attribute("aria-pressed") == "true"
        page.locator(".viz-map").focus()
        page.keyboard.press("ArrowRight")
        page.get_by_text("[CLS] looks at The:").wait_for()


@pytest.mark.browser
def test_the_pickers_offer_the_layers_and_heads_of_the_chosen_checkpoint(server: Server, visit: Visits) -> None:
    from playwright.sync_api import expect

    with browser_page(visit, server, width=390) as page:
        layer, head = (page.locator("fieldset", has=page.get_by_text(name, exact=True)) for name in ("Layer", "Head"))
        layers, heads = layer.get_by_role("radio"), head.get_by_role("radio")
        expect(layers).to_have_count(1 + 2)
        page.get_by_label("Checkpoint").click()
        page.get_by_role("option", name="distilbert_sst2").click()
        expect(layers).to_have_count(1 + 6)
        expect(heads).to_have_count(1 + 12)
        layer.get_by_label("5").check()  # what is shown has two layers
        page.get_by_text("all layers, all heads, averaged").wait_for()
        page.get_by_role("button", name="Classify", exact=True).click()
        page.get_by_role("button", name="Layer 6, head 12").click()
        page.get_by_text("Who looks (row) at whom (column): layer 6, head 12").wait_for()
        assert fits(page)
        grid = page.locator(".viz-scroll").filter(has=page.locator(".viz-heads"))
        assert grid.evaluate("box => box.scrollWidth <= box.clientWidth")  # all 72 heads are in sight
        page.get_by_label("Checkpoint").click()
        page.get_by_role("option", name="sst2", exact=False).first.click()
        expect(layers).to_have_count(1 + 2)
        expect(layer.get_by_label("average")).to_be_checked()
        page.get_by_role("button", name="Layer 4, head 7").click()  # still the deep one's
        page.get_by_text("Who looks (row) at whom (column): layer 4, head 7").wait_for()
        head.get_by_label("9").check()
        page.get_by_text("Who looks (row) at whom (column): layer 4, head 9").wait_for()


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(server: Server, visit: Visits, theme: str) -> None:
    with browser_page(visit, server, width=390, theme=theme) as page:
        assert fits(page)
        page.locator("textarea").first.fill("unlikely " * 100)
        page.get_by_role("button", name="Classify", exact=True).click()
        page.locator(".viz-token", has_text="unlikely").first.wait_for()
        assert fits(page)
        for name in ("Take a word away", "Compare two", "Label a file"):
            page.get_by_role("tab", name=name).click()
            assert fits(page)
