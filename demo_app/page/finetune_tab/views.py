"""What the tab "Fine-tune" draws with `demo_app.viz`: the data, the plan, a training as it goes, what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from demo_app import viz
from demo_app.finetune.data import Data, summary
from demo_app.finetune.updates import Finished, Planned, Running, Started, Waiting
from demo_app.i18n import say
from demo_app.inputs.text import short

if TYPE_CHECKING:
    from demo_app.finetune import Plan
    from demo_app.page.finetune_tab.session import Tried

CLASSES = 12  # that are drawn
PROBLEMS = 3
CELLS = 25  # classes of a grid
POINTS = 300  # of a curve


def data_view(data: Data) -> str:
    """Rows, classes and their shares, and what is wrong."""
    found = summary(data)
    shown = found.classes[:CLASSES]
    facts = [f"{found.rows:,} examples", f"{len(found.classes):,} classes"]
    if found.left_out:
        facts.append(f"{found.left_out:,} left out")
    if found.balance > 1.05:
        facts.append(f"the largest class has {found.balance:.1f} times as many as the smallest")
    said = [_fact(" · ".join(facts))]
    said.append(
        viz.bars(
            [share.label for share in shown],
            [share.share for share in shown],
            label="Share of each class",
            notes=[f"{share.count:,} of them" for share in shown],
            full=max((share.share for share in found.classes), default=1.0),
        )
    )
    if len(found.classes) > CLASSES:
        said.append(viz.note(f"and {len(found.classes) - CLASSES:,} more classes"))
    said += [viz.note(problem) for problem in data.problems[:PROBLEMS]]
    if len(data.problems) > PROBLEMS:
        said.append(viz.note(f"and {len(data.problems) - PROBLEMS:,} more such sentences"))
    if data.alike:
        pairs = "; ".join(" = ".join(f"“{short(label)}”" for label in group) for group in data.alike[:PROBLEMS])
        more = f" (+ {len(data.alike) - PROBLEMS:,})" if len(data.alike) > PROBLEMS else ""
        said.append(f'<p class="viz viz-lesson" translate="no" dir="auto">{viz.escape(pairs + more)}</p>')
    return "".join(said)


def plan_view(plans: Mapping[str, Plan], *, examples: int, kept: int, steps: int, minutes: int) -> str:
    """Who learns, and how fast; of several strategies side by side the learning rates alone."""
    first = next(iter(plans.values()))
    if len(plans) == 1:
        label, head = "Which layers learn, and how fast", ["layer", "parameters", "trained", "learning rate"]
        rows = [list(row) for row in first.table()]
        share = f"{100 * first.trained / max(1, first.parameters):.3g} %"
        rows.append(["all layers", f"{first.parameters:,}", f"{first.trained:,}", share])
    else:
        label = "Which layers learn, and how fast: their learning rates; – stays as it is"
        head, rows = ["layer", "parameters", *plans], []
        for place, layer in enumerate(first.layers):
            rates = (plan.layers[place].learning_rate for plan in plans.values())
            said = ("–" if rate is None else f"{rate:.2g}" for rate in rates)
            rows.append([layer.name, f"{layer.parameters:,}", *said])
        rows.append(["trained", f"{first.parameters:,}", *(f"{plan.trained:,}" for plan in plans.values())])
    about = _about(plans, examples=examples, kept=kept, steps=steps, minutes=minutes)
    return viz.table(head, rows, label=label) + about


def _about(plans: Mapping[str, Plan], *, examples: int, kept: int, steps: int, minutes: int) -> str:
    facts = [
        f"{examples - kept:,} examples to learn from",
        f"{kept:,} kept back to measure on",
        f"{steps:,} steps at most",
        f"it ends after {minutes:,} minutes",
    ]
    notes = [_fact(" · ".join(facts))]
    if "gradual" in plans:
        notes.append(viz.note("gradual: each epoch one layer more learns, from the last to the first."))
    if "lora" in plans:
        notes.append(viz.note("lora: what learns are small additions beside the weights; they are merged in the end."))
    return "".join(notes)


@dataclass
class Course:
    """What a page has seen of a training so far."""

    strategies: Sequence[str]
    now: Any = None  # the last update
    done: int = 0  # strategies that are through
    learned: list[tuple[float, float]] = field(default_factory=list)  # epoch and loss
    kept_back: list[tuple[float, float]] = field(default_factory=list)
    accuracy: list[tuple[float, float]] = field(default_factory=list)

    def take(self, update: Any) -> bool:
        """Whether it is news."""
        if update == self.now:
            return False
        self.now = update
        self.done += isinstance(update, Finished)
        if isinstance(update, Planned):
            self.learned, self.kept_back, self.accuracy = [], [], []
        if isinstance(update, Running):
            at = update.epochs * update.step / max(1, update.steps)
            self.learned.append((at, update.loss))
            if update.measured:
                self.kept_back.append((at, update.measured.get("loss", 0.0)))
                self.accuracy.append((at, update.measured.get("accuracy", 0.0)))
        return True

    def progress(self) -> str:
        """Where it is, in a bar and a line."""
        now = self.now
        if isinstance(now, Waiting) and now.place:
            others = "One training comes" if now.place == 1 else f"{now.place:,} trainings come"
            return viz.note(f"{others} before yours, which then starts by itself.", kind="hint")
        if not isinstance(now, Running):
            reading = isinstance(now, Started | Planned)
            said = "Reading the examples and the checkpoint …" if reading else "Starting …"
            return viz.note(said, kind="hint")
        left = now.seconds_left
        facts = [f"Strategy {self.done + 1} of {len(self.strategies)}"] if len(self.strategies) > 1 else []
        facts += [
            f"epoch {min(now.epoch + 1, now.epochs)} of {now.epochs}",
            f"{left / 60:.0f} min left" if left > 90 else f"{left:.0f} s left",
        ]
        return viz.bars([now.strategy], [now.step / max(1, now.steps)], label=" · ".join(facts), full=1.0)

    def curves(self) -> str:
        """Loss and accuracy so far."""
        if not self.learned:
            return ""
        loss = viz.lines(
            {"examples learned from": thinned(self.learned), "kept back": thinned(self.kept_back)},
            label="Loss",
            axis="epoch",
        )
        accuracy = viz.lines(
            {"": [], "kept back": thinned(self.accuracy)}, label="Accuracy", axis="epoch", percent=True, full=1.0
        )
        return viz.side_by_side(loss, accuracy)


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `POINTS`, each the mean of its neighbours."""
    size = -(-len(points) // POINTS) or 1
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]


