"""Random weights at GPT-2's size, in the layout of its Hub repository, and prompts for them."""

from __future__ import annotations

import json
from pathlib import Path

CONFIG = {
    "activation_function": "gelu_new",
    "architectures": ["GPT2LMHeadModel"],
    "bos_token_id": 50256,
    "eos_token_id": 50256,
    "layer_norm_epsilon": 1e-5,
    "model_type": "gpt2",
    "n_ctx": 1024,
    "n_embd": 768,
    "n_head": 12,
    "n_layer": 12,
    "n_positions": 1024,
    "vocab_size": 50257,
}
PROMPT = 32  # tokens


def publish(folder: Path) -> None:
    """Write random weights under the published names, and a vocabulary without merges."""
    import torch
    from safetensors.torch import save_file

    D, V = CONFIG["n_embd"], CONFIG["vocab_size"]
    torch.manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return 0.02 * torch.randn(shape)

    tensors = {"wte.weight": normal(V, D), "wpe.weight": normal(CONFIG["n_positions"], D)}
    norms = ["ln_f"]
    for layer in range(CONFIG["n_layer"]):
        for part, inputs, outputs in (
            ("attn.c_attn", D, 3 * D),
            ("attn.c_proj", D, D),
            ("mlp.c_fc", D, 4 * D),
            ("mlp.c_proj", 4 * D, D),
        ):
            tensors[f"h.{layer}.{part}.weight"] = normal(inputs, outputs)
            tensors[f"h.{layer}.{part}.bias"] = normal(outputs)
        norms += [f"h.{layer}.ln_1", f"h.{layer}.ln_2"]
    for norm in norms:
        tensors |= {f"{norm}.weight": 1 + normal(D), f"{norm}.bias": normal(D)}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {f"transformer.{name}": tensor for name, tensor in tensors.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n", "utf-8")
    words = {word(number): number for number in range(V)}
    (folder / "vocab.json").write_text(json.dumps(words), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", "utf-8")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "GPT2Tokenizer"}', "utf-8")


def word(number: int) -> str:
    """The text of a token."""
    return "<|endoftext|>" if number == CONFIG["eos_token_id"] else f"w{number}"


def prompt(number: int) -> list[int]:
    """Token ids, others for each number."""
    return [(7919 * number + 101 * place) % 50000 for place in range(PROMPT)]
