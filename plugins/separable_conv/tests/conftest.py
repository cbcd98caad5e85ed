"""Small networks of every kind in the plugin, and the embedded one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from demo_app_separable_conv.classifier import Classifier
from demo_app_separable_conv.model import Config, ConvNet, Stage
from torch import nn

WEIGHTS = Path(__file__).parent.parent / "demo_app_separable_conv" / "weights"


def with_trained_statistics(network: ConvNet) -> ConvNet:
    """The network with BatchNorm statistics as after training, and an attention whose gamma is not zero."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.3, 3.0)
            nn.init.uniform_(module.weight, 0.3, 2.0)
            nn.init.normal_(module.bias)
    if network.attention is not None:
        nn.init.constant_(network.attention.gamma, 0.7)
    return network.eval().requires_grad_(False)


def stages(block: str, **options: bool) -> tuple[Stage, ...]:
    return (Stage(width=8, block=block, repeats=2, **options), Stage(width=12, block=block, stride=2, **options))


@pytest.fixture(scope="session")
def make() -> Callable[[str], Classifier]:
    """A small classifier of cats, dogs and ships, by its kind: separable, linear, dense, inverted, attention."""

    def of(kind: str) -> Classifier:
        torch.manual_seed(0)
        chosen = {"linear": stages("separable", middle=False), "attention": stages("separable")}
        network = ConvNet(
            Config(
                labels=("cat", "dog", "ship"),
                stem=8,
                stages=chosen.get(kind) or stages(kind),
                attention=0 if kind == "attention" else None,
                head=16 if kind == "inverted" else 0,
                resize=32,
                crop=32,
            )
        )
        return Classifier(with_trained_statistics(network))

    return of


@pytest.fixture(scope="session")
def embedded() -> Classifier:
    return Classifier.load(WEIGHTS / "cifar10", "cpu")
