"""`demo-app finetune`: the command line's side of fine-tuning. Imports torch."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from demo_app.api import Demo
from demo_app.errors import DemoError, InputError, SettingsError
from demo_app.finetune.card import write_card
from demo_app.finetune.data import Data, check, read_data, summary
from demo_app.finetune.recipe import STRATEGIES, Recipe
from demo_app.finetune.result import Forgetting, Result
from demo_app.finetune.run import Listener, preview, tune
from demo_app.finetune.tuner import tuner_of
from demo_app.hub import files
from demo_app.inputs.text import short
from demo_app.options import chosen
from demo_app.publishing.files import check_folder
from demo_app.registry.loading import find_demo, load_plugins
from demo_app.settings import Settings
from demo_app.training import processes, progress

STATE = "training.pt"  # in the folder of the new checkpoint: what a killed training goes on from
THROUGH = "strategies.json"  # in DIR, while several are compared: those that are through


@dataclass(frozen=True, kw_only=True)
class Base:
    """The checkpoint that is fine-tuned."""

    demo: Demo[Any]
    folder: Path
    name: str  # as a card calls it
    on_hub: str | None = None  # its repository there


def run(args: argparse.Namespace, settings: Settings) -> None:
    """Fine-tune by each of the strategies that are named. Prints tables to stdout, progress to stderr."""
    base = find_base(args.target, settings)
    tuner = tuner_of(base.demo)
    recipes = [recipe_of(args, name) for name in strategies(args.strategy)]
    data = read_data(args.data, tuner.reads, max_rows=None, same=args.same_labels)
    original = read_data([args.original], tuner.reads, max_rows=None, same=True).examples if args.original else ()
    with processes.processes(args.device) as process:
        say = sys.stdout.write if process.first else lambda _: 0
        say(described(data))
        if data.alike and data.same is None:
            alike = " and ".join(repr(short(label)) for label in data.alike[0][:2])
            raise InputError(f"Do {alike} mean the same? Say --same-labels if they do, else --no-same-labels.")
        check(data)
        plans = [preview(tuner, base.folder, data.labels, recipe) for recipe in recipes]  # what is wrong is told now
        if args.plan:
            say("".join(f"\n{plan}\n" for plan in plans))
            return
        outs = {recipe.strategy: args.out / recipe.strategy if len(recipes) > 1 else args.out for recipe in recipes}
        what = json.dumps([base.name, str(base.folder), list(map(asdict, recipes)), data.labels, len(data.examples)])
        through = process.agreed(_prepare(outs, args, what) if process.first else [])
        results = []
        for recipe in recipes:
            out = outs[recipe.strategy]
            if recipe.strategy in through:
                say(f"\n{recipe.strategy} is through already\n")
                results.append(_result(out))
                continue
            with progress.bar(recipe.strategy, shown=process.first) as shown:
                listener = Listener(planned=lambda plan: _print_plan(say, plan), progress=shown)
                result = tune(
                    tuner, base.folder, data, recipe, out,
                    original=original, listener=listener, process=process, state=out / STATE,
                )  # fmt: skip
            if process.first:
                write_card(
                    out,
                    demo=base.demo.name,
                    base=base.name,
                    base_folder=base.folder,
                    base_on_hub=base.on_hub,
                    data=", ".join(path.name for path in args.data),
                    recipe=recipe,
                    result=result,
                )
                through.append(recipe.strategy)
                if len(recipes) > 1:
                    (args.out / THROUGH).write_text(json.dumps({"of": what, "through": through}), "utf-8")
            results.append(result)
            say(by_class(result))
        if process.first:
            (args.out / THROUGH).unlink(missing_ok=True)
        say("\n" + table(list(results[0].row()), [list(result.row().values()) for result in results]))
        written = [
            f"written to {out}; now: demo-app run --checkpoint {base.demo.name}={out}\n" for out in outs.values()
        ]
        say("\n" + "".join(written))


def _prepare(outs: Mapping[str, Path], args: argparse.Namespace, what: str) -> list[str]:
    """Make the folders. Returns the strategies that are through, where the same command, `what`, was killed.

    Raises `DemoError` for a folder that has files, but those of a killed training, or that cannot be made.
    """
    try:
        before = json.loads((args.out / THROUGH).read_text("utf-8"))
    except (OSError, ValueError):
        before = {}
    again = before.get("of") == what
    for out in outs.values():
        if not again and not (out / STATE).is_file():
            check_folder(out, force=args.force)
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DemoError(f"{out} cannot be made ({error.strerror}); name another folder.") from error
    return list(before["through"]) if again else []


def _result(folder: Path) -> Result:
    """What is written there."""
    facts = json.loads((folder / "metrics.json").read_text("utf-8"))
    lost = facts.pop("forgetting")
    return Result(**facts, forgetting=Forgetting(**lost) if lost else None)


def _print_plan(say: Any, plan: Any) -> None:
    say(f"\n{plan}\n")


def strategies(text: str) -> list[str]:
    """The strategies in a list with commas. Raises `SettingsError` for one that there is not."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in STRATEGIES:
            raise SettingsError(f"there is no strategy {name!r}; there are: {', '.join(STRATEGIES)}.")
    if not names:
        raise SettingsError(f"name a strategy: {', '.join(STRATEGIES)}.")
    return list(dict.fromkeys(names))


