"""A small network of scenes, with random weights."""

from __future__ import annotations

import pytest
import torch
from demo_app_image_text_fusion import scenes
from demo_app_image_text_fusion.answerer import Answerer
from demo_app_image_text_fusion.model import Config, Fusion, Modality
from demo_app_image_text_fusion.scene_data import POINTING
from demo_app_image_text_fusion.texts import word_tokenizer


@pytest.fixture(scope="session")
def answerer() -> Answerer:
    torch.manual_seed(0)
    tokenizer = word_tokenizer(question.text for _, question in scenes.examples(1, 2000, 4))
    config = Config(
        labels=scenes.ANSWERS,
        modalities=(
            Modality(name="text", kind="tokens", inputs=tokenizer.get_vocab_size(), places=(40,)),
            Modality(name="image", kind="stem", inputs=3, places=(8, 8), patch=8),
        ),
        width=32,
        heads=4,
        layers=3,
        feed_forward=64,
        pointing=POINTING,
    )
    network = Fusion(config)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    return Answerer(network, tokenizer)
