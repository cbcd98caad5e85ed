"""A network as a sequence of stages, so that frozen first stages need to be computed only once.

A stage takes and returns a tuple of tensors whose first axis is the batch. `nn.Sequential` is a list of stages; other
networks define theirs in a method `stages()`. A network without that method is one stage, computed every time.
"""

# B batch, N examples

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

Tensors = tuple[Tensor, ...]  # a batch between two stages, each (B, ...)
Row = tuple[Tensor, ...]  # the same of one example, without the first axis


@dataclass(frozen=True)
class Stage:
    """A part of a network: a function, and the modules that it uses."""

    call: Callable[..., Any]  # tensors to a tensor, or to a tuple of them
    modules: tuple[nn.Module, ...]  # all modules whose parameters it reads

    def __call__(self, tensors: Tensors) -> Tensors:
        out = self.call(*tensors)
        return out if isinstance(out, tuple) else (out,)

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [parameter for module in self.modules for parameter in module.parameters()]

    @property
    def trained(self) -> bool:
        return any(parameter.requires_grad for parameter in self.parameters)


@runtime_checkable
class Staged(Protocol):
    """A network that defines its stages."""

    def stages(self) -> Sequence[Stage]: ...


def stages_of(network: nn.Module) -> Sequence[Stage]:
    """The stages which in sequence compute the network."""
    if isinstance(network, Staged):
        return network.stages()
    if type(network) is nn.Sequential:
        return [Stage(module, (module,)) for module in network]
    return [Stage(network, (network,))]


def count_frozen(stages: Sequence[Stage]) -> int:
    """How many stages come before the first trained one; 0 if those have no parameters."""
    first = next((place for place, stage in enumerate(stages) if stage.trained), len(stages))
    return first if any(stage.parameters for stage in stages[:first]) else 0


class RemainingStages(nn.Module):
    """A network without its first stages; `forward` takes their output."""

    def __init__(self, network: nn.Module, stages: Sequence[Stage], first: int) -> None:
        super().__init__()
        self.network = network  # so that its parameters are found
        self.remaining = tuple(stages[first:])

    def forward(self, *tensors: Tensor) -> Tensor:
        """The first output of the last stage: the logits, (B, C)."""
        for stage in self.remaining:
            tensors = stage(tensors)
        return tensors[0]


def collate(rows: Sequence[Row], device: torch.device | str = "cpu") -> Tensors:
    """Rows as one batch; tensors of different lengths are padded with zeros, masks with False."""
    return tuple(
        (
            torch.stack(column)
            if all(one.shape == column[0].shape for one in column)
            else nn.utils.rnn.pad_sequence(list(column), batch_first=True)
        ).to(device)
        for column in zip(*rows, strict=True)
    )


def batches_by_length(rows: Sequence[Row], size: int) -> Iterator[list[int]]:
    """Row numbers of each batch: rows of similar length together, so that there is little padding."""
    order = sorted(range(len(rows)), key=lambda number: _length(rows[number]))
    for at in range(0, len(order), size):
        yield order[at : at + size]


def _length(row: Row) -> int:
    return len(row[0]) if row[0].ndim else 0


@torch.no_grad()
def run_stages(
    network: nn.Module, stages: Iterable[Stage], rows: Sequence[Row], batch_size: int = 64, bfloat16: bool = False
) -> list[Row]:
    """The output of these stages for each row, in evaluation mode and without gradients.

    Afterwards every module is in the mode that it was in.
    """
    done: list[Row] = [()] * len(rows)
    training = [module for module in network.modules() if module.training]
    network.eval()
    first = list(stages)
    device = next(network.parameters()).device
    try:
        for numbers in batches_by_length(rows, batch_size):
            tensors = collate([rows[number] for number in numbers], device)
            with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                for stage in first:
                    tensors = stage(tensors)
            for place, number in enumerate(numbers):
                done[number] = tuple(tensor[place].clone() for tensor in tensors)
    finally:
        for module in training:
            module.training = True
    return done
