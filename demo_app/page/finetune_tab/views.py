"""What the tab draws with `demo_app.viz`: the examples, the plan, the results. `progress` draws a running training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from demo_app import viz
from demo_app.errors import DemoError
from demo_app.finetune.data import Data, summary
from demo_app.i18n import say
from demo_app.inputs.text import short
from demo_app.page.finetune_tab.session import Trial

if TYPE_CHECKING:
    from demo_app.finetune import Plan

NO_EXAMPLES = "Add examples, and you see here which layers will learn."
MOST_CLASSES = 12  # drawn as bars
MOST_PROBLEMS = 3
MOST_CONFUSED = 25  # classes of a confusion matrix


def alert(error: DemoError) -> str:
    """The text of an error, in the visitor's language."""
    return viz.note(say(error.text, **error.values), kind="alert")


def data_view(data: Data) -> str:
    """How many examples and classes there are, the shares of the classes, and what is wrong."""
    found = summary(data)
    shown = found.classes[:MOST_CLASSES]
    facts = [
        say("{count} examples", count=f"{found.rows:,}"),
        say("{count} classes", count=f"{len(found.classes):,}"),
    ]
    if found.left_out:
        facts.append(say("{count} left out", count=f"{found.left_out:,}"))
    if found.balance > 1.05:
        ratio = f"{found.balance:.1f}"
        facts.append(say("the largest class has {count} times as many as the smallest", count=ratio))
    parts = [
        _facts(facts),
        viz.bars(
            [share.label for share in shown],
            [share.share for share in shown],
            label="Share of each class",
            notes=[say("{count} of them", count=f"{share.count:,}") for share in shown],
            full=max((share.share for share in found.classes), default=1.0),
        ),
    ]
    if len(found.classes) > MOST_CLASSES:
        parts.append(viz.note(say("and {count} more classes", count=f"{len(found.classes) - MOST_CLASSES:,}")))
    parts += [viz.note(problem) for problem in data.problems[:MOST_PROBLEMS]]
    if len(data.problems) > MOST_PROBLEMS:
        more = f"{len(data.problems) - MOST_PROBLEMS:,}"
        parts.append(viz.note(say("and {count} more such sentences", count=more)))
    if data.alike:
        pairs = "; ".join(" = ".join(f"“{short(label)}”" for label in group) for group in data.alike[:MOST_PROBLEMS])
        rest = f" (+ {len(data.alike) - MOST_PROBLEMS:,})" if len(data.alike) > MOST_PROBLEMS else ""
        parts.append(f'<p class="viz viz-lesson" translate="no" dir="auto">{viz.escape(pairs + rest)}</p>')
    return "".join(parts)


def plan_view(plans: Mapping[str, Plan], *, examples: int, held_out: int, steps: int, minutes: int) -> str:
    """Which layers learn and how fast; with several strategies, their learning rates side by side.

    Args:
        plans: by strategy, one or more.
        examples: how many there are.
        held_out: how many of them are held out.
        steps: of the training, at most.
        minutes: after which the training ends.
    """
    first = next(iter(plans.values()))
    if len(plans) == 1:
        label, head = "Which layers learn, and how fast", ["layer", "parameters", "trained", "learning rate"]
        rows = [list(row) for row in first.table()]
        share = f"{100 * first.trained / max(1, first.parameters):.3g} %"
        rows.append(["all layers", f"{first.parameters:,}", f"{first.trained:,}", share])
    else:
        label = "Which layers learn, and how fast: their learning rates; – stays as it is"
        head, rows = ["layer", "parameters", *plans], []
        for i, layer in enumerate(first.layers):
            rates = (plan.layers[i].learning_rate for plan in plans.values())
            cells = ("–" if rate is None else f"{rate:.2g}" for rate in rates)
            rows.append([layer.name, f"{layer.parameters:,}", *cells])
        rows.append(["trained", f"{first.parameters:,}", *(f"{plan.trained:,}" for plan in plans.values())])
    facts = [
        say("{count} examples to learn from", count=f"{examples - held_out:,}"),
        say("{count} kept back to measure on", count=f"{held_out:,}"),
        say("{count} steps at most", count=f"{steps:,}"),
        say("it ends after {count} minutes", count=f"{minutes:,}"),
    ]
    notes = [_facts(facts)]
    if "gradual" in plans:
        notes.append(viz.note("gradual: each epoch one layer more learns, from the last to the first."))
    if "lora" in plans:
        notes.append(viz.note("lora: what learns are small additions beside the weights; they are merged in the end."))
    return viz.table(head, rows, label=label) + "".join(notes)


