"""What a demo provides so that its models can be fine-tuned on a visitor's examples. Imports torch.

A plugin writes a subclass of `Tuner` in a module of its own, and its `Demo` names a function that returns one:

Demo(..., tuner=load_tuner)

def load_tuner() -> Tuner:
    from my_demo.tuner import MyTuner
    return MyTuner()

The host reads the examples, chooses what is trained, trains, evaluates, and writes the checkpoint.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, TypeVar, cast

import torch
from torch import Tensor, nn

from demo_app.api import Demo
from demo_app.finetune.data import Example
from demo_app.finetune.plans import inside
from demo_app.nn.stages import Row, Tensors

M = TypeVar("M")


class Tuner(ABC, Generic[M]):
    """How a demo's models are taken apart and put together. `M` is what the demo's `load` returns."""

    reads: tuple[str, ...]  # what an example has beside its label, of "text" and "image"
    head: tuple[str, ...]  # names of the network's last layers, which know the classes
    augments: bool = False  # whether `augment` changes anything

    @abstractmethod
    def load(self, folder: Path) -> M:
        """The model of a checkpoint, on the CPU, in single precision, with each parameter in its place.

        Raises `DemoError` for a folder that holds another architecture.
        """

    @abstractmethod
    def labels(self, folder: Path) -> tuple[str, ...]:
        """The classes of a checkpoint, in the order of the logits, from its config alone."""

    def prepare(self, model: M, examples: Sequence[Example]) -> M:
        """The model, able to read these examples: with new words in its vocabulary, for instance.

        All that it had before stays in its place; what is new has random weights.
        """
        return model

    @abstractmethod
    def network(self, model: M) -> nn.Module:
        """The model's own network. See `demo_app.nn.stages` for how it can be divided."""

    @abstractmethod
    def new_network(self, model: M, labels: tuple[str, ...]) -> nn.Module:
        """A network of the same architecture with random weights, for these classes."""

    @abstractmethod
    def outline(self, folder: Path, labels: tuple[str, ...]) -> nn.Module:
        """The same on the meta device (`demo_app.nn.weights.empty_weights`), from the checkpoint's config alone."""

    @abstractmethod
    def encode(self, model: M, examples: Sequence[Example]) -> list[Row]:
        """Each example as tensors without the batch axis: the input of the first stage, or of `preprocess`."""

    def augment(self, model: M, tensors: Tensors) -> Tensors:
        """Change a batch a little, differently each time, as by mirroring pictures; see `augments`."""
        return tensors

    def preprocess(self, model: M, tensors: Tensors) -> Tensors:
        """A batch as the network takes it. Runs at every step: for what would need more memory if done by `encode`."""
        return tensors

    @abstractmethod
    def with_network(self, model: M, network: nn.Module) -> M:
        """The model with another network in it."""

    @abstractmethod
    def predict(self, model: M, examples: Sequence[Example]) -> Tensor:
        """Probabilities (N, C), exactly as in use."""

    @abstractmethod
    def save(self, model: M, folder: Path) -> None:
        """Write the files that `load` reads."""

    def sample(self, folder: Path) -> list[Path]:
        """Write examples that a visitor can try into a folder; returns their paths, or none."""
        return []

    def original_examples(self, model: M) -> Sequence[Example]:
        """Labelled examples of the task that the checkpoint was trained for, to measure forgetting; or none."""
        return ()


def tuner_of(demo: Demo[M]) -> Tuner[M]:
    """The demo's tuner. Raises `TypeError` if it has none."""
    if demo.tuner is None:
        raise TypeError(f"The demo {demo.name!r} has no tuner, so it cannot be fine-tuned; give it one.")
    return cast(Tuner[M], demo.tuner())  # `Demo` knows it as a Protocol without torch's types


def start_network(
    tuner: Tuner[M], model: M, old_labels: tuple[str, ...], labels: tuple[str, ...], *, scratch: bool = False
) -> nn.Module:
    """A network for the classes `labels` with the weights of the model, whose own classes are `old_labels`.

    If the classes differ, the rows of the head's last map are new, except for classes of the same name. With `scratch`
    all weights are random, to see what the checkpoint is worth.
    """
    network = tuner.new_network(model, labels).requires_grad_(True)
    if scratch:
        return network
    own, given = network.state_dict(), tuner.network(model).state_dict()
    with torch.no_grad():
        for name, tensor in own.items():
            if name not in given and is_head(tuner, name):  # an encoder without a head
                continue
            by_class = tensor.ndim > 0 and len(tensor) == len(labels) and len(given[name]) == len(old_labels)
            if labels == old_labels or not (is_head(tuner, name) and by_class):
                tensor.copy_(given[name])
                continue
            for row, label in enumerate(labels):
                if label in old_labels:
                    tensor[row] = given[name][old_labels.index(label)]
    return network


def with_old_head(tuner: Tuner[M], model: M, old_labels: tuple[str, ...], network: nn.Module) -> M:
    """The model with the tuned `network` but its own head, to see what is left of its answers."""
    old = tuner.new_network(model, old_labels)
    tuned, given = network.state_dict(), tuner.network(model).state_dict()
    old.load_state_dict({name: given[name] if is_head(tuner, name) else tuned[name] for name in given})
    return tuner.with_network(model, old)


def is_head(tuner: Tuner[M], name: str) -> bool:
    """Whether the parameter of that name belongs to the head."""
    return inside(name, tuner.head)
