"""Many questions at once: batches answer as single questions do, and a bad row does not stop the others."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch
from demo_app_image_text_fusion.answerer import Answerer
from demo_app_image_text_fusion.many import SCENE, answer_rows, fits, read_rows, tags
from demo_app_image_text_fusion.scenes import draw, examples
from PIL import Image

from demo_app import InputError
from demo_app.inputs.archives import by_name, pictures_in

((SCENE_MADE, QUESTION),) = examples(3, 1)
PICTURE = Image.fromarray(draw(SCENE_MADE))


def test_tags_are_the_answers_to_the_fixed_questions(answerer: Answerer) -> None:
    found = tags(answerer, PICTURE)
    assert [name for name, _, _ in found] == [name for name, _ in SCENE]
    for (_, answer, score), (_, question) in zip(found, SCENE, strict=True):
        alone = answerer.ask(PICTURE, [question])[0]
        assert answer == answerer.labels[int(alone.argmax())]
        assert score == pytest.approx(float(alone.max()), abs=1e-5)


def test_a_network_of_answers_ranks_no_captions(answerer: Answerer) -> None:
    with pytest.raises(InputError, match="choose ViLT for captions"):
        fits(answerer, PICTURE, ["a cat"])


def test_rows_are_answered_and_bad_ones_say_why(answerer: Answerer, tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "scene.png")
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        archive.write(tmp_path / "scene.png", "deep/scene.png")
        archive.writestr("deep/broken.png", b"no picture")
    rows = f"scene.png,{QUESTION.text}\ngone.png,what?\ndeep/broken.png,what?\nscene.png,\nscene.png,{QUESTION.text}"
    (tmp_path / "rows.csv").write_text(f"image,text\n{rows}\n", "utf-8")
    with pictures_in(tmp_path / "pictures.zip", max_pictures=9) as entries:
        answered = list(answer_rows(answerer, read_rows(tmp_path / "rows.csv", 9), by_name(entries)))
    assert [row.number for row in answered] == [1, 4, 5, 2, 3]  # rows about one picture together
    found = sorted(answered, key=lambda row: row.number)
    expected = answerer.ask(PICTURE, [QUESTION.text])[0]
    for row in (found[0], found[4]):
        assert row.answer == answerer.labels[int(expected.argmax())]
        assert row.score == pytest.approx(float(expected.max()), abs=1e-5)
    assert "not among the uploaded" in str(found[1].problem)
    assert "text" in str(found[2].problem)
    assert "empty" in str(found[3].problem)
    assert not any(row.answer for row in found[1:4])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a,b\n1,2\n", "no column named 'image'"),
        (b"image,text\n", "no rows"),
        (b"image,text\n" + b"a,b\n" * 10, "more than 9 rows"),
        (b"\xff\xfe\x80", "UTF-16"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "rows.csv").write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        read_rows(tmp_path / "rows.csv", 9)


def test_ten_questions_read_the_picture_once(answerer: Answerer, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    extract = answerer.network.extract

    def counted(name: str, *arguments: torch.Tensor) -> object:
        read.append(name)
        return extract(name, *arguments)

    monkeypatch.setattr(answerer.network, "extract", counted)
    answerer.ask(PICTURE, [QUESTION.text] * 10)
    assert read == ["image", "text"]
