"""A tiny classifier with random weights and a real tokenizer, in folders like the embedded ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from demo_app.machine import prepare_environment

if TYPE_CHECKING:
    from demo_app_text_classifier.classifier import Classifier

prepare_environment()
os.environ.update(GRADIO_ANALYTICS_ENABLED="False", HF_HUB_OFFLINE="1")

SENTENCES = [
    "the plot is not very original , but the acting is wonderful .",
    "a film that is not bad at all",
    "i can't believe how unlikely this boring story is",
]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An English checkpoint: two layers, three heads; one of its labels is an attack on the page."""
    return _save(tmp_path_factory.mktemp("checkpoint") / "tiny", 0, SENTENCES, pooling="mean_max")


@pytest.fixture(scope="session")
def chinese(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = ["房间很干净,服务员也热情,下次还会再来。", "东西不错,就是快递太慢了。"]
    return _save(tmp_path_factory.mktemp("checkpoint") / "zh", 1, texts, pooling="first")


@pytest.fixture(scope="session")
def classifier(folder: Path) -> Classifier:
    from demo_app_text_classifier.classifier import Classifier

    return Classifier.load(folder, "cpu")


def _save(folder: Path, kind: int, texts: list[str], *, pooling: str) -> Path:
    import torch
    from demo_app_text_classifier.classifier import Classifier
    from demo_app_text_classifier.model import Config, TextClassifier
    from demo_app_text_classifier.tokens import TOKENIZERS, train_tokenizer

    torch.manual_seed(0)
    tokenizer = train_tokenizer(texts, TOKENIZERS[kind], 120)
    config = Config(
        labels=("negative", "positive", "<script>alert(1)</script>"),
        vocab_size=tokenizer.get_vocab_size(),
        width=12,
        heads=3,
        layers=2,
        feed_forward=24,
        max_tokens=100,
        pooling=pooling,
    )
    network = TextClassifier(config)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    Classifier(network, tokenizer).save(folder)
    return folder
