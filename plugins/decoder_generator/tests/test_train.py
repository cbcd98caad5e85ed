"""Training from a text or from poems: it learns, repeats itself, goes on after a kill; every token is scored once."""

from __future__ import annotations

import gzip
import itertools
import json
import math
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from demo_app_decoder_generator import engine, evaluate, train
from demo_app_decoder_generator.model import Config, Decoder
from demo_app_decoder_generator.texts import (
    FORMS,
    SPECIAL,
    Poem,
    character_tokenizer,
    form_of,
    is_poems,
    poem_ids,
    prompt,
    read_poems,
    read_text,
)
from demo_app_decoder_generator.writer import Writer

from demo_app import InputError

FILES = ("config.json", "model.safetensors", "tokenizer.json")
SIZES = {"context": 32, "width": 16, "layers": 1, "heads": 2, "feed-forward": 32, "batch-size": 4, "threads": 1}
SHORT = [*(f"--{name}={value}" for name, value in SIZES.items()), "--device=cpu", "--steps=60", "--evaluate-every=20"]
SHORT += ["--precision=fp32"]  # what is faster is found by trying, and that may turn out differently on a busy machine
VERSES = ("床前明月光，", "疑是地上霜。", "举头望明月，", "低头思故乡。")


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Counting, over and over: what comes next is nearly certain to who read what came before."""
    path = tmp_path_factory.mktemp("data") / "text.txt"
    path.write_text("one, two, three, four, five!\n" * 120)
    return path


@pytest.fixture(scope="module")
def poems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    chance = random.Random(0)
    records = [
        {"title": f"月{number % 7}", "lines": ["".join(chance.sample(VERSES, 2)) for _ in range(2)]}
        for number in range(60)
    ]
    path = tmp_path_factory.mktemp("data") / "poems.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(json.dumps(record) for record in records).encode()))
    return path


def result(capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    """What was printed: one JSON object and nothing else."""
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    found: dict[str, float] = json.loads(printed)
    return found


def run(data: Path, out: Path, *more: str) -> None:
    train.main(["--data", str(data), "--out", str(out), *SHORT, *more])


@contextmanager
def dying(monkeypatch: pytest.MonkeyPatch, after: int) -> Iterator[None]:
    """Inside, training ends after the given number of steps."""
    loss_of, calls = train.loss_of, itertools.count()

    def dies(*arguments: Any) -> torch.Tensor:
        if next(calls) == after:
            raise KeyboardInterrupt
        return loss_of(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(train, "loss_of", dies)
        yield


def same(first: Path, second: Path) -> bool:
    return all((first / name).read_bytes() == (second / name).read_bytes() for name in FILES)


def test_it_learns_and_evaluate_finds_what_it_says(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(text, tmp_path, "--steps", "150", "--held-out", "0.1")
    trained = result(capsys)
    assert trained.keys() >= {"nats_per_token", "perplexity", "tokens", "parameters", "seconds"}
    known = len({*text.read_text()})
    assert trained["nats_per_token"] < 0.3 * math.log(known)  # of a guess among all characters
    assert not (tmp_path / "training.pt").exists()

    held_out = tmp_path / "held_out.txt"
    held_out.write_text(text.read_text()[-round(len(text.read_text()) * 0.1) :])
    evaluate.main(["--checkpoint", str(tmp_path), "--data", str(held_out)])
    scored = result(capsys)
    assert scored.keys() == {"nats_per_token", "perplexity", "tokens", "seconds"}
    assert scored["nats_per_token"] == pytest.approx(trained["nats_per_token"], abs=2e-4)
    assert scored["tokens"] == trained["tokens"] == len(held_out.read_text()) - 1
    assert scored["perplexity"] == pytest.approx(math.exp(scored["nats_per_token"]), rel=1e-3)


def test_poems_are_learnt_and_scored_with_their_form(
    poems: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(poems, tmp_path, "--steps", "120", "--context", "48")
    assert result(capsys)["nats_per_token"] < 1.5
    evaluate.main(["--checkpoint", str(tmp_path), "--data", str(poems)])
    scored = result(capsys)
    assert scored.keys() == {"nats_per_token", "perplexity", "tokens", "form_kept", "seconds"}
    assert scored["tokens"] == 60 * (24 + 1)  # every character of the bodies, and their ends; titles are given
    assert 0.0 <= scored["form_kept"] <= 1.0


def test_a_seed_gives_the_same_bytes_and_another_others(text: Path, tmp_path: Path) -> None:
    for name, seed in (("one", "3"), ("two", "3"), ("other", "4")):
        run(text, tmp_path / name, "--seed", seed)
    assert same(tmp_path / "one", tmp_path / "two")
    assert not same(tmp_path / "one", tmp_path / "other")


def test_a_training_that_was_killed_ends_as_one_that_was_not(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--steps", "400", "--evaluate-every", "10"]
    run(text, tmp_path / "whole", *more)
    whole = result(capsys)
    killed = tmp_path / "killed"
    command = ["-m", "demo_app_decoder_generator.train", "--data", str(text), "--out", str(killed), *SHORT, *more]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, *command], env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    assert process.stderr is not None
    for line in process.stderr:
        if b"step 30:" in line:  # the state after step 20 is on the disk, and perhaps half of that after step 30
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert (killed / "training.pt").exists()
    assert not (killed / "model.safetensors").exists()

    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=True)
    assert "going on after step" in done.stderr
    found = json.loads(done.stdout)
    assert {**found, "seconds": 0} == {**whole, "seconds": 0}
    assert same(tmp_path / "whole", killed)
    assert not (killed / "training.pt").exists()


@pytest.mark.slow
def test_two_processes_train_one_network(text: Path, tmp_path: Path) -> None:
    """As `torchrun` starts them; each sees windows of its own, and the first one speaks for both."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "demo_app_decoder_generator.train", "--data", str(text), "--out", str(tmp_path), *SHORT]
    command += ["--steps", "80", "--dropout", "0.1"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    run(text, tmp_path / "alone", "--steps", "80", "--dropout", "0.1", "--batch-size", "8")
    assert {path.name for path in tmp_path.iterdir()} == {*FILES, "alone"}
    one, two = (Writer.load(folder, "cpu") for folder in (tmp_path / "alone", tmp_path))
    held_out = train.read_corpus(text, 0.05, 1).held_out
    assert train.nats_per_token(two, held_out) == pytest.approx(found["nats_per_token"], abs=1e-3)
    assert found["nats_per_token"] < 1.1 * train.nats_per_token(one, held_out)  # as good as twice the batch


@pytest.mark.parametrize("more", [["--dropout", "0.1"], ["--context", "48"]], ids=["dropout", "poems"])
def test_a_restart_changes_neither_dropout_nor_the_order_of_poems(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    data = request.getfixturevalue("text" if "--dropout" in more else "poems")
    run(data, tmp_path / "whole", *more)
    with dying(monkeypatch, 35), pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "killed", *more)
    run(data, tmp_path / "killed", *more)
    assert same(tmp_path / "whole", tmp_path / "killed")


def test_a_state_of_other_settings_is_not_gone_on_with(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run(text, tmp_path / "whole", "--learning-rate", "0.01")
    with dying(monkeypatch, 35), pytest.raises(KeyboardInterrupt):
        run(text, tmp_path / "other")
    assert (tmp_path / "other" / "training.pt").exists()
    run(text, tmp_path / "other", "--learning-rate", "0.01")
    assert "other settings" in caplog.text
    assert same(tmp_path / "whole", tmp_path / "other")


@pytest.fixture(scope="module")
def narrow() -> Writer:
    """Looks back on 16 tokens."""
    torch.manual_seed(0)
    network = Decoder(Config(vocab_size=30, context=16, width=16, layers=2, heads=2, feed_forward=32))
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape) * 0.4
    return Writer(network, character_tokenizer(["abcdefghijklmnopqrstuvwxyz .,"]))


@torch.inference_mode()
def brute_force(writer: Writer, ids: list[int], stride: int) -> list[float]:
    """Each token by itself, in the earliest window that reaches it: the one in which most comes before it."""
    context, nats = writer.config.context, []
    for target in range(1, len(ids)):
        start = next(start for start in range(0, len(ids), stride) if start + context >= target)
        logits = writer.network(torch.tensor([ids[start:target]])).logits[0, -1]
        nats.append(-logits.log_softmax(-1)[ids[target]].item())
    return nats


@pytest.mark.parametrize("stride", [1, 3, 4, 7, 16])
@pytest.mark.parametrize("count", [2, 5, 16, 17, 18, 33, 50, 81])
def test_the_sliding_window_scores_every_token_once(narrow: Writer, count: int, stride: int) -> None:
    ids = torch.randint(30, (count,), generator=torch.Generator().manual_seed(count)).tolist()
    found = narrow.surprise(ids, stride=stride, batch_size=3)
    assert found.tolist() == pytest.approx(brute_force(narrow, ids, stride), abs=1e-4)


def test_a_text_of_one_token_has_nothing_to_score(narrow: Writer) -> None:
    assert narrow.surprise([3]).tolist() == []


def test_the_form_of_what_was_written_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = {
        "a": VERSES,
        "b": VERSES[:3],
        "c": ("床前明月光，疑是地上。",),
        "d": VERSES[:2],
    }  # the first and the last keep it
    tokenizer = character_tokenizer(["abcd", *VERSES], special=SPECIAL)
    stop = tokenizer.token_to_id("[EOS]")
    config = Config(vocab_size=tokenizer.get_vocab_size(), context=64, width=8, layers=1, heads=2, feed_forward=8)

    def dictated(logits: object, sampling: object, generator: object, seen: Sequence[int], *_: object) -> int:
        """What comes next in the body that belongs to the title."""
        tokens = [tokenizer.id_to_token(i) for i in seen]
        title, written = str(tokens[2]), len(tokens) - tokens.index("[SEP]") - 1
        return poem_ids(tokenizer, Poem("", bodies[title]))[3:][written]  # after [BOS] form [SEP]

    monkeypatch.setattr(engine, "draw", dictated)
    writer = Writer(Decoder(replace(config, stop_ids=(stop,))), tokenizer)
    assert evaluate.form_kept(writer, [Poem(title, VERSES) for title in bodies], seed=0) == 0.5


def test_the_form_is_that_of_every_verse() -> None:
    assert form_of("".join(VERSES)) == 5
    assert form_of("朝辞白帝彩云间，千里江陵一日还。") == 7
    for irregular in ("".join(VERSES[:3]), "床前明月光，朝辞白帝彩云间。", "独坐敬亭，云去。", "", "，。"):
        assert form_of(irregular) == 0


def test_a_poem_is_its_form_its_title_and_its_lines() -> None:
    tokenizer = character_tokenizer(["静夜思", *VERSES], special=SPECIAL)
    poem = Poem("静夜思", VERSES)
    ids = poem_ids(tokenizer, poem)
    tokens = [tokenizer.id_to_token(i) for i in ids]
    assert tokens == ["[BOS]", FORMS[5], *"静夜思", "[SEP]", *"".join(VERSES), "[EOS]"]
    assert [tokenizer.id_to_token(i) for i in poem_ids(tokenizer, poem, title=False)][:3] == [
        "[BOS]",
        FORMS[5],
        "[SEP]",
    ]
    assert prompt(tokenizer, "静夜思", 5, VERSES[0]) == ids[: 6 + len(VERSES[0])]


def test_texts_are_read_plain_and_gzipped_and_what_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "text"
    for content in ("早安\n".encode(), gzip.compress("早安\n".encode())):
        path.write_bytes(content)
        assert read_text(path) == "早安\n"
    for content, said in ((b"", "empty"), (b"\xff\xfe", "no UTF-8"), (b"\x1f\x8b broken", "no UTF-8 text, nor")):
        path.write_bytes(content)
        with pytest.raises(InputError, match=said):
            read_text(path)
    with pytest.raises(InputError, match="check the path"):
        read_text(tmp_path / "none")


def test_a_line_that_is_no_poem_is_named() -> None:
    good = '{"title": "a", "lines": ["b"]}'
    assert is_poems(good)
    assert not is_poems("{ no poem")
    for bad in ("{", "[]", '{"title": "a"}', '{"title": "a", "lines": 3}'):
        with pytest.raises(InputError, match="line 2 is no poem"):
            read_poems(f"{good}\n{bad}")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--data", "none.txt"], "check the path"),
        (["--positions", "sideways"], "positions 'sideways' is unknown"),
        (["--heads", "5"], "even head width|must each divide"),
    ],
)
def test_what_cannot_be_trained_is_said_in_a_sentence(text: Path, tmp_path: Path, more: list[str], said: str) -> None:
    with pytest.raises(SystemExit, match=said):
        run(text, tmp_path, *more)


def test_a_text_that_is_shorter_than_the_context_is_said_in_a_sentence(text: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="context"):
        run(text, tmp_path, "--context", "100000")


def test_an_unknown_checkpoint_is_said_in_a_sentence(text: Path) -> None:
    with pytest.raises(SystemExit, match="'nobody' is neither a folder"):
        evaluate.main(["--checkpoint", "nobody", "--data", str(text)])
