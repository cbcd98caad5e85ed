"""A checkpoint, embedded or trained, as a repository on the Hub: files, model card, and the lines that pin it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from demo_app.api import Checkpoint, Demo
from demo_app.errors import DemoError, SettingsError
from demo_app.hub.card import join_header, split_header
from demo_app.hub.upload import Files
from demo_app.publishing.files import size
from demo_app.registry.loading import find_demo, load_plugins
from demo_app.registry.plugin import Plugin
from demo_app.settings import Settings
from demo_app.unsafe_files import is_unsafe

CARD = "README.md"
PLAIN = (
    *(".safetensors", ".json", ".jsonl", ".txt", ".md", ".csv", ".tsv", ".yaml", ".yml", ".jinja", ".vocab", ".merges"),
    *(".model", ".spm", ".png", ".jpg", ".jpeg", ".webp", ".svg"),
)
UNSUFFIXED = ("LICENSE", "NOTICE", "LICENCE")


class PublishError(DemoError):
    """The checkpoint cannot be published as it is; the sentence says what to change."""


@dataclass(frozen=True, kw_only=True)
class Publication:
    """A checkpoint, ready to be uploaded."""

    demo: Demo[Any]
    checkpoint: Checkpoint
    title: str  # what a picker shall show
    needed: tuple[str, ...]  # the files that `load` reads
    files: Files  # these and the card, and what else belongs to them
    license: str

    def pinned(self, repo_id: str, commit: str) -> str:
        """The Python lines by which a plugin loads what was uploaded."""
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
    """The publication of `DEMO/CHECKPOINT`, or of the folder in `DEMO=FOLDER`.

    It is loaded once, so that nobody fetches what does not load. Raises `PublishError`, and `SettingsError` for a
    demo, a checkpoint or a folder that is not there.
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
    """The checkpoint with its demo and plugin, and whether it is a folder of one's own."""
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


def plain_files(folder: Path) -> dict[str, Path]:
    """All files of a checkpoint's folder but hidden ones. Raises `PublishError` for one that is not plain data."""
    paths = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    files = {
        name.as_posix(): path
        for name, path in paths.items()
        if not any(part.startswith((".", "__pycache__")) for part in name.parts)
    }
    for name, path in files.items():
        suffix = PurePosixPath(name).suffix.lower()
        if is_unsafe(name) or _starts_like_a_pickle(path):
            raise PublishError(
                f"{name} is a pickle, or may hold one, and can run code when it is loaded; save the weights as "
                f"safetensors, and take {name} out of {folder}."
            )
        if suffix not in PLAIN and PurePosixPath(name).stem not in UNSUFFIXED:
            raise PublishError(f"{name} is neither weights nor text ({', '.join(PLAIN)}); take it out of {folder}.")
        if suffix == ".safetensors":
            _check_weights(path)
    return files


def _starts_like_a_pickle(path: Path) -> bool:
    """Whatever it is called: a pickle of protocol 2 or later, or the zip archive that torch.save makes of one."""
    with path.open("rb") as file:
        return re.match(rb"\x80[\x02-\x0f]|PK\x03\x04", file.read(4)) is not None


def _check_weights(path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as weights:
            weights.keys()
    except (SafetensorError, OSError) as error:
        raise PublishError(f"{path.name} is no safetensors file ({error}); save the weights again.") from None


def _needed(demo: Demo[Any], checkpoint: Checkpoint, files: Mapping[str, Path], own: bool) -> tuple[str, ...]:
    """What `load` reads: as the plugin says, for a trained folder as it says of an embedded one with the same files."""
    listed = [c.files for c in demo.checkpoints if c is not checkpoint and set(c.files) <= set(files)]
    declared = next(iter(listed), ()) if own else checkpoint.files
    needed = declared or tuple(name for name in files if name != CARD and PurePosixPath(name).stem not in UNSUFFIXED)
    missing = [name for name in needed if name not in files]
    if missing or not needed:
        what = ", ".join(missing) or "files"
        raise PublishError(f"{checkpoint.folder} has no {what}; name the folder that was trained.")
    return needed


def _license(given: str | None, fields: Mapping[str, Any], checkpoint: Checkpoint, target: str) -> str:
    """What --license says, else the card and the plugin, who must agree. Raises `PublishError`: none is invented."""
    if given:
        return given.lower()
    said = {str(name).lower() for name in (fields.get("license"), checkpoint.license) if name}
    if len(said) > 1:
        raise PublishError(
            f"the card of {target} says {fields['license']} and the plugin {checkpoint.license}; say --license."
        )
    if not said:
        raise PublishError(
            f"{target} has no licence, and the Hub's visitors must know one; say for example --license apache-2.0, "
            "after a look at the terms of the training data."
        )
    return said.pop()


def _card_fields(fields: Mapping[str, Any], plugin: Plugin, demo: Demo[Any], license: str) -> dict[str, Any]:
    """The card's own header, completed: what others of the demo's cards agree on is true of this one too."""
    tags = fields.get("tags") or []
    full = dict(fields) | {"license": license}
    full.setdefault("library_name", plugin.distribution)
    if "pipeline_tag" not in full and (task := _task(demo)) is not None:
        full["pipeline_tag"] = task
    full["tags"] = list(dict.fromkeys([*([tags] if isinstance(tags, str) else tags), "demo-app"]))
    return full


def _task(demo: Demo[Any]) -> str | None:
    cards = [c.folder / CARD for c in demo.checkpoints if c.folder is not None and (c.folder / CARD).is_file()]
    tasks = {split_header(card.read_text("utf-8"))[0].get("pipeline_tag") for card in cards} - {None}
    return str(tasks.pop()) if len(tasks) == 1 else None


def _card_body(
    plugin: Plugin, demo: Demo[Any], checkpoint: Checkpoint, files: Mapping[str, Path], needed: Sequence[str]
) -> str:
    """A card for a checkpoint that has none: only what can be seen from its files."""
    rows = [f"| {name} | {size(files[name]):,} | `{_digest(files[name])}` |" for name in needed]
    told = _numbers(files)
    return "\n".join(
        [
            f"\n# {checkpoint.name}: weights for {demo.title}\n",
            f"{demo.summary}\n",
            f"A checkpoint of the demo `{demo.name}` of {plugin.distribution} {plugin.version}. `demo-app publish` "
            "wrote this from the files alone: what it was trained on, and what it is not for, is to be added.\n",
            *(
                ["| measured | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in told), ""]
                if told
                else []
            ),
            "| file | bytes | sha256 |",
            "| --- | --- | --- |",
            *rows,
            f"\nTry it: `demo-app run --checkpoint {demo.name}=FOLDER`, with these files in FOLDER.\n",
        ]
    )


def _numbers(files: Mapping[str, Path]) -> list[tuple[str, object]]:
    """What training noted in metrics.json, where it did."""
    if "metrics.json" not in files:
        return []
    try:
        noted = json.loads(files["metrics.json"].read_text("utf-8"))
    except ValueError:
        return []
    plain = noted.items() if isinstance(noted, dict) else ()
    return [(re.sub(r"[|\n`<]", " ", key), value) for key, value in plain if isinstance(value, int | float)]


def _digest(content: Path | bytes) -> str:
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
    return json.dumps(text, ensure_ascii=False)
