"""Reads OPUS-MT checkpoints (Tiedemann and Thottingal 2020, https://aclanthology.org/2020.eamt-1.61).

They are Marian networks (https://arxiv.org/abs/1804.00344): post-norm, one embedding for both languages and the output,
sines before cosines in the positions. Their SentencePiece models (Kudo and Richardson 2018,
https://arxiv.org/abs/1808.06226) split texts into pieces, and vocab.json numbers the pieces.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from demo_app import DemoError
from demo_app.nn import weights
from demo_app_translator.model import Config

RULES = (  # published name -> ours, applied in order
    (r"^model\.", ""),
    (r"^(encoder|decoder)\.layers\.", r"\1."),
    (r"^(encoder\.\d+)\.self_attn\.", r"\1.attention."),
    (r"^(decoder\.\d+)\.self_attn\.", r"\1.self_attention."),
    (r"\.encoder_attn\.", ".cross_attention."),
    (r"\.self_attn_layer_norm\.", ".ln_1."),
    (r"\.encoder_attn_layer_norm\.", ".ln_2."),
    (r"\.fc1\.", ".feed_forward.fc_in."),
    (r"\.fc2\.", ".feed_forward.fc_out."),
    (r"^(encoder\.\d+)\.final_layer_norm\.", r"\1.ln_2."),
    (r"^(decoder\.\d+)\.final_layer_norm\.", r"\1.ln_3."),
)
EMBEDDINGS = ("shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")
COMPUTED = ("encoder.embed_positions.weight", "decoder.embed_positions.weight")  # sinusoids, computed here
SPACE = "▁"
CODE = re.compile(r"(>>\w+<<)\s*")  # the language to translate into, if a model knows several


def is_published(fields: Mapping[str, Any]) -> bool:
    """Whether config.json has the Hub's layout and not this plugin's own."""
    return "model_type" in fields


def config_of(fields: Mapping[str, Any], vocabulary: Mapping[str, int]) -> Config:
    """Convert a published config.json. Raises `DemoError` for a network of another architecture.

    The file does not name the languages. Of the two pairs that are offered, the model that writes Chinese has codes
    for its scripts in the vocabulary, as in `>>cmn_Hans<<`.
    """
    _require(fields["model_type"] == "marian", "its model_type is {kind}", kind=fields["model_type"])
    _require(fields.get("activation_function") in ("swish", "silu"), "its activation is not swish")
    for name, value in (("scale_embedding", True), ("normalize_before", False), ("normalize_embedding", False)):
        _require(fields.get(name, value) == value, "its {name} is not {value}", name=name, value=value)
    for name in ("attention_heads", "ffn_dim"):
        same = fields[f"encoder_{name}"] == fields[f"decoder_{name}"]
        _require(same, "encoder and decoder differ in {name}", name=name)
    chinese = any(piece.startswith(">>cmn") for piece in vocabulary)
    return Config(
        source="en" if chinese else "zh",
        target="zh" if chinese else "en",
        source_vocab_size=fields["vocab_size"],
        target_vocab_size=fields["vocab_size"],
        pad_id=fields["pad_token_id"],
        start_id=fields["decoder_start_token_id"],
        end_id=fields["eos_token_id"],
        banned_ids=(fields["pad_token_id"],),
        max_tokens=fields["max_position_embeddings"],
        width=fields["d_model"],
        heads=fields["encoder_attention_heads"],
        encoder_layers=fields["encoder_layers"],
        decoder_layers=fields["decoder_layers"],
        feed_forward=fields["encoder_ffn_dim"],
        norm="post",
        activation="silu",
        dropout=0.0,
        shared_embedding=True,
        interleaved_positions=False,
        output_bias=True,
    )


def renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights. The decoder's queries, keys and values become one matrix; the embedding gets two names."""
    ours = weights.renamed(tensors, RULES)
    embeddings = [ours.pop(name) for name in EMBEDDINGS if name in ours]
    _require(bool(embeddings), "it has no embedding")
    ours["source_embedding.weight"] = ours["target_embedding.weight"] = embeddings[0]
    if "final_logits_bias" in ours:
        ours["output_bias"] = ours.pop("final_logits_bias").flatten()
    for name in [name for name in ours if re.search(r"^decoder\.\d+\.self_attention\.q_proj\.", name)]:
        parts = [name.replace(".q_proj.", f".{part}_proj.") for part in "qkv"]
        if all(part in ours for part in parts):
            ours[name.replace(".q_proj.", ".qkv_proj.")] = torch.cat([ours.pop(part) for part in parts])
    return {name: tensor for name, tensor in ours.items() if name not in COMPUTED}


class SentencePieces:
    """A `Vocabulary` from a SentencePiece model and the numbers of its pieces."""

    def __init__(self, model: Path, numbers: Mapping[str, int]) -> None:
        import sentencepiece

        self.processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
        self.numbers = numbers
        self.names = {number: piece for piece, number in numbers.items()}
        self.unknown = numbers["<unk>"]
        self.special = {numbers[name] for name in ("</s>", "<pad>") if name in numbers}

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without start and end. A leading language code, as in `>>cmn_Hans<< Hello`, is one token."""
        code = CODE.match(text)
        pieces = self.processor.encode(text[code.end() :] if code else text, out_type=str)
        return [self.numbers.get(piece, self.unknown) for piece in [*([code[1]] if code else []), *pieces]]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.pieces([token for token in ids if token not in self.special])).strip()

    def pieces(self, ids: Sequence[int]) -> list[str]:
        return [self.names.get(token, "<unk>").replace(SPACE, " ") for token in ids]


def vocabulary_of(folder: Path) -> dict[str, int]:
    """vocab.json: piece -> id, for both languages."""
    numbers: dict[str, int] = json.loads((folder / "vocab.json").read_text("utf-8"))
    return numbers


def _require(condition: bool, reason: str, **values: Any) -> None:
    """Raise `DemoError` with the reason, a template of `values`, unless the condition holds."""
    if not condition:
        raise DemoError(
            "This checkpoint is not one of OPUS-MT's as the translator reads them: " + reason + ".", **values
        )
