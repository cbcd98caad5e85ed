"""Batches for a network whose frozen first stages are computed only once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demo_app.nn import stages
from demo_app.nn.stages import RemainingStages, Row, Stage, Tensors
from demo_app.training.processes import Process

Batch = tuple[Tensors, Tensor, int]  # tensors and classes of this process's share; examples of the whole batch


@dataclass(frozen=True)
class EncodedExamples:
    """Encoded examples and their classes."""

    rows: Sequence[Row]  # N
    classes: Tensor  # (N,) int64


class Feed:
    """The examples as they are where the frozen part of the network ends."""

    def __init__(
        self,
        network: nn.Module,
        preprocess: Stage,
        train: EncodedExamples,
        held_out: EncodedExamples,
        *,
        batch_size: int,
        process: Process,
        bfloat16: bool,
    ) -> None:
        """`preprocess` is computed before the network's own stages."""
        self.network, self.preprocess = network, preprocess
        self.batch_size, self.process, self.bfloat16 = batch_size, process, bfloat16
        self.raw = self.train, self.held_out = train, held_out
        self.cached = 0  # stages whose outputs the examples are

    @property
    def stages(self) -> list[Stage]:
        return [self.preprocess, *stages.stages_of(self.network)]

    def trained_part(self) -> nn.Module:
        """What is left to compute at each step. Recomputes the examples if another number of stages is frozen now."""
        whole = self.stages
        frozen = stages.count_frozen(whole)
        if frozen != self.cached:
            self.train, self.held_out = (
                EncodedExamples(
                    stages.run_stages(self.network, whole[:frozen], part.rows, bfloat16=self.bfloat16), part.classes
                )
                for part in self.raw
            )
            self.cached = frozen
        return RemainingStages(self.network, whole, frozen)

    def batches(self, augment: Callable[[Tensors], Tensors] | None) -> Iterator[Batch]:
        """The batches of an epoch, in a new random order."""
        least = max(2, self.process.count)  # BatchNorm needs two examples, and every process one in every step
        order = torch.split(torch.randperm(len(self.train.rows)), self.batch_size)
        for numbers in order if len(order) == 1 or len(order[-1]) >= least else order[:-1]:
            own = numbers[self.process.rank :: self.process.count]
            tensors = stages.collate([self.train.rows[number] for number in own.tolist()], self.process.device)
            if augment is not None and self.cached == 0:
                tensors = augment(tensors)
            yield tensors, self.train.classes[own].to(self.process.device), len(numbers)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Cross-entropy, scaled so that the mean over all processes is that of the whole batch."""
        tensors, classes, examples = batch
        logits = model(*tensors).float()  # (B, C)
        return F.cross_entropy(logits, classes, reduction="sum") * self.process.count / examples

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Loss and accuracy on the held-out examples."""
        remaining = RemainingStages(network, self.stages, self.cached)
        logits, classes = [], []
        for numbers in stages.batches_by_length(self.held_out.rows, 64):
            tensors = stages.collate([self.held_out.rows[number] for number in numbers], self.process.device)
            with torch.autocast(self.process.device.type, torch.bfloat16, enabled=self.bfloat16):
                logits.append(remaining(*tensors).float().cpu())
            classes.append(self.held_out.classes[numbers])
        predicted, targets = torch.cat(logits), torch.cat(classes)  # (N, C), (N,)
        loss = F.cross_entropy(predicted, targets).item()
        return {"loss": loss, "accuracy": (predicted.argmax(1) == targets).double().mean().item()}
