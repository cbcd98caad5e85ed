"""`demo-app publish`: a checkpoint as a repository for the Hub, with a model card and the lines that pin it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from demo_app.api import Checkpoint, Demo
from demo_app.errors import SettingsError
from demo_app.hub.card import join_header, split_header
from demo_app.hub.upload import Files
from demo_app.publishing.errors import PublishError
from demo_app.publishing.files import size
from demo_app.publishing.plain_files import is_legal, plain_files
from demo_app.registry.loading import find_demo, load_plugins
from demo_app.registry.plugin import Plugin
from demo_app.settings import Settings

CARD = "README.md"


@dataclass(frozen=True, kw_only=True)
class Publication:
    """A checkpoint that is ready to be uploaded."""

    demo: Demo[Any]
    checkpoint: Checkpoint
    title: str  # for the picker
    needed: tuple[str, ...]  # the files that `load` reads
    files: Files  # all that is uploaded: the needed files, the card, and any others of the checkpoint
    license: str

    def pinned(self, repo_id: str, commit: str) -> str:
        """The Python lines that a plugin pastes to use the uploaded checkpoint."""
        sums = {name: _digest(self.files[name]) for name in self.needed}
        fields: dict[str, str] = {
            "name": _quoted(self.checkpoint.name),
            "title": _quoted(self.title),
            "repo_id": _quoted(repo_id),
            "revision": _quoted(commit),
            "files": f"({', '.join(map(_quoted, self.needed))}{',' if len(self.needed) == 1 else ''})",
            "size": f"{sum(size(self.files[name]) for name in self.needed):_}",
            "sha256": "\n".join(["{", *(f"        {_quoted(n)}: {_quoted(s)}," for n, s in sums.items()), "    }"]),
            "license": _quoted(self.license),
        }
        return "\n".join(["Checkpoint(", *(f"    {name}={value}," for name, value in fields.items()), "),"]) + "\n"


def prepare(target: str, settings: Settings, *, license: str | None = None) -> Publication:
    """Prepare the checkpoint that `target` names: DEMO/CHECKPOINT, or DEMO=FOLDER.

    The checkpoint is loaded once, so that nothing is published that does not load. Raises `PublishError`, and
    `SettingsError` for an unknown demo, checkpoint or folder.
    """
    plugin, demo, checkpoint, own = _find(target, settings)
    if checkpoint.folder is None:
        raise PublishError(f"{target} is on the Hub already, as {checkpoint.repo_id}; there is nothing to publish.")
    folder = checkpoint.folder
    files = plain_files(folder)
    needed = _needed(demo, checkpoint, files, own)
    fields, body = split_header((folder / CARD).read_text("utf-8")) if CARD in files else ({}, "")
    license = _license(license, fields, checkpoint, target)
    try:
        demo.load(folder, "cpu")
    except Exception as error:
        raise PublishError(
            f"{folder} does not load in {demo.name} ({type(error).__name__}: {error}); publish one that does."
        ) from error
    card = join_header(
        _card_fields(fields, plugin, demo, license), body or _card_body(plugin, demo, checkpoint, files, needed)
    )
    everything: dict[str, Path | bytes] = {**files, CARD: card.encode()}
    return Publication(
        demo=demo,
        checkpoint=checkpoint,
        title=checkpoint.name if own else checkpoint.title,
        needed=needed,
        files=everything,
        license=license,
    )


def _find(target: str, settings: Settings) -> tuple[Plugin, Demo[Any], Checkpoint, bool]:
    """The plugin, demo and checkpoint that the target names, and whether it is DEMO=FOLDER."""
    name, equals, folder = target.partition("=")
    if not equals:
        name, _, folder = target.partition("/")
    if not name or not folder:
        raise SettingsError(
            f"{target!r} names no checkpoint; write DEMO/CHECKPOINT, or DEMO=FOLDER for one of your own."
        )
    own = ((name, Path(folder)),) if equals else ()
    plugin, demo = find_demo(load_plugins(replace(settings, checkpoints=own)), name)
    checkpoint = demo.checkpoints[-1] if equals else demo.checkpoint(folder)
    assert checkpoint is not None
    return plugin, demo, checkpoint, bool(equals)


def _needed(demo: Demo[Any], checkpoint: Checkpoint, files: Mapping[str, Path], own: bool) -> tuple[str, ...]:
    """Names of the files that `load` reads, as the plugin states them. Raises `PublishError` if one is missing.

    For a folder of one's own (`own`) they are those of another checkpoint of the demo, if the folder has them all.
    """
    listed = [c.files for c in demo.checkpoints if c is not checkpoint and set(c.files) <= set(files)]
    declared = next(iter(listed), ()) if own else checkpoint.files
    needed = declared or tuple(name for name in files if name != CARD and not is_legal(name))
    missing = [name for name in needed if name not in files]
    if missing or not needed:
        what = ", ".join(missing) or "files"
        raise PublishError(f"{checkpoint.folder} has no {what}; name the folder that was trained.")
    return needed


def _license(given: str | None, fields: Mapping[str, Any], checkpoint: Checkpoint, target: str) -> str:
    """The license: `given`, else that of the card and of the plugin.

    Raises `PublishError` if there is none, or the two differ.
    """
    if given:
        return given.lower()
    stated = {str(name).lower() for name in (fields.get("license"), checkpoint.license) if name}
    if len(stated) > 1:
        raise PublishError(
            f"the card of {target} says {fields['license']} and the plugin {checkpoint.license}; say --license."
        )
    if not stated:
        raise PublishError(
            f"{target} has no licence, and the Hub's visitors must know one; say for example --license apache-2.0, "
            "after a look at the terms of the training data."
        )
    return stated.pop()


def _card_fields(fields: Mapping[str, Any], plugin: Plugin, demo: Demo[Any], license: str) -> dict[str, Any]:
    """The fields of the card's header, completed with license, library, tag, and the task of the demo's other cards."""
    tags = fields.get("tags") or []
    full = dict(fields) | {"license": license}
    full.setdefault("library_name", plugin.distribution)
    if "pipeline_tag" not in full and (task := _task(demo)) is not None:
        full["pipeline_tag"] = task
    full["tags"] = list(dict.fromkeys([*([tags] if isinstance(tags, str) else tags), "demo-app"]))
    return full


def _task(demo: Demo[Any]) -> str | None:
    """The `pipeline_tag` of the cards of the demo's embedded checkpoints; `None` if they differ or have none."""
    cards = [c.folder / CARD for c in demo.checkpoints if c.folder is not None and (c.folder / CARD).is_file()]
    tasks = {split_header(card.read_text("utf-8"))[0].get("pipeline_tag") for card in cards} - {None}
    return str(tasks.pop()) if len(tasks) == 1 else None


