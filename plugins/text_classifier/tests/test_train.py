"""Training from a CSV file: reading, reproducing, resuming, evaluating; and the embedded checkpoints."""

from __future__ import annotations

import gzip
import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from demo_app_text_classifier import evaluate, train
from demo_app_text_classifier.classifier import Classifier
from demo_app_text_classifier.data import class_ids, read_csv
from demo_app_text_classifier.model import Config, TextClassifier
from demo_app_text_classifier.tokens import train_tokenizer

from demo_app import InputError
from demo_app.inputs.tables import label_names

GOOD, BAD = ("good", "fine", "lovely", "warm"), ("bad", "dull", "awful", "cold")
SHORT = "--epochs 2 --batch-size 8 --vocab-size 120 --width 16 --heads 2 --feed-forward 16 --max-tokens 16 --layers 1"
WEIGHTS = sorted(path.parent for path in evaluate.WEIGHTS.glob("*/config.json"))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """80 short reviews with one word that reveals the label."""
    words = [(word, label) for label, some in ((1, GOOD), (0, BAD)) for word in some]
    rows = [f'"a {word} film, number {number}",{label}' for number in range(10) for word, label in words]
    path = tmp_path / "table.csv"
    path.write_text("\n".join(["text,label", *rows]), "utf-8")
    return path


def run(table: Path, out: Path, *more: str) -> None:
    train.main(["--data", str(table), "--validation", str(table), "--out", str(out), *SHORT.split(), *more])


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(table: Path, tmp_path: Path) -> None:
    run(table, tmp_path / "one")
    run(table, tmp_path / "two")
    run(table, tmp_path / "other", "--seed", "1")
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    first, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "other"))
    assert first != other


@pytest.mark.parametrize("step", [5, 15])  # within the first epoch of ten steps, and within the second
def test_a_killed_training_resumes_to_the_same_weights(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    run(table, tmp_path / "whole")
    loss_of, calls = train.loss_of, itertools.count()

    def die(*arguments: Any) -> torch.Tensor:
        if next(calls) == step:
            raise KeyboardInterrupt
        return loss_of(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(train, "loss_of", die)
        with pytest.raises(KeyboardInterrupt):
            run(table, tmp_path / "killed")
    assert not (tmp_path / "killed" / "model.safetensors").exists()
    assert (tmp_path / "killed" / "training.pt").exists() == (step > 10)
    run(table, tmp_path / "killed")
    whole, killed = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "killed"))
    assert whole == killed
    assert not (tmp_path / "killed" / "training.pt").exists()


