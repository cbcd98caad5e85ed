"""What a demo brings so that its models can learn from one's own examples. Imports torch.

A plugin writes a subclass of `Tuner` in a module of its own and names what makes one in its `Demo`:

Demo(..., tuner=load_tuner)

def load_tuner() -> Tuner:
    from my_demo.tuner import MyTuner
    return MyTuner()

The host reads the examples, chooses what learns, trains, measures, and writes the checkpoint.
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
from demo_app.nn.stages import Row, State

M = TypeVar("M")


class Tuner(ABC, Generic[M]):
    """How a demo's models are taken apart and put together. `M` is what the demo's `load` returns."""

    reads: tuple[str, ...]  # what an example has beside its label, of "text" and "image"
    head: tuple[str, ...]  # the layers that know the classes, by their names in the network: the last ones
    augments: bool = False  # whether `augment` changes anything

    @abstractmethod
    def load(self, folder: Path) -> M:
        """The model of a checkpoint, on the CPU, in single precision, with each parameter in its place.

        Raises `DemoError` for a folder that holds another architecture.
        """

    @abstractmethod
    def labels(self, folder: Path) -> tuple[str, ...]:
        """The classes of a checkpoint, in the order of the logits, from its config alone."""

    def prepared(self, model: M, examples: Sequence[Example]) -> M:
        """The model, able to read these: with the words that they bring, for instance, which nobody taught it yet.

        All that it had before stays in its place; what is new has random weights.
        """
        return model

    @abstractmethod
    def network(self, model: M) -> nn.Module:
        """The model's own network. See `demo_app.nn.stages` for how it says where it can be cut."""

    @abstractmethod
    def renewed(self, model: M, labels: tuple[str, ...]) -> nn.Module:
        """A network of the same architecture with random weights, for these classes."""

    @abstractmethod
    def outline(self, folder: Path, labels: tuple[str, ...]) -> nn.Module:
        """The same as shapes alone, on the meta device (`demo_app.nn.weights.empty_weights`), from the checkpoint's config."""

    @abstractmethod
    def encode(self, model: M, examples: Sequence[Example]) -> list[Row]:
        """Each example as tensors without the batch axis: what the first stage takes, or what `read` makes that of."""

    def augment(self, model: M, state: State) -> State:
        """A batch of them that is changed a little, differently each time, as a mirror image is; see `augments`."""
        return state

    def read(self, model: M, state: State) -> State:
        """A batch of them as the network takes it; what needs less memory before it is done here, at every step."""
        return state

    @abstractmethod
    def with_network(self, model: M, network: nn.Module) -> M:
        """The model with another network in it."""

    @abstractmethod
    def predict(self, model: M, examples: Sequence[Example]) -> Tensor:
        """Probabilities (N, C), just as in use."""

    @abstractmethod
    def save(self, model: M, folder: Path) -> None:
        """Write the files that `load` reads."""

    def sample(self, folder: Path) -> list[Path]:
        """Write examples that show what a visitor may bring into a folder, and say where; or none."""
        return []

    def original(self, model: M) -> Sequence[Example]:
        """Examples of what the checkpoint was trained for, with its own labels, to see what is forgotten; or none."""
        return ()


def tuner_of(demo: Demo[M]) -> Tuner[M]:
    """The demo's tuner. Raises `TypeError` if it has none."""
    if demo.tuner is None:
        raise TypeError(f"The demo {demo.name!r} has no tuner, so it cannot be fine-tuned; give it one.")
    return cast(Tuner[M], demo.tuner())  # `Demo` knows it as a Protocol without torch's types


def begin(
    tuner: Tuner[M], model: M, had: tuple[str, ...], labels: tuple[str, ...], *, scratch: bool = False
) -> nn.Module:
    """A network for the classes `labels` that knows what the model knows, whose own classes are `had`.

    Where they are others, the rows of the head's last map are new, but for those of classes of the same name. With
    `scratch` all of it is new: random weights, to see what the checkpoint is worth.
    """
    network = tuner.renewed(model, labels).requires_grad_(True)
    if scratch:
        return network
    own, given = network.state_dict(), tuner.network(model).state_dict()
    with torch.no_grad():
        for name, tensor in own.items():
            if name not in given and is_head(tuner, name):  # an encoder that had no head
                continue
            by_class = tensor.ndim > 0 and len(tensor) == len(labels) and len(given[name]) == len(had)
            if labels == had or not (is_head(tuner, name) and by_class):
                tensor.copy_(given[name])
                continue
            for place, label in enumerate(labels):
                if label in had:
                    tensor[place] = given[name][had.index(label)]
    return network


def with_old_head(tuner: Tuner[M], model: M, had: tuple[str, ...], network: nn.Module) -> M:
    """The model with what `network` learned, but with its own head: what is left of its answers."""
    old = tuner.renewed(model, had)
    learned, given = network.state_dict(), tuner.network(model).state_dict()
    old.load_state_dict({name: given[name] if is_head(tuner, name) else learned[name] for name in given})
    return tuner.with_network(model, old)


def is_head(tuner: Tuner[M], name: str) -> bool:
    """Whether a parameter of that name belongs to the head."""
    return inside(name, tuner.head)
