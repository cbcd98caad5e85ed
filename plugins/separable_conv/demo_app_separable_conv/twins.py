"""The embedded networks side by side: their answers to the same picture, and what each costs."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from demo_app_separable_conv.checkpoints import CHECKPOINTS, WEIGHTS
from demo_app_separable_conv.explain import look
from demo_app_separable_conv.seen import Seen

if TYPE_CHECKING:
    from demo_app_separable_conv.classifier import Classifier

TWINS = ("cifar10", "cifar10_dense", "cifar10_attention")
RUNS = 15  # of each network, alternating; the median is reported


@dataclass(frozen=True, kw_only=True)
class Twin:
    """One of the networks, its answer and its costs."""

    title: str
    seen: Seen
    accuracy: float  # on held-out pictures, after training
    examples: int  # number of held-out pictures
    multiply_adds: int  # for one picture
    bytes: int  # of the weights on disk
    milliseconds: float  # of a forward pass on one picture, measured now


def compare(networks: Mapping[str, Classifier], picture: Image.Image) -> list[Twin]:
    """The answer and the costs of each network, by its checkpoint; their forward passes are timed alternately."""
    from demo_app_separable_conv.costs import network_cost

    seen = {name: look(classifier, picture, checkpoint=name) for name, classifier in networks.items()}
    inputs = {name: classifier.read(seen[name].pixels) for name, classifier in networks.items()}
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(RUNS):
        for name, classifier in networks.items():
            started = time.perf_counter()
            classifier.logits(inputs[name])
            seconds[name].append(time.perf_counter() - started)
    titles = {checkpoint.name: checkpoint.title for checkpoint in CHECKPOINTS}
    twins = []
    for name, classifier in networks.items():
        measured = metrics(name)
        twins.append(
            Twin(
                title=titles[name],
                seen=seen[name],
                accuracy=measured["accuracy"],
                examples=int(measured["examples"]),
                multiply_adds=network_cost(classifier.network).multiply_adds,
                bytes=(WEIGHTS / name / "model.safetensors").stat().st_size,
                milliseconds=1000 * statistics.median(seconds[name]),
            )
        )
    return twins


def metrics(name: str) -> dict[str, float]:
    """The metrics of an embedded checkpoint on held-out pictures, as training wrote them."""
    found: dict[str, float] = json.loads((WEIGHTS / name / "metrics.json").read_text("utf-8"))
    return found
