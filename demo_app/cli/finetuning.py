"""Runs `demo-app finetune`. Imports torch."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from demo_app.api import Demo
from demo_app.errors import DemoError, InputError, SettingsError
from demo_app.finetune.card import write_card
from demo_app.finetune.data import Data, Example, check, read_data, summary
from demo_app.finetune.plans import Plan
from demo_app.finetune.recipe import STRATEGIES, Recipe
from demo_app.finetune.result import Forgetting, Result
from demo_app.finetune.run import Listener, tune
from demo_app.finetune.strategies import preview
from demo_app.finetune.tuner import Tuner, tuner_of
from demo_app.hub import files
from demo_app.inputs.text import short
from demo_app.options import from_options
from demo_app.publishing.files import check_folder
from demo_app.registry.loading import find_demo, load_plugins
from demo_app.settings import Settings
from demo_app.training import processes
from demo_app.training.progress import progress_bar

STATE = "training.pt"  # in the folder of a new checkpoint: what a killed training resumes from
DONE = "strategies.json"  # in DIR, while several strategies are compared: those that are done


@dataclass(frozen=True, kw_only=True)
class Base:
    """The checkpoint to start from."""

    demo: Demo[Any]
    folder: Path
    name: str  # in the model card
    on_hub: str | None = None  # its repository on the Hub


def run(args: argparse.Namespace, settings: Settings) -> None:
    """Fine-tune by each of the named strategies. Prints tables to stdout, progress to stderr.

    Raises `DemoError` or `SettingsError` for what cannot be done, before anything is trained.
    """
    base = find_base(args.target, settings)
    tuner = tuner_of(base.demo)
    recipes = [recipe_of(args, name) for name in strategies(args.strategy)]
    data = read_data(args.data, tuner.reads, max_rows=None, same=args.same_labels)
    original = read_data([args.original], tuner.reads, max_rows=None, same=True).examples if args.original else ()
    with processes.process_group(args.device) as process:
        write = sys.stdout.write if process.first else lambda _: 0
        write(described(data))
        _check_data(data)
        plans = [preview(tuner, base.folder, data.labels, recipe) for recipe in recipes]  # also checks every recipe
        if args.plan:
            write("".join(f"\n{plan}\n" for plan in plans))
            return
        outputs = Outputs.of(args.out, recipes, base, data)
        done = process.broadcast(outputs.prepare(force=args.force) if process.first else [])
        results = []
        for recipe in recipes:
            out = outputs.folders[recipe.strategy]
            if recipe.strategy in done:
                write(f"\n{recipe.strategy} is through already\n")
                results.append(_read_result(out))
                continue
            result = _finetune(tuner, base, data, recipe, out, original, process, write)
            if process.first:
                _write_card(out, base, args.data, recipe, result)
                done.append(recipe.strategy)
                outputs.save_done(done)
            results.append(result)
            write(by_class(result))
        if process.first:
            outputs.forget_done()
        write("\n" + table(list(results[0].row()), [list(result.row().values()) for result in results]))
        write("\n" + "".join(outputs.written(base.demo.name)))


def _check_data(data: Data) -> None:
    """`check`, with the options that answer its question."""
    if data.alike and data.same is None:
        alike = " and ".join(repr(short(label)) for label in data.alike[0][:2])
        raise InputError("Do {alike} mean the same? Say --same-labels if they do, else --no-same-labels.", alike=alike)
    check(data)


def _finetune(
    tuner: Tuner[Any],
    base: Base,
    data: Data,
    recipe: Recipe,
    out: Path,
    original: Sequence[Example],
    process: processes.Process,
    write: Callable[[str], Any],
) -> Result:
    """Fine-tune by one strategy, with a progress bar."""
    with progress_bar(recipe.strategy, shown=process.first) as bar:

        def planned(plan: Plan) -> None:
            write(f"\n{plan}\n")

        return tune(
            tuner, base.folder, data, recipe, out,
            original=original, listener=Listener(planned=planned, progress=bar), process=process, state=out / STATE,
        )  # fmt: skip


def _write_card(out: Path, base: Base, data: Sequence[Path], recipe: Recipe, result: Result) -> None:
    write_card(
        out,
        demo=base.demo.name,
        base=base.name,
        base_folder=base.folder,
        base_on_hub=base.on_hub,
        data=", ".join(path.name for path in data),
        recipe=recipe,
        result=result,
    )


def _read_result(folder: Path) -> Result:
    """The result that was written there."""
    facts = json.loads((folder / "metrics.json").read_text("utf-8"))
    lost = facts.pop("forgetting")
    return Result(**facts, forgetting=Forgetting(**lost) if lost else None)


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The folders of the new checkpoints. A comparison that was killed continues when the command is repeated."""

    folder: Path
    folders: dict[str, Path]  # by strategy
    command: str  # what the command does, as JSON: only the same one continues

    @classmethod
    def of(cls, out: Path, recipes: Sequence[Recipe], base: Base, data: Data) -> Outputs:
        """A single strategy writes to `out`, several write to folders in it."""
        folders = {recipe.strategy: out / recipe.strategy if len(recipes) > 1 else out for recipe in recipes}
        facts = [base.name, str(base.folder), list(map(asdict, recipes)), data.labels, len(data.examples)]
        return cls(folder=out, folders=folders, command=json.dumps(facts))

    def prepare(self, *, force: bool) -> list[str]:
        """Create the folders. Returns the strategies that are done, if the same command was killed.

        Raises `DemoError` for a folder that cannot be created, or has other files than those of a killed training;
        with `force` those are overwritten.
        """
        try:
            before = json.loads((self.folder / DONE).read_text("utf-8"))
        except (OSError, ValueError):
            before = {}
        repeated = before.get("of") == self.command
        for out in self.folders.values():
            if not repeated and not (out / STATE).is_file():
                check_folder(out, force=force)
            try:
                out.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DemoError(
                    "{folder} cannot be made ({reason}); name another folder.", folder=out, reason=error.strerror
                ) from error
        return list(before["through"]) if repeated else []

    def save_done(self, done: Sequence[str]) -> None:
        """Remember which strategies are done; a single one needs no memory."""
        if len(self.folders) > 1:
            (self.folder / DONE).write_text(json.dumps({"of": self.command, "through": list(done)}), "utf-8")

    def forget_done(self) -> None:
        (self.folder / DONE).unlink(missing_ok=True)

    def written(self, demo: str) -> list[str]:
        """A line for each new checkpoint."""
        return [f"written to {out}; now: demo-app run --checkpoint {demo}={out}\n" for out in self.folders.values()]


