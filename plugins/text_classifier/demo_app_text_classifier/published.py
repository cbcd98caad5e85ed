"""Reads published BERT-like checkpoints: config.json as `Config`, names of weights, WordPiece from vocab.txt.

DistilBERT (Sanh et al. 2019, https://arxiv.org/abs/1910.01108) with its classifier, and plain BERT encoders.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor

from demo_app import DemoError
from demo_app.nn import weights
from demo_app_text_classifier.model import Config

# Published name -> ours, applied in order; a layer's prefix comes first
DISTILBERT = (
    (r"^distilbert\.", ""),
    (r"^transformer\.layer\.", "layers."),
    (r"^(layers\.\d+\.attention)\.(q|k|v|out)_lin\.", r"\1.\2_proj."),
    (r"\.sa_layer_norm\.", ".ln_1."),
    (r"\.output_layer_norm\.", ".ln_2."),
    (r"\.ffn\.lin1\.", ".feed_forward.fc_in."),
    (r"\.ffn\.lin2\.", ".feed_forward.fc_out."),
    (r"^pre_classifier\.", "head_hidden."),
    (r"^classifier\.", "head."),
)
BERT = (
    (r"^bert\.", ""),
    (r"^encoder\.layer\.", "layers."),
    (r"\.attention\.self\.query\.", ".attention.q_proj."),
    (r"\.attention\.self\.key\.", ".attention.k_proj."),
    (r"\.attention\.self\.value\.", ".attention.v_proj."),
    (r"\.attention\.output\.dense\.", ".attention.out_proj."),
    (r"\.attention\.output\.LayerNorm\.", ".ln_1."),
    (r"\.intermediate\.dense\.", ".feed_forward.fc_in."),
    (r"(layers\.\d+)\.output\.dense\.", r"\1.feed_forward.fc_out."),
    (r"(layers\.\d+)\.output\.LayerNorm\.", r"\1.ln_2."),
)
EMBEDDINGS = (
    (r"^embeddings\.word_embeddings\.", "token_embedding."),
    (r"^embeddings\.position_embeddings\.", "positions."),
    (r"^embeddings\.LayerNorm\.", "embedding_norm."),
)
TOKEN_TYPES = "embeddings.token_type_embeddings.weight"


def is_published(fields: Mapping[str, Any]) -> bool:
    """Whether config.json has the Hub's layout and not this plugin's own."""
    return "model_type" in fields


def config_of(fields: Mapping[str, Any]) -> Config:
    """Convert a published config.json. Raises `DemoError` for a network of another architecture."""
    kind = fields["model_type"]
    if kind == "distilbert":
        _require(fields.get("activation", "gelu") == "gelu", "its activation is not gelu")
        return Config(
            labels=_labels(fields),
            vocab_size=fields["vocab_size"],
            max_tokens=fields["max_position_embeddings"],
            width=fields["dim"],
            heads=fields["n_heads"],
            layers=fields["n_layers"],
            feed_forward=fields["hidden_dim"],
            norm="post",
            norm_eps=1e-12,
            embedding_norm=True,
            pooling="first",
            head_hidden=True,
        )
    _require(kind == "bert", "its model_type is {kind}", kind=kind)
    _require(fields.get("architectures") == ["BertModel"], "of BERT only the plain encoder is read")
    _require(fields.get("hidden_act", "gelu") == "gelu", "its activation is not gelu")
    return Config(
        labels=(),  # an encoder without a head, whose output is the mean of its last layer
        vocab_size=fields["vocab_size"],
        max_tokens=fields["max_position_embeddings"],
        width=fields["hidden_size"],
        heads=fields["num_attention_heads"],
        layers=fields["num_hidden_layers"],
        feed_forward=fields["intermediate_size"],
        norm="post",
        norm_eps=fields["layer_norm_eps"],
        embedding_norm=True,
        pooling="mean",
    )


def renamed(tensors: Mapping[str, Tensor], kind: str) -> dict[str, Tensor]:
    """Rename the weights. Raises `DemoError` if two published names map to the same one.

    BERT adds one of two vectors to every token, for the first or the second sentence. Here is only ever a first one, so
    its vector is added to the position embeddings. The pooler, part of BERT's pre-training, is dropped.
    """
    ours = weights.renamed(tensors, (*(DISTILBERT if kind == "distilbert" else BERT), *EMBEDDINGS))
    if kind == "bert":
        types = ours.pop(TOKEN_TYPES, None)
        if types is not None and "positions.weight" in ours:
            ours["positions.weight"] = ours["positions.weight"] + types[0]
        ours = {name: tensor for name, tensor in ours.items() if not name.startswith("pooler.")}
    return ours


def tokenizer_of(folder: Path) -> Tokenizer:
    """Load tokenizer.json, or build BERT's WordPiece tokenizer (Devlin et al. 2018) from vocab.txt."""
    if (folder / "tokenizer.json").is_file():
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer
    lines = (folder / "vocab.txt").read_text("utf-8").splitlines()
    vocabulary = {token: number for number, token in enumerate(lines)}
    options = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=options.get("do_lower_case", True))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    ends = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    return tokenizer


def _labels(fields: Mapping[str, Any]) -> tuple[str, ...]:
    names = fields.get("id2label") or {str(i): f"LABEL_{i}" for i in range(fields.get("num_labels", 2))}
    return tuple(str(names[number]).lower() for number in sorted(names, key=int))


def _require(condition: bool, reason: str, **values: str) -> None:
    """Raise `DemoError` with the reason, a template of `values`, unless the condition holds."""
    if not condition:
        raise DemoError(
            "This checkpoint cannot be read by the text classifier: " + reason + "; choose another.", **values
        )
