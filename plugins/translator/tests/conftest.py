"""Tiny networks with random weights. One thread, because they are small and tests may share two CPUs."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable

import pytest
import torch
from demo_app_translator.model import Config, EncoderDecoder
from demo_app_translator.tokens import Pieces, train_tokenizer
from demo_app_translator.translator import Translator

from demo_app.machine import prepare_environment

prepare_environment()
os.environ.update(GRADIO_ANALYTICS_ENABLED="False", HF_HUB_OFFLINE="1")
torch.set_num_threads(1)

SIZES = (("small", "kleiner"), ("big", "großer"))
WHO = (("dog", "Hund"), ("cat", "Kater"), ("man", "Mann"), ("woman", "Typ"))
DOES = (("sees", "sieht"), ("has", "hat"), ("eats", "isst"))
WHAT = (("ball", "einen Ball"), ("fish", "einen Fisch"), ("house", "ein Haus"), ("red car", "ein rotes Auto"))
ALL = list(itertools.product(SIZES, WHO, DOES, WHAT))
ENGLISH = [f"A {size[0]} {who[0]} {does[0]} a {what[0]}." for size, who, does, what in ALL]
GERMAN = [f"Ein {size[1]} {who[1]} {does[1]} {what[1]}." for size, who, does, what in ALL]
TINY = {"width": 16, "heads": 2, "encoder_layers": 2, "decoder_layers": 2, "feed_forward": 24, "max_tokens": 32}


def network_of(vocab_size: int = 30, **changes: object) -> EncoderDecoder:
    torch.manual_seed(3)
    fields = TINY | {"source_vocab_size": vocab_size, "target_vocab_size": vocab_size} | changes
    network = EncoderDecoder(Config(source="en", target="de", **fields)).eval()
    for name, parameter in network.named_parameters():
        if "norm" not in name and "ln_" not in name:
            torch.nn.init.normal_(parameter, std=0.4)
    return network.requires_grad_(False)


@pytest.fixture(scope="session", name="network_of")
def networks() -> Callable[..., EncoderDecoder]:
    """`network_of(30, norm="post")`: an untrained network with that many tokens per language."""
    return network_of


@pytest.fixture(scope="session")
def pairs() -> tuple[list[str], list[str]]:
    """English sentences, and their German translations."""
    return ENGLISH, GERMAN


@pytest.fixture(scope="session")
def tiny() -> Translator:
    source = train_tokenizer(ENGLISH, "en", 80, lowercase=True)
    target = train_tokenizer(GERMAN, "de", 80, lowercase=False)
    sizes = {"source_vocab_size": source.get_vocab_size(), "target_vocab_size": target.get_vocab_size()}
    return Translator(network_of(**sizes), Pieces(source), Pieces(target))
