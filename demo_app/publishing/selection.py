"""Which files of a folder are published: what git would keep, without hidden files and those that tools write.

`.gitignore` files are read with pathspec, whether the folder is a repository or not: a folder without git, a wheel's
sources and a clone then give the same answer, and no program has to be there. Links are followed inside the folder
only. What is left out is not looked at; `secrets` looks at the rest.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

from demo_app.publishing.errors import PublishError

LEFT_OUT = re.compile(  # at any depth: hidden, or written by Python and by what logs trainings
    r"\..*|__pycache__|node_modules|wandb|mlruns|lightning_logs|tb_logs|events\.out\.tfevents.*"
    r"|.*\.(pyc|pyo|pyi|egg-info|log)"
)
ENVIRONMENTS = ("pyvenv.cfg", "conda-meta")  # what a virtual environment has in its folder


@dataclass(frozen=True)
class Rules:
    """The lines of a .gitignore, and the folder that they are about."""

    folder: Path
    spec: GitIgnoreSpec

    def verdict(self, path: Path, *, is_folder: bool) -> bool | None:
        """True: ignored, False: kept by a line with "!", None: the lines say nothing of it."""
        name = path.relative_to(self.folder).as_posix()
        return self.spec.check_file(f"{name}/" if is_folder else name).include


def selected(
    folder: Path, *, above: bool = True, needed: Collection[str] = (), top: Collection[str] = ()
) -> dict[str, Path]:
    """The files of a folder that are published, by their names in it.

    Args:
        folder: that is published.
        above: whether the .gitignore files of the repository around the folder count too.
        needed: names of files that are published even if they are ignored, such as a checkpoint's weights.
        top: names directly in the folder that are left out.

    Raises:
        PublishError: for a link that leads out of the folder, or to a folder.
    """
    folder = folder.resolve()
    rules = _rules_above(folder) if above else []
    found = {*_walk(folder, folder, rules, frozenset(top))}
    found |= {path for name in needed if (path := folder / name).is_file()}
    for path in found:
        if path.is_symlink() and not path.resolve().is_relative_to(folder):
            raise _leads_out(path, folder)
    return {path.relative_to(folder).as_posix(): path for path in sorted(found)}


def is_left_out(part: str) -> bool:
    """Whether files and folders of that name are never published."""
    return LEFT_OUT.fullmatch(part) is not None


def _walk(folder: Path, root: Path, rules: list[Rules], top: frozenset[str]) -> Iterator[Path]:
    rules = [*rules, *_rules_in(folder)]
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path, is_folder = Path(entry.path), entry.is_dir()
        if is_left_out(entry.name) or entry.name in top or _is_ignored(path, rules, is_folder=is_folder):
            continue
        if is_folder and entry.is_symlink():
            if _is_environment(path):
                continue
            raise _leads_out(path, root)
        if is_folder and not _is_environment(path):
            yield from _walk(path, root, rules, frozenset())
        elif entry.is_file():
            yield path


def _is_environment(folder: Path) -> bool:
    return any((folder / name).exists() for name in ENVIRONMENTS)


def _leads_out(path: Path, folder: Path) -> PublishError:
    return PublishError(
        "{name} is a link to {target}, and links are not followed out of the folder, nor to folders; put a copy in its "
        "place, or name it in {ignore}.",
        name=str(path),
        target=os.readlink(path),
        ignore=str(folder / ".gitignore"),
    )


def _is_ignored(path: Path, rules: list[Rules], *, is_folder: bool) -> bool:
    """As git decides: the last line of the nearest .gitignore that says anything of the path."""
    verdicts = (rule.verdict(path, is_folder=is_folder) for rule in reversed(rules))
    return next((verdict for verdict in verdicts if verdict is not None), False)


def _rules_in(folder: Path) -> list[Rules]:
    """The rules of the folder's .gitignore, and of a repository's own list."""
    return [
        Rules(folder, GitIgnoreSpec.from_lines(file.read_text("utf-8", errors="replace").splitlines()))
        for file in (folder / ".git" / "info" / "exclude", folder / ".gitignore")
        if file.is_file()
    ]


def _rules_above(folder: Path) -> list[Rules]:
    """The rules of the folders between the repository's root and the folder; none if they ignore the folder itself."""
    between = []
    for parent in folder.parents if not (folder / ".git").exists() else ():
        between.append(parent)
        if (parent / ".git").exists():
            break
    else:
        return []
    rules = [rule for parent in reversed(between) for rule in _rules_in(parent)]
    parts = [*reversed(between[:-1]), folder]
    return [] if any(_is_ignored(part, rules, is_folder=True) for part in parts) else rules
