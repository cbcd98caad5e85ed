"""A training as it goes on: a bar, and curves of loss and accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from demo_app import viz
from demo_app.finetune.updates import Finished, Planned, Running, Started, Update, Waiting
from demo_app.i18n import say
from demo_app.page.phrases import time_left

MOST_POINTS = 300  # of a curve
Curve = list[tuple[float, float]]  # epoch and value


@dataclass
class TrainingProgress:
    """What a training has reported so far."""

    strategies: Sequence[str]
    last: Update | None = None
    done: int = 0  # finished strategies
    training_loss: Curve = field(default_factory=list)
    held_out_loss: Curve = field(default_factory=list)
    accuracy: Curve = field(default_factory=list)  # on the held-out examples

    def take(self, update: Update) -> bool:
        """Note an update; returns whether it is a new one."""
        if update == self.last:
            return False
        self.last = update
        self.done += isinstance(update, Finished)
        if isinstance(update, Planned):
            self.training_loss, self.held_out_loss, self.accuracy = [], [], []
        if isinstance(update, Running):
            epoch = update.epochs * update.step / max(1, update.steps)
            self.training_loss.append((epoch, update.loss))
            if update.measured:
                self.held_out_loss.append((epoch, update.measured.get("loss", 0.0)))
                self.accuracy.append((epoch, update.measured.get("accuracy", 0.0)))
        return True

    def bar(self) -> str:
        """How far the training is, as HTML."""
        now = self.last
        if isinstance(now, Waiting) and now.place:
            count = f"{now.place:,}"
            others = say("One training comes") if now.place == 1 else say("{count} trainings come", count=count)
            return viz.note(say("{others} before yours, which then starts by itself.", others=others), kind="hint")
        if not isinstance(now, Running):
            reading = isinstance(now, Started | Planned)
            return viz.note("Reading the examples and the checkpoint …" if reading else "Starting …", kind="hint")
        facts = [
            say("epoch {count} of {total}", count=min(now.epoch + 1, now.epochs), total=now.epochs),
            time_left(now.seconds_left),
        ]
        if len(self.strategies) > 1:
            facts.insert(0, say("Strategy {count} of {total}", count=self.done + 1, total=len(self.strategies)))
        return viz.bars([now.strategy], [now.step / max(1, now.steps)], label=" · ".join(facts), full=1.0)

    def curves(self) -> str:
        """Loss and accuracy so far, as HTML; nothing before the first step."""
        if not self.training_loss:
            return ""
        loss = viz.lines(
            {"examples learned from": thin(self.training_loss), "kept back": thin(self.held_out_loss)},
            label="Loss",
            axis="epoch",
        )
        accuracy = viz.lines(
            {"": [], "kept back": thin(self.accuracy)}, label="Accuracy", axis="epoch", percent=True, full=1.0
        )
        return viz.side_by_side(loss, accuracy)


def thin(points: Curve) -> Curve:
    """A curve of at most `MOST_POINTS`, each the mean of its neighbours."""
    size = -(-len(points) // MOST_POINTS) or 1
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]
