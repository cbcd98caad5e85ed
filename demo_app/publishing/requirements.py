"""The lines of a Space's requirements.txt."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from importlib.metadata import Distribution
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from demo_app.publishing.errors import SpaceError

HOST = "demo-app"


def line_of(distribution: Distribution) -> str | None:
    """The line that installs the same distribution elsewhere; `None` if it came from a file or a folder.

    pip records the origin of a distribution in direct_url.json, unless that is an index (PEP 610).
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
    """The requirements that do not belong to an extra."""
    return tuple(text for text in requires if "extra" not in text.partition(";")[2])


def requirements_text(root: Path, plugins_dir: Path) -> str:
    """requirements.txt of a checkout: what the host in `root` and every plugin folder require, joined and sorted."""
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
    """One requirement for each distribution and marker, with ranges joined, sorted by name; without `own` and the host.

    Raises `SpaceError` for a text that is no requirement.
    """
    wanted: dict[tuple[str, str], Requirement] = {}
    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise SpaceError(f"requirement {text!r} cannot be read ({error}); fix it.") from None
        first = wanted.setdefault((canonicalize_name(requirement.name), str(requirement.marker or "")), requirement)
        first.specifier &= requirement.specifier
        first.extras |= requirement.extras
        first.url = first.url or requirement.url
    return [requirement for (name, _), requirement in sorted(wanted.items()) if name not in {*own, HOST}]


def line_for(requirement: Requirement) -> str:
    """`name>=1,<2`: sorted specifiers; of several lower bounds only the highest."""
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