def test_it_learns_and_prints_the_scores_that_evaluate_finds_too(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(table, tmp_path / "model", "--epochs", "12", "--learning-rate", "0.01", "--convolution", "3")
    result = last_line(capsys)
    assert result.keys() == {"accuracy", "macro_f1", "examples", "seconds"}
    assert result["accuracy"] == 1.0
    assert result["examples"] == 80
    evaluate.main(["--checkpoint", str(tmp_path / "model"), "--data", str(table)])
    assert last_line(capsys) | {"seconds": 0} == result | {"seconds": 0}


def test_a_progress_bar_is_shown_on_stderr(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(table, tmp_path / "model")
    assert "20/20" in capsys.readouterr().err


def test_without_a_validation_file_every_twentieth_row_is_held_out(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train.main(["--data", str(table), "--out", str(tmp_path / "model"), *SHORT.split()])
    assert last_line(capsys)["examples"] == 4


def test_teachers_of_every_kind_are_trained_once_and_reused(table: Path, tmp_path: Path) -> None:
    options = ("--teachers", *train.TEACHERS, "--augment", "1", "--teacher-epochs", "1", "--r-drop", "0.5")
    run(table, tmp_path / "model", *options)
    files = sorted((tmp_path / "model" / "teachers").glob("*.safetensors"))
    assert len(files) == len(train.TEACHERS)
    written = [file.stat().st_mtime_ns for file in files]
    weights = (tmp_path / "model" / "model.safetensors").read_bytes()
    run(table, tmp_path / "model", *options)
    assert [file.stat().st_mtime_ns for file in files] == written
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == weights
    run(table, tmp_path / "second", "--distil", str(tmp_path / "model"))
    assert Classifier.load(tmp_path / "second", "cpu").labels == ("0", "1")


def test_training_continues_from_a_finished_checkpoint(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(table, tmp_path / "model", "--epochs", "12", "--learning-rate", "0.01", "--convolution", "3")
    more = ("--start", str(tmp_path / "model"), "--epochs", "1", "--learning-rate", "1e-5")
    run(table, tmp_path / "more", *more)
    assert last_line(capsys)["accuracy"] == 1.0
    for name in ("config.json", "tokenizer.json"):
        assert (tmp_path / "more" / name).read_bytes() == (tmp_path / "model" / name).read_bytes()
    with pytest.raises(SystemExit, match=r"the labels of .* are not those of the data"):
        run(table, tmp_path / "other", *more, "--labels", "bad,good")


def test_neutral_words_are_not_examples_by_themselves() -> None:
    assert train.neutral_words(["dull", "a dull film", "film of note", "note "]) == ["a", "film", "of"]


def test_a_quiet_start_is_the_network_without_its_layers() -> None:
    torch.manual_seed(0)
    config = Config(labels=("bad", "good"), vocab_size=9, width=16, heads=2, feed_forward=16)
    network = TextClassifier(config).eval()
    train.start_as_identity(network)
    for layer in network.layers:
        layer.attention.out_proj.bias.data.zero_()
        layer.feed_forward.fc_out.bias.data.zero_()
    ids, mask = torch.arange(1, 6)[None], torch.ones(1, 5, dtype=torch.bool)
    bare = TextClassifier(replace(config, layers=0)).eval()
    bare.load_state_dict({name: tensor for name, tensor in network.state_dict().items() if "layers." not in name})
    torch.testing.assert_close(network(ids, mask).logits, bare(ids, mask).logits)


def test_teachers_of_other_labels_are_refused(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(table, tmp_path / "model", "--labels", "bad,good")
    with pytest.raises(SystemExit, match="teachers' labels are not those of the data"):
        run(table, tmp_path / "second", "--distil", str(tmp_path / "model"))


def test_an_invalid_setting_gets_one_sentence(table: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="error: width 16 cannot be shared out among 3 heads"):
        run(table, tmp_path / "model", "--heads", "3")


@pytest.mark.parametrize("kind", ["wordpiece", "bpe"])
def test_training_a_tokenizer_is_reproducible(kind: str) -> None:
    texts = [f"{word}ness un{word}ly {word}" for word in (*GOOD, *BAD)]
    assert len({train_tokenizer(texts, kind, 80).to_str() for _ in range(5)}) == 1


def test_names_and_numbers_of_labels() -> None:
    assert label_names(["10", "2", "0"]) == ("0", "2", "10")
    assert label_names(["joy", "anger", "joy"]) == ("anger", "joy")
    assert class_ids(["1", "joy", "0"], ("anger", "joy")) == [1, 1, 0]
    with pytest.raises(InputError, match="label 'love' is unknown; use one of: anger, joy"):
        class_ids(["love"], ("anger", "joy"))


def test_scores_are_accuracy_and_macro_f1() -> None:
    predicted, wanted = torch.tensor([0, 0, 1, 1, 2]), torch.tensor([0, 1, 1, 1, 0])
    f1 = (2 * 1 / 4 + 2 * 2 / 5 + 0) / 3
    assert evaluate.scores(predicted, wanted, 3) == {"accuracy": 0.6, "macro_f1": round(f1, 5)}


def test_an_unknown_checkpoint_names_the_embedded_ones(table: Path) -> None:
    with pytest.raises(SystemExit, match=r"error: 'nothing' is neither a folder"):
        evaluate.main(["--checkpoint", "nothing", "--data", str(table)])


def test_csv_files_are_read_in_their_usual_encodings_packed_or_not(tmp_path: Path) -> None:
    content = '\ufefftext,label,more\n"好, 的",1,x\n"two\nlines",0,y\n'
    for name, data in (
        ("utf8.csv", content.lstrip("\ufeff").encode()),
        ("bom.csv", content.encode()),
        ("chinese.csv", content.lstrip("\ufeff").encode("gb18030")),
        ("packed.csv.gz", gzip.compress(content.encode())),
        ("windows.csv", content.replace("\n", "\r\n").encode()),
    ):
        (tmp_path / name).write_bytes(data)
        rows = read_csv(tmp_path / name, require_label=True)
        assert [text.replace("\r", "") for text in rows.texts] == ["好, 的", "two\nlines"]
        assert rows.labels == ["1", "0"]
        assert rows.columns == ["text", "label", "more"]
        assert rows.records[1]["more"] == "y"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a,b\n1,2\n", r"no column named 'text' \(its columns: 'a', 'b'\)"),
        (b"text\nx\n", "no column named 'label'"),
        (b"", r"no column named 'text' \(its columns: none\)"),
        (b"text,label\n", "a header but no rows"),
        (b"text,label\n" + b"x,1\n" * 11, "more than 10 rows"),
        (b"text,label\n\xff\xfe\xff,1\n", "neither UTF-8 nor GB18030"),
        ("text,label\nx,1\n".encode("utf-16"), "UTF-16"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "binary file"),
        (b"\x1f\x8bnot really", "cannot be read"),
        (b"text,label\n" + b"x" * 200_000, "a cell of more than 131,072 characters; shorten it"),
    ],
)
def test_an_unusable_file_gets_one_clear_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "file.csv").write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        read_csv(tmp_path / "file.csv", require_label=True, max_rows=10)
    with pytest.raises(InputError, match="does not exist"):
        read_csv(tmp_path / "nowhere.csv", require_label=True)


def test_byte_pairs_find_chinese_words_and_keep_punctuation_apart() -> None:
    tokenizer = train_tokenizer(["酒店很好，价格很贵。", "这个酒店不好！", "酒店不错，价格也好。"] * 20, "bpe", 32)
    tokens = tokenizer.encode("酒店真好，价格！").tokens
    assert "酒店" in tokens
    assert "价格" in tokens
    assert tokens[-1] == "!"  # normalised from its full-width form
    with pytest.raises(ValueError, match="choose one of: wordpiece, bpe"):
        train_tokenizer(["x"], "characters", 10)


def test_the_embedded_checkpoints_are_small() -> None:
    sizes = {folder.name: sum(file.stat().st_size for file in folder.iterdir()) for folder in WEIGHTS}
    assert sizes.keys() == {"sst2", "emotion", "zh_reviews"}
    assert max(sizes.values()) < 8e6
    assert sum(sizes.values()) < 20e6


@pytest.mark.parametrize(
    ("name", "text", "label"),
    [
        ("sst2", "a moving and beautifully acted film", "positive"),
        ("sst2", "a dull , pointless mess", "negative"),
        ("emotion", "i feel so angry and bitter about it", "anger"),
        ("emotion", "i am feeling happy and content today", "joy"),
        ("zh_reviews", "质量很好，很喜欢，下次还会再来买", "positive"),
        ("zh_reviews", "太差了，非常失望，要求退货", "negative"),
    ],
)
def test_the_embedded_checkpoints_answer_plain_cases(name: str, text: str, label: str) -> None:
    classifier = Classifier.load(evaluate.WEIGHTS / name, "cpu")
    assert classifier.labels[classifier.predict([text])[0].argmax()] == label


@pytest.mark.parametrize("folder", WEIGHTS, ids=lambda folder: folder.name)
def test_every_embedded_checkpoint_has_a_card_with_data_metric_command_and_licence(folder: Path) -> None:
    card = (folder / "README.md").read_text("utf-8").lower()
    for word in ("data", "accuracy", "demo_app_text_classifier.train", "parameters", "limits", "licence"):
        assert word in card


def test_a_folder_without_a_checkpoint_gets_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="embedded checkpoint"):
        evaluate.main(["--checkpoint", str(tmp_path), "--data", "none.csv"])