def recipe_of(args: argparse.Namespace, strategy: str) -> Recipe:
    """What the command line says, for one strategy. `--layers` is that of the strategies that take it."""
    layers = args.layers if strategy in ("layers", "lora") else ""
    return replace(chosen(Recipe, args, strategy="full", layers=""), strategy=strategy, layers=layers)


def find_base(target: str, settings: Settings) -> Base:
    """DEMO, DEMO/CHECKPOINT or DEMO=FOLDER. Raises `SettingsError` or `DemoError` for what is not there."""
    plugins = load_plugins(settings)
    name, equals, folder = target.partition("=")
    name, _, wanted = (name, "", "") if equals else target.partition("/")
    _, demo = find_demo(plugins, name)
    if demo.tuner is None:
        able = ", ".join(sorted(d.name for plugin in plugins for d in plugin.demos if d.tuner is not None)) or "none"
        raise DemoError(f"{demo.title} cannot be fine-tuned here; those that can: {able}.")
    if equals:
        if not (Path(folder) / "config.json").is_file():
            raise DemoError(f"{folder} is no folder with a config.json; name the one that was trained.")
        return Base(demo=demo, folder=Path(folder), name=f"{name}={Path(folder).name}")
    checkpoint = demo.checkpoint(wanted or None)
    if checkpoint is None:
        raise DemoError(f"{demo.title} has no checkpoints to begin with; name a folder: {name}=FOLDER.")
    found = files.locate(checkpoint)
    if found is None:
        raise DemoError(
            f"{name}/{checkpoint.name} is not on this disk; run: demo-app download {name}/{checkpoint.name}"
        )
    return Base(demo=demo, folder=found, name=f"{name}/{checkpoint.name}", on_hub=checkpoint.repo_id)


def described(data: Data) -> str:
    """Rows, classes, their balance, and what was left out."""
    found = summary(data)
    lines = [f"{found.rows:,} examples of {len(found.classes)} classes, the largest {found.balance:.1f} x the smallest"]
    lines += [f"  {share.label[:40]:<24} {share.count:>7,}  {share.share:>6.1%}" for share in found.classes[:30]]
    lines += [f"  and {len(found.classes) - 30} more classes"] if len(found.classes) > 30 else []
    lines += [f"  {problem}" for problem in data.problems[:5]]
    lines += [f"  and {len(data.problems) - 5:,} more such rows"] if len(data.problems) > 5 else []
    return "\n".join(lines) + "\n"


def by_class(result: Result) -> str:
    rows = [
        [
            label[:40],
            f"{found['precision']:.3f}",
            f"{found['recall']:.3f}",
            f"{found['f1']:.3f}",
            str(found["examples"]),
        ]
        for label, found in result.by_class.items()
    ]
    return "\n" + table(["class", "precision", "recall", "F1", "examples"], rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of texts, the first to the left and the others to the right."""
    wide = [max(len(row[place]) for row in (head, *rows)) for place in range(len(head))]
    return "".join(
        "  ".join(f"{cell:{'<' if place == 0 else '>'}{wide[place]}}" for place, cell in enumerate(row)).rstrip() + "\n"
        for row in (head, *rows)
    )