def _card_body(
    plugin: Plugin, demo: Demo[Any], checkpoint: Checkpoint, files: Mapping[str, Path], needed: Sequence[str]
) -> str:
    """The text of a card for a checkpoint that has none: only what its files show."""
    rows = [f"| {name} | {size(files[name]):,} | `{_digest(files[name])}` |" for name in needed]
    measured = _numbers(files)
    return "\n".join(
        [
            f"\n# {checkpoint.name}: weights for {demo.title}\n",
            f"{demo.summary}\n",
            f"A checkpoint of the demo `{demo.name}` of {plugin.distribution} {plugin.version}. `demo-app publish` "
            "wrote this from the files alone: what it was trained on, and what it is not for, is to be added.\n",
            *(
                ["| measured | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in measured), ""]
                if measured
                else []
            ),
            "| file | bytes | sha256 |",
            "| --- | --- | --- |",
            *rows,
            f"\nTry it: `demo-app run --checkpoint {demo.name}=FOLDER`, with these files in FOLDER.\n",
        ]
    )


def _numbers(files: Mapping[str, Path]) -> list[tuple[str, object]]:
    """Names and values of the numbers in metrics.json, which training writes; none if there is no such file."""
    if "metrics.json" not in files:
        return []
    try:
        metrics = json.loads(files["metrics.json"].read_text("utf-8"))
    except ValueError:
        return []
    plain = metrics.items() if isinstance(metrics, dict) else ()
    return [(re.sub(r"[|\n`<]", " ", key), value) for key, value in plain if isinstance(value, int | float)]


def _digest(content: Path | bytes) -> str:
    """SHA-256, in hex."""
    digest = hashlib.sha256()
    for block in _blocks(content):
        digest.update(block)
    return digest.hexdigest()


def _blocks(content: Path | bytes) -> Iterable[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while block := file.read(2**22):
            yield block


def _quoted(text: str) -> str:
    """The text as a Python string in double quotes."""
    return json.dumps(text, ensure_ascii=False)
