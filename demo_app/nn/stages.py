"""A network as stages that follow one another, so that the frozen first ones need to be computed only once.

A stage takes and gives a tuple of tensors whose first axis is the batch. `nn.Sequential` is a list of stages; another
network says its own in a method `stages()`. One that cannot is a single stage, and is simply computed every time.
"""

# B batch, N examples

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

State = tuple[Tensor, ...]  # of a batch, each (B, ...)
Row = tuple[Tensor, ...]  # of one example, without the first axis


@dataclass(frozen=True)
class Stage:
    """A part of a network: what is computed, and by which modules."""

    call: Callable[..., Any]  # tensors to a tensor, or to a tuple of them
    modules: tuple[nn.Module, ...]  # all those whose parameters it reads

    def __call__(self, state: State) -> State:
        out = self.call(*state)
        return out if isinstance(out, tuple) else (out,)

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [parameter for module in self.modules for parameter in module.parameters()]

    @property
    def trained(self) -> bool:
        return any(parameter.requires_grad for parameter in self.parameters)


@runtime_checkable
class Staged(Protocol):
    """A network that says how it can be cut."""

    def stages(self) -> Sequence[Stage]: ...


def stages_of(network: nn.Module) -> Sequence[Stage]:
    """Stages that one after another compute the network."""
    if isinstance(network, Staged):
        return network.stages()
    if type(network) is nn.Sequential:
        return [Stage(module, (module,)) for module in network]
    return [Stage(network, (network,))]


def frozen(stages: Sequence[Stage]) -> int:
    """How many stages come before the first that trains; none, where these have nothing to be frozen."""
    first = next((place for place, stage in enumerate(stages) if stage.trained), len(stages))
    return first if any(stage.parameters for stage in stages[:first]) else 0


class Rest(nn.Module):
    """What of a network is left after its first stages; `forward` takes the state that these gave."""

    def __init__(self, network: nn.Module, stages: Sequence[Stage], first: int) -> None:
        super().__init__()
        self.network = network  # so that its parameters are found
        self.rest = tuple(stages[first:])

    def forward(self, *state: Tensor) -> Tensor:
        """What the last stage gives first: the logits, (B, C)."""
        for stage in self.rest:
            state = stage(state)
        return state[0]


def collate(rows: Sequence[Row], device: torch.device | str = "cpu") -> State:
    """Rows as one batch; tensors of unlike length are filled up with zeros, a mask with False."""
    return tuple(
        (
            torch.stack(column)
            if all(one.shape == column[0].shape for one in column)
            else nn.utils.rnn.pad_sequence(list(column), batch_first=True)
        ).to(device)
        for column in zip(*rows, strict=True)
    )


def by_length(rows: Sequence[Row], size: int) -> Iterator[list[int]]:
    """Numbers of the rows of each batch: rows of like length together, so that little is filled up."""
    order = sorted(range(len(rows)), key=lambda number: _length(rows[number]))
    for at in range(0, len(order), size):
        yield order[at : at + size]


def _length(row: Row) -> int:
    return len(row[0]) if row[0].ndim else 0


@torch.no_grad()
def computed(
    network: nn.Module, stages: Iterable[Stage], rows: Sequence[Row], batch_size: int = 64, half: bool = False
) -> list[Row]:
    """What these stages make of each row, as in use: no dropout, no statistics move, no gradient is kept."""
    done: list[Row] = [()] * len(rows)
    training = [module for module in network.modules() if module.training]
    network.eval()
    first = list(stages)
    device = next(network.parameters()).device
    try:
        for numbers in by_length(rows, batch_size):
            state = collate([rows[number] for number in numbers], device)
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                for stage in first:
                    state = stage(state)
            for place, number in enumerate(numbers):
                done[number] = tuple(tensor[place].clone() for tensor in state)
    finally:
        for module in training:
            module.training = True
    return done