def done_view(new: Sequence[Trial], wanted: int) -> str:
    """The line that ends a training.

    Args:
        new: its trials.
        wanted: how many strategies were chosen.
    """
    seconds = f"{sum(trial.result['seconds'] for trial in new):.0f}"
    count = say("One strategy") if len(new) == 1 else say("{count} strategies", count=len(new))
    if len(new) < wanted or any(trial.result["ended"] == "stopped" for trial in new):
        template = "Stopped after {seconds} s, with the best weights so far: {count} below."
    else:
        template = "Done after {seconds} s: {count} below."
    return viz.note(say(template, seconds=seconds, count=count), kind="lesson")


def table_view(trials: Sequence[Trial]) -> str:
    """All trials of the session side by side, and a baseline that always answers the most frequent class."""
    head = ["strategy", "accuracy", "trained parameters", "seconds", "seconds an epoch", "epochs", "own task", "from"]
    rows = []
    for trial in trials:
        result, forgetting = trial.result, trial.result["forgetting"]
        rows.append(
            [
                trial.title,
                f"{result['accuracy']:.1%}",
                f"{result['trained']:,}",
                f"{result['seconds']:.1f}",
                f"{result['seconds_per_epoch']:.2f}",
                str(result["epochs"]),
                f"{forgetting['before']:.1%} → {forgetting['after']:.1%}" if forgetting else "–",
                trial.base_title if result["strategy"] != "scratch" else "–",
            ]
        )
    last = trials[-1].result
    rows.append(["most frequent class", f"{last['most_frequent']:.1%}", *["–"] * (len(head) - 2)])
    notes = [say("Measured on {count} examples that were kept back.", count=f"{last['held_out']:,}")]
    forgetting = next((trial.result["forgetting"] for trial in trials if trial.result["forgetting"]), None)
    if forgetting:
        own = forgetting["of"].startswith("its own")
        what = "its answers to the examples kept back" if own else "labelled examples of it"
        count = f"{forgetting['examples']:,}"
        notes.append(say("Own task, before → after: {what} ({count}).", what=what, count=count))
    if len(trials) > 1:
        best = max(trials, key=lambda trial: trial.result["accuracy"])
        notes.insert(0, say("Best: {name}.", name=best.title))
    return viz.table(head, rows, label="All that you tried") + "".join(map(viz.note, notes))


def scores_view(result: Mapping[str, Any]) -> str:
    """Precision, recall and F1 by class."""
    rows = [
        [
            short(label),
            *(f"{scores[name]:.3f}" for name in ("precision", "recall", "f1")),
            f"{int(scores['examples']):,}",
        ]
        for label, scores in result["by_class"].items()
    ]
    return viz.table(["class", "precision", "recall", "F1", "kept back"], rows, label="By class", data=True)


def confusion_view(result: Mapping[str, Any]) -> str:
    """The confusion matrix; of many classes the `MOST_CONFUSED` with the most mistakes."""
    labels, counts = list(result["labels"]), result["confusion"]
    classes = list(range(len(labels)))
    title = say("What they are, and what was said")
    if len(labels) > MOST_CONFUSED:
        mistakes = {c: sum(counts[c]) + sum(row[c] for row in counts) - 2 * counts[c][c] for c in classes}
        classes = sorted(sorted(classes, key=lambda c: -mistakes[c])[:MOST_CONFUSED])
        title = say("What they are, and what was said: the {count} classes with the most mistakes", count=MOST_CONFUSED)
    return viz.confusion(
        [[counts[row][column] for column in classes] for row in classes],
        [short(labels[c], 24) for c in classes],
        label=title,
        row_axis="is",
        column_axis="said",
    )


def _facts(facts: Sequence[str]) -> str:
    return f'<p class="viz viz-fact" dir="auto">{viz.escape(" · ".join(facts))}</p>'
