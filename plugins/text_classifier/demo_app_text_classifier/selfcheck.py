"""Published outputs of the checkpoints beside those of the models here, for `demo-app selfcheck`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from demo_app import Checkpoint, Comparison

if TYPE_CHECKING:
    from demo_app_text_classifier.classifier import Classifier

COURSE = "Hugging Face course, chapter 2"
QUICKTOUR = "Quicktour of transformers"
PIPELINES = "pipeline tests of transformers"
CARD = "recorded here when it was trained"

# Texts that share a padded batch, and the logits of each
LOGITS = {
    "distilbert_sst2": (
        (
            COURSE,
            {
                "I've been waiting for a HuggingFace course my whole life.": (-1.5607, 1.6123),
                "I hate this so much!": (4.1692, -3.3464),
            },
        ),
        (COURSE, {"So have I!": (-3.6183, 3.9137)}),
    )
}

# Source, text, likeliest label, its probability as published, tolerance
ANSWERS = {
    "distilbert_sst2": (
        (QUICKTOUR, "We are very happy to show you the 🤗 Transformers library.", "positive", 0.9998, 1e-4),
        (QUICKTOUR, "We hope you don't hate it.", "negative", 0.5309, 1e-4),
        (PIPELINES, "This is great !", "positive", 1.0, 1e-3),
        (PIPELINES, "This is bad !", "negative", 1.0, 1e-3),
        (PIPELINES, "Birds are a type of animal", "positive", 0.988, 1e-3),
    ),
    "sst2": (
        (CARD, "A warm, funny and moving film.", "positive", 0.9336, 2e-3),
        (CARD, "The plot is thin and the jokes are old.", "negative", 0.8907, 2e-3),
    ),
    "emotion": (
        (CARD, "i feel so lonely tonight", "sadness", 0.916, 2e-3),
        (CARD, "i was scared to open the door", "fear", 0.9324, 2e-3),
    ),
    "zh_reviews": (
        (CARD, "房间很干净,服务员也热情,下次还会再来。", "positive", 0.9136, 2e-3),
        (CARD, "质量太差,用了两天就坏了。", "negative", 0.9404, 2e-3),
    ),
}


def selfcheck(classifier: Classifier, checkpoint: Checkpoint) -> Iterator[Comparison]:
    """One comparison per published text; none for a checkpoint without published outputs."""
    for source, published in LOGITS.get(checkpoint.name, ()):
        encoded = classifier.encode(list(published))
        logits = classifier.network(encoded.ids, encoded.mask).logits.detach().cpu().tolist()  # (B, C)
        for (text, expected), found in zip(published.items(), logits, strict=True):
            yield Comparison(
                what=f"logits of {text!r}", source=source, expected=expected, found=tuple(found), tolerance=2e-4
            )
    for source, text, label, probability, tolerance in ANSWERS.get(checkpoint.name, ()):
        encoded = classifier.encode([text])
        shares = classifier.network(encoded.ids, encoded.mask).logits[0].softmax(-1)  # (C,), single precision
        found = shares[classifier.labels.index(label)].item()
        yield Comparison(
            what=f"{label}: {text!r}", source=source, expected=(probability,), found=(found,), tolerance=tolerance
        )
