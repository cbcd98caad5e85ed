"""The model card of a fine-tuned checkpoint: its base, its data, the recipe, the scores."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo_app.errors import DemoError
from demo_app.finetune.recipe import Recipe
from demo_app.hub.card import join_header, split_header
from demo_app.version import __version__

if TYPE_CHECKING:
    from demo_app.finetune.result import Result


def write_card(
    folder: Path,
    *,
    demo: str,
    base: str,
    base_folder: Path,
    base_on_hub: str | None,
    data: str,
    recipe: Recipe,
    result: Result,
) -> None:
    """Write README.md into the checkpoint's folder.

    `base` and `data` are names for the reader, `base_on_hub` is the base's repository, if it has one.
    """
    fields = _base_fields(base_folder)
    header: dict[str, Any] = {name: fields[name] for name in ("license", "language", "pipeline_tag") if name in fields}
    header |= {"base_model": base_on_hub} if base_on_hub else {}
    header |= {"library_name": "demo-app", "demo": demo, "tags": ["demo-app", "fine-tuned"]}
    (folder / "README.md").write_text(
        join_header(header, _body(folder.name, demo, base, data, recipe, result)), "utf-8"
    )


def _base_fields(folder: Path) -> dict[str, Any]:
    try:
        return split_header((folder / "README.md").read_text("utf-8"))[0]
    except (OSError, DemoError):
        return {}


def _body(name: str, demo: str, base: str, data: str, recipe: Recipe, result: Result) -> str:
    lost = result.forgetting
    facts = [
        ("accuracy, held out", f"{result.accuracy:.1%}"),
        ("who always says the most frequent class", f"{result.most_frequent:.1%}"),
        ("examples held out", f"{result.held_out:,}"),
        ("examples learned from", f"{result.examples:,}"),
        ("strategy", recipe.strategy),
        ("trained parameters", f"{result.trained:,} of {result.parameters:,}"),
        ("epochs", f"{result.epochs}, the best was {result.best_epoch} ({result.ended})"),
        ("seconds", f"{result.seconds:.0f}"),
    ]
    if lost is not None:
        facts.append((f"its own task before and after ({lost.of})", f"{lost.before:.1%} and {lost.after:.1%}"))
    scores = [
        [label, *(f"{found[score]:.3f}" for score in ("precision", "recall", "f1")), str(int(found["examples"]))]
        for label, found in result.by_class.items()
    ]
    settings = " ".join(
        f"--{field.replace('_', '-')} {value}"
        for field, value in vars(recipe).items()
        if value != "" and field != "minutes"
    )
    return "\n".join(
        [
            f"\n# {_plain(name)}: {_plain(demo)}, fine-tuned from {_plain(base)}\n",
            "What it says is one of: " + ", ".join(_plain(label) for label in result.labels) + ".\n",
            _table(["", ""], facts),
            _table(["class", "precision", "recall", "F1", "examples"], scores),
            "Measured on examples not trained on, with the weights as they are in this folder. The best epoch "
            "was chosen on the same examples, so expect a little less on new ones.\n",
            "## Data\n",
            f"{_plain(data)}: {result.examples + result.held_out:,} examples of {len(result.labels)} classes. Its "
            "licence and terms are for whoever publishes this to state here.\n",
            "## Training\n",
            f"    demo-app finetune {_plain(base)} --data DATA --out FOLDER \\\n        {settings}\n",
            _table(["layer", "parameters", "trained", "learning rate"], result.plan),
            f"demo-app {version_of('demo-app')}, torch {version_of('torch')}, Python {platform.python_version()}.\n",
            "## Limits\n",
            "A few examples teach few things: what they do not show, it does not know. It may have forgotten what the "
            "checkpoint that it is from could do.\n",
            "## Use\n",
            f"    demo-app run --checkpoint {_plain(demo)}=FOLDER\n",
        ]
    )


def version_of(distribution: str) -> str:
    """The installed version, or this project's own where nothing is installed under that name."""
    try:
        return version(distribution)
    except Exception:  # a Space has the host as a folder only
        return __version__


def _plain(text: str) -> str:
    """A text from outside without characters that mean something in Markdown, at most 100 long."""
    return re.sub(r"[|`<>\[\]\n\r*]", " ", text)[:100].strip() or "untitled"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(_plain(cell) if cell else '' for cell in row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", f"| {' | '.join('---' for _ in head)} |", *lines]) + "\n"
