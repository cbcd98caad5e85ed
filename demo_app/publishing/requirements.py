"""A Space's requirements.txt."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from importlib.metadata import Distribution
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from demo_app.errors import DemoError

HOST = "demo-app"


class SpaceError(DemoError):
    """The Space cannot be made of these plugins; the sentence says what to change."""


def line_of(distribution: Distribution) -> str | None:
    """The line that installs this distribution elsewhere: from an index or from git; `None` for a file or a folder.

    pip notes where it had a distribution from unless that was an index (PEP 610).
    """
    text = distribution.read_text("direct_url.json")
    if text is None:
        return f"{distribution.name}=={distribution.version}"
    origin = json.loads(text)
    if origin.get("vcs_info", {}).get("vcs") == "git" and not origin["url"].startswith("file:"):
        below = f"#subdirectory={origin['subdirectory']}" if origin.get("subdirectory") else ""
        return f"{distribution.name} @ git+{origin['url']}@{origin['vcs_info']['commit_id']}{below}"
    return None


def without_extras(requires: Iterable[str]) -> tuple[str, ...]:
    return tuple(text for text in requires if "extra" not in text.partition(";")[2])


def requirements(root: Path, plugins_dir: Path) -> str:
    """The requirements of the host and of every plugin folder, one line a distribution, ranges joined."""
    own: set[str] = set()
    wanted: list[str] = []
    for path in [root / "pyproject.toml", *sorted(plugins_dir.glob("*/pyproject.toml"))]:
        project = tomllib.loads(path.read_text("utf-8"))["project"]
        own.add(canonicalize_name(project["name"]))
        wanted += project.get("dependencies", ())
    lines = map(line_for, joined(wanted, own))
    return "\n".join(
        ["# Written by `demo-app space` from the pyproject.toml of the host and of plugins/*.", *lines, ""]
    )


def joined(texts: Iterable[str], own: Iterable[str]) -> list[Requirement]:
    """One requirement a distribution and marker, in order of their names; without those that are there anyway."""
    wanted: dict[tuple[str, str], Requirement] = {}
    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise SpaceError(f"requirement {text!r} cannot be read ({error}); mend it.") from None
        first = wanted.setdefault((canonicalize_name(requirement.name), str(requirement.marker or "")), requirement)
        first.specifier &= requirement.specifier
        first.extras |= requirement.extras
        first.url = first.url or requirement.url
    return [requirement for (name, _), requirement in sorted(wanted.items()) if name not in {*own, HOST}]


def line_for(requirement: Requirement) -> str:
    """`name>=1,<2`: the specifiers sorted, one that another of the same operator implies left out."""
    if requirement.url:
        return str(requirement)
    newest = {}
    for specifier in sorted(requirement.specifier, key=lambda s: (s.operator, _key(s.version))):
        newest[(specifier.operator, "" if specifier.operator == ">=" else specifier.version)] = specifier
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    marker = f"; {requirement.marker}" if requirement.marker else ""
    ordered = sorted(newest.values(), key=lambda s: s.operator != ">=")
    return f"{requirement.name}{extras}{','.join(map(str, ordered))}{marker}"


def _key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
