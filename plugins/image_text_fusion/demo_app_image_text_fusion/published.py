"""Reads published ViLT checkpoints: config.json to `Config`, and the names of tensors.

ViLT (Kim et al. 2021, https://arxiv.org/abs/2102.03334) answers questions about a picture (3,129 answers) or says how
well a caption fits it (one score). transformers shuffles the patches at each call, which changes only the last digits;
ours stay in order.
"""

# D width, h x w patches

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from demo_app import DemoError
from demo_app.nn import weights
from demo_app_image_text_fusion.model import Config, Modality

LAYER = (
    (r"^vilt\.encoder\.layer\.", "layers."),
    (r"\.attention\.attention\.query\.", ".attention.q_proj."),
    (r"\.attention\.attention\.key\.", ".attention.k_proj."),
    (r"\.attention\.attention\.value\.", ".attention.v_proj."),
    (r"\.attention\.output\.dense\.", ".attention.out_proj."),
    (r"\.layernorm_before\.", ".ln_1."),
    (r"\.layernorm_after\.", ".ln_2."),
    (r"\.intermediate\.dense\.", ".feed_forward.fc_in."),
    (r"(layers\.\d+)\.output\.dense\.", r"\1.feed_forward.fc_out."),
    (r"^vilt\.layernorm\.", "final_norm."),
    (r"^vilt\.pooler\.dense\.", "pooler."),
    (r"^classifier\.", "head."),
    (r"^rank_output\.", "head."),
    (r"^vilt\.embeddings\.text_embeddings\.word_embeddings\.", "extractors.text.embed."),
    (r"^vilt\.embeddings\.text_embeddings\.LayerNorm\.", "extractors.text.norm."),
    (r"^vilt\.embeddings\.patch_embeddings\.projection\.", "extractors.image.embed."),
)
TEXT = "vilt.embeddings.text_embeddings"
FITS = "fits"  # the one label of a network that ranks captions


def is_published(fields: Mapping[str, Any]) -> bool:
    """Whether a config.json has the layout of transformers, not this plugin's."""
    return "model_type" in fields


def config_of(fields: Mapping[str, Any]) -> Config:
    """The `Config` of a published config.json. Raises `DemoError` for a network that is not one of these ViLTs."""
    kinds = {"ViltForQuestionAnswering": "hidden", "ViltForImageAndTextRetrieval": "linear"}
    (kind,) = fields.get("architectures") or ("none",)
    if fields["model_type"] != "vilt" or kind not in kinds or fields.get("hidden_act", "gelu") != "gelu":
        raise DemoError(
            "This checkpoint cannot be read here: it is {type}, {kind}; choose another.",
            type=fields["model_type"],
            kind=kind,
        )
    names = fields.get("id2label", {})
    side = fields["image_size"] // fields["patch_size"]
    return Config(
        labels=tuple(names[number] for number in sorted(names, key=int)) if kinds[kind] == "hidden" else (FITS,),
        modalities=(
            Modality(
                name="text",
                kind="tokens",
                inputs=fields["vocab_size"],
                places=(fields["max_position_embeddings"],),
                norm=True,
            ),
            Modality(
                name="image",
                kind="patches",
                inputs=fields.get("num_channels", 3),
                places=(side, side),
                patch=fields["patch_size"],
                extra=True,
            ),
        ),
        width=fields["hidden_size"],
        heads=fields["num_attention_heads"],
        layers=fields["num_hidden_layers"],
        feed_forward=fields["intermediate_size"],
        norm_eps=fields["layer_norm_eps"],
        head=kinds[kind],
        scores="sigmoid",
        preparation="vilt",
    )


def renamed(tensors: Mapping[str, Tensor], config: Config) -> dict[str, Tensor]:
    """Published tensors under our names.

    ViLT's texts also get a vector for the first or the second sentence; here there is only a first, so it is added to
    the table of positions. The table of image positions begins with the position of the extra vector.
    """
    left = dict(tensors)
    grid = config.modalities[1].places
    places = left.pop("vilt.embeddings.position_embeddings")[0]  # (1 + h w, D)
    kinds = left.pop("vilt.embeddings.token_type_embeddings.weight")  # (2, D): text, image
    sentences = left.pop(f"{TEXT}.token_type_embeddings.weight")  # (2, D)
    words = left.pop(f"{TEXT}.position_embeddings.weight")  # (T, D)
    first = left.pop("vilt.embeddings.cls_token")[0, 0]  # (D,)
    left.pop(f"{TEXT}.position_ids", None)
    return weights.renamed(left, LAYER) | {
        "extractors.text.positions": words + sentences[0],
        "extractors.text.kind": kinds[0].clone(),
        "extractors.image.positions": places[1:].unflatten(0, grid).clone(),
        "extractors.image.kind": kinds[1].clone(),
        "extractors.image.extra": torch.stack((first, places[0])),
    }