def strategies(text: str) -> list[str]:
    """The strategies in a comma-separated list, each once. Raises `SettingsError` for an unknown one, or none."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in STRATEGIES:
            raise SettingsError(f"there is no strategy {name!r}; there are: {', '.join(STRATEGIES)}.")
    if not names:
        raise SettingsError(f"name a strategy: {', '.join(STRATEGIES)}.")
    return list(dict.fromkeys(names))


def recipe_of(args: argparse.Namespace, strategy: str) -> Recipe:
    """The recipe of one strategy; `--layers` applies only to the strategies that use it."""
    layers = args.layers if strategy in ("layers", "lora") else ""
    return replace(from_options(Recipe, args, strategy="full", layers=""), strategy=strategy, layers=layers)


def find_base(target: str, settings: Settings) -> Base:
    """The checkpoint of DEMO, DEMO/CHECKPOINT or DEMO=FOLDER. Raises `SettingsError` or `DemoError` without one."""
    plugins = load_plugins(settings)
    name, equals, folder = target.partition("=")
    name, _, wanted = (name, "", "") if equals else target.partition("/")
    _, demo = find_demo(plugins, name)
    if demo.tuner is None:
        able = ", ".join(sorted(d.name for plugin in plugins for d in plugin.demos if d.tuner is not None)) or "none"
        raise DemoError("{title} cannot be fine-tuned here; those that can: {able}.", title=demo.title, able=able)
    if equals:
        if not (Path(folder) / "config.json").is_file():
            raise DemoError("{folder} is no folder with a config.json; name the one that was trained.", folder=folder)
        return Base(demo=demo, folder=Path(folder), name=f"{name}={Path(folder).name}")
    checkpoint = demo.checkpoint(wanted or None)
    if checkpoint is None:
        raise DemoError(
            "{title} has no checkpoints to begin with; name a folder: {name}=FOLDER.", title=demo.title, name=name
        )
    found = files.locate(checkpoint)
    if found is None:
        raise DemoError(
            "{checkpoint} is not on this disk; run: demo-app download {checkpoint}",
            checkpoint=f"{name}/{checkpoint.name}",
        )
    return Base(demo=demo, folder=found, name=f"{name}/{checkpoint.name}", on_hub=checkpoint.repo_id)


def described(data: Data) -> str:
    """Rows, classes, their balance, and what was left out, as text."""
    found = summary(data)
    lines = [f"{found.rows:,} examples of {len(found.classes)} classes, the largest {found.balance:.1f} x the smallest"]
    lines += [f"  {share.label[:40]:<24} {share.count:>7,}  {share.share:>6.1%}" for share in found.classes[:30]]
    lines += [f"  and {len(found.classes) - 30} more classes"] if len(found.classes) > 30 else []
    lines += [f"  {problem}" for problem in data.problems[:5]]
    lines += [f"  and {len(data.problems) - 5:,} more such rows"] if len(data.problems) > 5 else []
    return "\n".join(lines) + "\n"


def by_class(result: Result) -> str:
    """Precision, recall and F1 of each class, as text."""
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
    """Aligned columns, the first to the left and the others to the right."""
    wide = [max(len(row[place]) for row in (head, *rows)) for place in range(len(head))]
    return "".join(
        "  ".join(f"{cell:{'<' if place == 0 else '>'}{wide[place]}}" for place, cell in enumerate(row)).rstrip() + "\n"
        for row in (head, *rows)
    )