def done_view(results: Sequence[Tried], wanted: int) -> str:
    """The last line of a training."""
    seconds = sum(tried.result["seconds"] for tried in results)
    done = "One strategy" if len(results) == 1 else f"{len(results)} strategies"
    if len(results) < wanted or any(tried.result["ended"] == "stopped" for tried in results):
        return viz.note(f"Stopped after {seconds:.0f} s, with the best weights so far: {done} below.", kind="lesson")
    return viz.note(f"Done after {seconds:.0f} s: {done} below.", kind="lesson")


def table_view(tried: Sequence[Tried]) -> str:
    """All strategies of this session side by side, and who always says the most frequent class."""
    head = ["strategy", "accuracy", "trained parameters", "seconds", "seconds an epoch", "epochs", "own task", "from"]
    rows = []
    for one in tried:
        result, lost = one.result, one.result["forgetting"]
        rows.append(
            [
                one.title,
                f"{result['accuracy']:.1%}",
                f"{result['trained']:,}",
                f"{result['seconds']:.1f}",
                f"{result['seconds_per_epoch']:.2f}",
                str(result["epochs"]),
                f"{lost['before']:.1%} → {lost['after']:.1%}" if lost else "–",
                one.base_title if result["strategy"] != "scratch" else "–",
            ]
        )
    last = tried[-1].result
    rows.append(["most frequent class", f"{last['most_frequent']:.1%}", *["–"] * (len(head) - 2)])
    best = max(tried, key=lambda one: one.result["accuracy"])
    notes = [f"Measured on {last['held_out']:,} examples that were kept back."]
    lost = next((one.result["forgetting"] for one in tried if one.result["forgetting"]), None)
    if lost:
        own = "its answers to the examples kept back" if lost["of"].startswith("its own") else "labelled examples of it"
        notes.append(f"Own task, before → after: {own} ({lost['examples']:,}).")
    if len(tried) > 1:
        notes.insert(0, f"Best: {best.title}.")
    return viz.table(head, rows, label="All that you tried") + "".join(map(viz.note, notes))


def scores_view(result: Mapping[str, Any]) -> str:
    """Precision, recall and F1 by class."""
    rows = [
        [
            short(label),
            *(f"{found[score]:.3f}" for score in ("precision", "recall", "f1")),
            f"{int(found['examples']):,}",
        ]
        for label, found in result["by_class"].items()
    ]
    return viz.table(["class", "precision", "recall", "F1", "kept back"], rows, label="By class", data=True)


def confusion_view(result: Mapping[str, Any]) -> str:
    """What the examples are, and what was said; of many classes those with the most mistakes."""
    labels, counts = list(result["labels"]), result["confusion"]
    places = range(len(labels))
    if len(labels) > CELLS:
        wrong = {p: sum(counts[p]) + sum(row[p] for row in counts) - 2 * counts[p][p] for p in places}
        places = sorted(sorted(places, key=lambda p: -wrong[p])[:CELLS])  # type: ignore[assignment]
    most = f"What they are, and what was said: the {CELLS} classes with the most mistakes"
    return viz.confusion(
        [[counts[row][column] for column in places] for row in places],
        [short(labels[place], 24) for place in places],
        label=most if len(labels) > CELLS else "What they are, and what was said",
        row_axis="is",
        column_axis="said",
    )


def _fact(text: str) -> str:
    return f'<p class="viz viz-fact" dir="auto">{viz.escape(say(text))}</p>'
