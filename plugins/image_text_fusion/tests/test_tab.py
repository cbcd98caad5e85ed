"""The tab over HTTP, as the page and other programs use it; the embedded network, the real host."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from demo_app_image_text_fusion import example_clip
from demo_app_image_text_fusion.actions import MAX_FRAMES, Actions, chosen
from demo_app_image_text_fusion.answerer import Answerer
from demo_app_image_text_fusion.checkpoints import WEIGHTS
from demo_app_image_text_fusion.example import EXAMPLE, compute, example, make
from demo_app_image_text_fusion.explain import matrix, most_visual_word, patches_of, words_of
from demo_app_image_text_fusion.lessons import LESSONS
from demo_app_image_text_fusion.video import MAX_FRAMES as DECODED
from demo_app_image_text_fusion.views import enlarged
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from demo_app import InputError
from demo_app.serving.server import Server
from demo_app.testing import DemoHost

ROOT = Path(__file__).resolve().parents[3]
MAX_ROWS = 40


@pytest.fixture(scope="module")
def demo_settings() -> dict[str, Any]:
    return {"max_rows": MAX_ROWS}


@pytest.fixture(scope="module")
def server(demo_host: DemoHost) -> Server:
    return demo_host.server


@pytest.fixture(scope="module")
def client(demo_host: DemoHost) -> Client:
    return demo_host.client


@pytest.fixture(scope="module")
def embedded() -> Answerer:
    return Answerer.load(WEIGHTS / "scenes", "cpu")


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "scene.png"
    Image.fromarray(EXAMPLE.pixels).save(path)
    return path


def call(client: Client, action: str, *args: Any) -> Any:
    return client.predict(*args, api_name=f"/image_text_fusion_{action}")


def scores(answer: dict[str, Any]) -> dict[str, float]:
    return {entry["label"]: entry["confidence"] for entry in answer["confidences"]}


def ask(client: Client, picture: Path, question: str) -> dict[str, float]:
    answer, *_ = call(client, "ask", handle_file(picture), question, "scenes", "average", "average")
    return scores(answer)


def refused(client: Client, action: str, *args: Any) -> str:
    with pytest.raises(AppError) as caught:
        call(client, action, *args)
    return str(caught.value)


def test_every_action_has_a_name_and_says_what_it_takes_and_returns(server: Server) -> None:
    fns = [fn for fn in server.app.blocks.fns.values() if str(fn.api_name).startswith("image_text_fusion_")]
    public = {fn.api_name.removeprefix("image_text_fusion_"): fn for fn in fns if fn.api_visibility == "public"}
    hosts = ("fetch", "cancel_fetch", "use_folder")
    public = {name: fn for name, fn in public.items() if name not in hosts and not name.startswith("finetune")}
    assert set(public) == {
        *("ask", "scene", "example", "word", "senses", "ask_drawing"),
        *("tags", "captions", "pictures", "video", "answer_file"),
    }
    for fn in public.values():
        assert "Args:" in fn.fn.__doc__
        assert "Returns:" in fn.fn.__doc__


def test_the_tab_stays_small(server: Server) -> None:
    (own,) = [t.blocks for t in server.app.tabs if t.name == "image_text_fusion"]
    assert len(own.blocks) < 155  # each costs every new session time and memory; layout rows included


def test_ask_gives_the_networks_scores(client: Client, picture: Path, embedded: Answerer) -> None:
    found = ask(client, picture, EXAMPLE.question)
    expected = embedded.ask(Image.fromarray(EXAMPLE.pixels), [EXAMPLE.question])[0]
    assert len(found) == 5
    for label, score in found.items():
        assert score == pytest.approx(float(expected[embedded.labels.index(label)]), abs=1e-4)


def test_the_page_opens_with_what_the_network_says_today(embedded: Answerer) -> None:
    today, stored = compute(), example()
    assert (today.answer, today.tokens, today.labels) == (stored.answer, stored.tokens, stored.labels)
    np.testing.assert_allclose(today.scores, stored.scores, atol=1e-3)
    np.testing.assert_allclose(today.attention, stored.attention, atol=5e-3)


def test_a_new_scene_comes_with_its_answer(client: Client) -> None:
    first, second = (call(client, "scene", "scenes", "average", "average") for _ in range(2))
    assert first[1] != second[1] or Path(first[0]).read_bytes() != Path(second[0]).read_bytes()
    assert re.search(r"The scene&#x27;s own answer: \w+|The scene's own answer: \w+", first[2])
    assert len(scores(first[3])) == 5


@pytest.mark.parametrize("number", range(len(LESSONS)))
def test_an_example_is_of_its_kind_and_teaches(client: Client, number: int) -> None:
    lesson = LESSONS[number]
    _, question, said, answer, *_ = call(client, "example", number, "scenes", "average", "average")
    made = make(lesson.seed, lesson.kind, lesson.language)
    assert question == made.question
    assert f"own answer: {made.answer}." in said
    assert scores(answer)


def test_there_is_no_example_beyond_the_last(client: Client) -> None:
    assert "no example" in refused(client, "example", 99, "scenes", "average", "average")


def test_a_word_lights_patches_and_a_patch_lights_words() -> None:
    seen, actions = example(), Actions(handle=None)  # type: ignore[arg-type]  # nothing is loaded for a click
    weights = matrix(seen, None, None)
    token = most_visual_word(seen)
    lit, words = actions.word(seen, "average", "average", token)
    assert lit.shape == enlarged(seen.picture).shape
    assert f'data-tile="{token}"' in words
    assert 'aria-pressed="true"' in words
    strength = patches_of(seen, weights, token)
    side = lit.shape[0] // seen.grid[0]
    brightest = np.unravel_index(int(strength.argmax()), seen.grid)
    block = lit[brightest[0] * side :, brightest[1] * side :][:side, :side].astype(int)
    assert (block[..., 0] - block[..., 2]).mean() > 60  # coloured, where grey has red as blue

    class Click:
        index = (10, 10)

    framed, words = actions.patch_clicked(seen, "average", "average", Click())  # type: ignore[arg-type]
    assert not np.array_equal(framed, lit)
    best = int(words_of(seen, weights, 0, 0).argmax())
    shares = [float(v) for v in re.findall(r'style="--v:([\d.]+)"', words)]
    assert int(np.argmax(shares)) == best


def test_layers_and_heads_change_what_is_shown(client: Client, picture: Path) -> None:
    call(client, "ask", handle_file(picture), EXAMPLE.question, "scenes", "average", "average")
    shown = [call(client, "word", layer, head)[1] for layer, head in (("1", "1"), ("2", "1"), ("rollout", "average"))]
    assert len(set(shown)) == 3


@pytest.mark.parametrize(("layer", "head"), [("0", "average"), ("x", "1"), ("-1", "1")])
def test_layers_and_heads_that_are_not_there_are_refused(layer: str, head: str) -> None:
    with pytest.raises(InputError, match="choose"):
        chosen(example(), layer, head)


def test_of_a_layer_that_this_network_lacks_the_average_is_shown() -> None:
    assert chosen(example(), "12", "12") == (None, None)  # ViLT has so many


def test_blind_and_deaf_are_asked_too(client: Client, picture: Path, embedded: Answerer) -> None:
    found = call(client, "senses", handle_file(picture), EXAMPLE.question, "scenes")
    assert "blind (no picture)" in found
    assert "deaf (no question)" in found
    expected = embedded.ask(None, [EXAMPLE.question])[0].max()
    assert f"{float(expected):.1%}" in found


def test_a_drawing_is_answered_on_white(client: Client, tmp_path: Path, embedded: Answerer) -> None:
    drawn = Image.new("RGBA", (384, 384), (0, 0, 0, 0))
    drawn.paste((204, 37, 41, 255), (100, 100, 220, 220))
    path = tmp_path / "drawn.png"
    drawn.save(path)
    sent = {"background": None, "layers": [], "composite": handle_file(path)}
    answer = call(client, "ask_drawing", sent, "what shape is the red thing?", "scenes")
    white = Image.new("RGB", drawn.size, "white")
    white.paste(drawn, mask=drawn.getchannel("A"))
    expected = embedded.ask(white, ["what shape is the red thing?"])[0]
    best = max(scores(answer).items(), key=lambda pair: pair[1])
    assert best[1] == pytest.approx(float(expected.max()), abs=1e-3)


def test_nothing_drawn_is_said(client: Client) -> None:
    empty = {"background": None, "layers": [], "composite": None}
    assert "Nothing is drawn" in refused(client, "ask_drawing", empty, "what shape is it?", "scenes")


def test_tags_are_the_answers_to_a_list(client: Client, picture: Path) -> None:
    found = call(client, "tags", handle_file(picture), "scenes")
    for tag in ("circles", "squares", "triangles", "red", "orange"):
        assert f">{tag}<" in found


def test_captions_need_a_checkpoint_from_the_hub(client: Client, picture: Path) -> None:
    assert "vilt" in refused(client, "captions", handle_file(picture), "a dog\na cat").lower()


def test_a_clip_is_answered_over_time(write_clip: Callable[..., Path], client: Client, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 20)
    answer, plot, frames = call(client, "video", handle_file(clip), "how many circles are there?", 4, "scenes")
    assert len(scores(answer)) == 5
    rows = plot["value"]["data"] if "value" in plot else plot["data"]
    assert len(rows) == 3 * 4  # the best three answers, in each frame
    assert frames.count("<tr>") == 1 + 4


def test_the_clip_that_the_tab_opens_with_is_answered(client: Client) -> None:
    """Yes while the circle is left of the square, no afterwards; in each of four frames it is clearly either."""
    _, _, frames = call(client, "video", handle_file(example_clip.FILE), example_clip.QUESTION, 4, "scenes")
    assert re.findall(r">(yes|no)<", frames) == ["yes", "yes", "no", "no"]


def test_what_is_no_clip_is_refused(
    write_clip: Callable[..., Path], client: Client, tmp_path: Path, picture: Path
) -> None:
    text = tmp_path / "clip.mp4"
    text.write_text("no video at all")
    question = "how many circles are there?"
    assert "no video" in refused(client, "video", handle_file(text), question, 4, "scenes")
    clip = write_clip(tmp_path / "good.mp4", 3)
    for count in (0, 2.5, 400, "many"):
        said = refused(client, "video", handle_file(clip), question, count, "scenes")
        assert f"Frames is {count}; give a whole number from 1 to 32" in said
    assert MAX_FRAMES == DECODED


def test_a_table_is_answered_row_by_row(client: Client, tmp_path: Path, picture: Path) -> None:
    table = tmp_path / "questions.csv"
    lines = [
        "image,text",
        "scene.png,how many circles are there?",
        "gone.png,how many?",
        "scene.png,",
        "scene.png,有几个圆形?",
    ]
    table.write_text("\n".join(lines), "utf-8")
    archive = tmp_path / "pictures.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(picture, "scene.png")
    result, summary = call(client, "answer_file", handle_file(table), [handle_file(archive)], "scenes")
    rows = list(csv.DictReader(io.StringIO(Path(result).read_text("utf-8-sig"))))
    assert [bool(row["answer"]) for row in rows] == [True, False, False, True]
    assert "gone.png" in rows[1]["problem"]
    assert "2 of 4 rows" in summary


def test_the_answers_to_the_table_before_go_when_another_is_answered(
    client: Client, tmp_path: Path, picture: Path
) -> None:
    table = tmp_path / "questions.csv"
    table.write_text("image,text\nscene.png,how many circles are there?", "utf-8")
    sent = (handle_file(table), [handle_file(picture)], "scenes")
    job = client.submit(*sent, api_name="/image_text_fusion_answer_file")
    job.result()
    (file, progress), *_ = job.outputs()
    assert file is None
    assert "0 of 1 rows" in progress


def test_a_table_that_is_too_long_is_refused(client: Client, tmp_path: Path, picture: Path) -> None:
    table = tmp_path / "questions.csv"
    table.write_text("image,text\n" + "scene.png,how many?\n" * (MAX_ROWS + 1), "utf-8")
    said = refused(client, "answer_file", handle_file(table), [handle_file(picture)], "scenes")
    assert f"more than {MAX_ROWS} rows" in said


@pytest.mark.parametrize("question", ["", "   ", "\u200b"])
def test_an_empty_question_is_refused(client: Client, picture: Path, question: str) -> None:
    assert "question is empty" in refused(client, "ask", handle_file(picture), question, "scenes", "average", "average")


def test_no_picture_is_said(client: Client) -> None:
    assert "Nothing is uploaded" in refused(client, "ask", None, "how many?", "scenes", "average", "average")


def test_a_long_question_is_shortened_and_said_so(client: Client, picture: Path) -> None:
    _, card, *_ = call(
        client, "ask", handle_file(picture), "how many circles are there? " * 20, "scenes", "average", "average"
    )
    assert "longer than 40 tokens; the rest was not read" in card


def test_an_unknown_word_is_said_and_harmless(client: Client, picture: Path) -> None:
    _, card, _, words = call(
        client, "ask", handle_file(picture), "how many <script>alert(1)</script>?", "scenes", "average", "average"
    )
    assert "It does not know" in card
    assert "<script>" not in card + words


@pytest.mark.parametrize("size", [(50, 3000), (3000, 50), (1, 1)])
def test_odd_shapes_are_answered(client: Client, tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "odd.png"
    Image.new("RGB", size, (200, 30, 30)).save(path)
    assert ask(client, path, "what shape is the red thing?")


def test_what_is_no_picture_is_refused(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"not a picture")
    assert "use a JPEG" in refused(client, "ask", handle_file(path), "how many?", "scenes", "average", "average")


def test_a_file_of_the_server_is_no_upload(client: Client) -> None:
    value = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
    assert "root" not in refused(client, "ask", value, "how many?", "scenes", "average", "average")


def test_the_embedded_checkpoint_says_how_good_it_is(embedded: Answerer) -> None:
    card = (WEIGHTS / "scenes" / "README.md").read_text("utf-8")
    metrics = json.loads((WEIGHTS / "scenes" / "metrics.json").read_text("utf-8"))
    for name in ("relational", "non_relational", "blind", "deaf"):
        assert f"{100 * metrics[name]:.1f} %" in card
    assert (WEIGHTS / "scenes" / "model.safetensors").stat().st_size < 9_000_000
