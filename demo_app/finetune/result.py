"""The result of a fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Forgetting:
    """Accuracy on the task that the checkpoint was trained for, before and after."""

    before: float  # share of correct answers
    after: float
    examples: int
    of: str  # what was asked

    @property
    def lost(self) -> float:
        return self.before - self.after


@dataclass(frozen=True, kw_only=True)
class Result:
    """How good a fine-tuned checkpoint is. All scores are on the held-out examples, with the weights as saved."""

    strategy: str
    labels: tuple[str, ...]
    accuracy: float
    most_frequent: float  # accuracy of always predicting the most frequent class
    by_class: dict[str, dict[str, float]]  # precision, recall, f1 and number of examples of each
    confusion: list[list[int]]  # row: true class, column: predicted class
    forgetting: Forgetting | None
    trained: int  # parameters
    parameters: int
    seconds: float
    seconds_per_epoch: float
    epochs: int
    steps: int
    best_epoch: int
    ended: str  # finished, early, stopped
    examples: int  # trained on
    held_out: int  # examples
    cached: int  # frozen stages at the beginning that were computed once
    plan: list[tuple[str, str, str, str]] = field(default_factory=list)  # see `Plan.table`

    def row(self) -> dict[str, str]:
        """A row of the table that compares strategies."""
        lost = self.forgetting
        return {
            "strategy": self.strategy,
            "accuracy": f"{self.accuracy:.1%}",
            "trained parameters": f"{self.trained:,}",
            "seconds": f"{self.seconds:.1f}",
            "seconds an epoch": f"{self.seconds_per_epoch:.2f}",
            "epochs": str(self.epochs),
            "original task": f"{lost.before:.1%} to {lost.after:.1%}" if lost else "",
        }
