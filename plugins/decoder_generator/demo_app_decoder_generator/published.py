"""Reads published decoders: config.json into `Config`, their tensors' names and layouts into ours, tokenizer files.

GPT-2 (Radford et al. 2019), Llama (Touvron et al. 2023; SmolLM2 is one) and Qwen2 (Yang et al. 2024).
"""

# D width, H heads, G key-value heads, K width of a head, F inner width of the feed-forward half

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor

from demo_app import DemoError
from demo_app.nn import weights
from demo_app_decoder_generator.model import Config

# Published name -> ours, applied in this order
PREFIX = (r"^(transformer|model)\.", "")
GPT2 = (
    (r"^wte\.", "token_embedding."),
    (r"^wpe\.", "positions."),
    (r"^h\.(\d+)\.", r"layers.\1."),
    (r"\.attn\.c_attn\.", ".attention.qkv_proj."),
    (r"\.attn\.c_proj\.", ".attention.out_proj."),
    (r"\.mlp\.c_fc\.", ".feed_forward.fc_in."),
    (r"\.mlp\.c_proj\.", ".feed_forward.fc_out."),
    (r"^ln_f\.", "final_norm."),
)
LLAMA = (
    (r"^embed_tokens\.", "token_embedding."),
    (r"\.self_attn\.o_proj\.", ".attention.out_proj."),
    (r"\.mlp\.down_proj\.", ".feed_forward.fc_out."),
    (r"\.input_layernorm\.", ".ln_1."),
    (r"\.post_attention_layernorm\.", ".ln_2."),
    (r"^norm\.", "final_norm."),
)
# One matrix here, several there; in the order of the rows
JOINED = {
    ".attention.qkv_proj.": (".self_attn.q_proj.", ".self_attn.k_proj.", ".self_attn.v_proj."),
    ".feed_forward.fc_in.": (".mlp.gate_proj.", ".mlp.up_proj."),
}
MASKS = re.compile(r"(^|\.)attn\.(bias|masked_bias)$")
TRANSPOSED = re.compile(r"\.(c_attn|c_proj|c_fc)\.weight$")  # GPT-2's are (in, out)


def is_published(fields: Mapping[str, Any]) -> bool:
    """Whether config.json has the layout of `transformers`, and not this plugin's own."""
    return "model_type" in fields


def config_of(fields: Mapping[str, Any]) -> Config:
    """A published config.json as a `Config`. Raises `DemoError` for a network that `Decoder` cannot be."""
    kind = fields["model_type"]
    if kind == "gpt2":
        _require(fields["activation_function"] == "gelu_new", "its activation is not gelu_new")
        return Config(
            vocab_size=fields["vocab_size"],
            context=fields["n_positions"],
            width=fields["n_embd"],
            layers=fields["n_layer"],
            heads=fields["n_head"],
            feed_forward=fields.get("n_inner") or 4 * fields["n_embd"],
            positions="learned",
            norm="layer",
            norm_eps=fields["layer_norm_epsilon"],
            activation="gelu_tanh",
            qkv_bias=True,
            out_bias=True,
            stop_ids=(fields["eos_token_id"],),
        )
    if kind not in ("llama", "qwen2"):
        raise DemoError(
            "This checkpoint cannot be read by the generator: its model_type is {kind}; choose another.", kind=kind
        )
    _require(fields["hidden_act"] == "silu", "its activation is not silu")
    _require(fields.get("tie_word_embeddings", False), "its output matrix is not its embedding")
    _require(not fields.get("use_sliding_window"), "it attends in a sliding window")
    _require(not fields.get("rope_scaling"), "its rotary positions are scaled")
    base = fields.get("rope_theta") or fields.get("rope_parameters", {}).get("rope_theta", 10_000.0)
    return Config(
        vocab_size=fields["vocab_size"],
        context=fields["max_position_embeddings"],
        width=fields["hidden_size"],
        layers=fields["num_hidden_layers"],
        heads=fields["num_attention_heads"],
        kv_heads=fields["num_key_value_heads"],
        feed_forward=fields["intermediate_size"],
        rotary_base=float(base),
        norm_eps=fields["rms_norm_eps"],
        qkv_bias=kind == "qwen2",
        stop_ids=(fields["eos_token_id"],),
    )


def renamed(tensors: Mapping[str, Tensor], kind: str) -> dict[str, Tensor]:
    """Tensors with published names and layouts as ours.

    GPT-2's matrices are transposed views of the file; Llama's queries, keys and values are copied into one matrix.
    Raises `DemoError` if two tensors would get the same name, or a matrix lacks a part.
    """
    ours = weights.renamed(
        {
            name: tensor.T if kind == "gpt2" and TRANSPOSED.search(name) else tensor
            for name, tensor in tensors.items()
            if not MASKS.search(name) and name != "lm_head.weight"  # causal masks; the embedding again
        },
        (PREFIX, *(GPT2 if kind == "gpt2" else LLAMA)),
    )
    for joined, parts in JOINED.items() if kind != "gpt2" else ():
        for first in [name for name in ours if parts[0] in name]:
            pieces = [ours.pop(first.replace(parts[0], part), None) for part in parts]
            if any(piece is None for piece in pieces):
                raise DemoError(
                    "This checkpoint cannot be read by the generator: {name} lacks a neighbour; choose another.",
                    name=first,
                )
            ours[first.replace(parts[0], joined)] = torch.cat([piece for piece in pieces if piece is not None])
    return ours


def tokenizer_of(folder: Path) -> Tokenizer:
    """From tokenizer.json, or from GPT-2's vocab.json and merges.txt: byte pairs (Radford et al. 2019)."""
    if (folder / "tokenizer.json").is_file():
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer
    tokenizer = Tokenizer(models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise DemoError("This checkpoint cannot be read by the generator: {reason}; choose another.", reason=reason)
