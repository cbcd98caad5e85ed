"""A plugin's requirements, compared with what is installed."""

from __future__ import annotations

import functools
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from demo_app.registry.guarded import reason
from demo_app.registry.plugin import Plugin, PluginError
from demo_app.version import __version__


def check_requirements(plugin: Plugin) -> None:
    """Raise `PluginError` for the first requirement that is not met, with the command that installs it."""
    for what, fix in unmet_requirements(plugin):
        raise PluginError("discovery", "{what} ({fix}).", what=what, fix=fix)


def unmet_requirements(plugin: Plugin, neighbours: Iterable[Plugin] = ()) -> Iterator[tuple[str, str]]:
    """(what, fix) of each requirement that this environment does not meet.

    The fix is never to install what the host, another distribution or a plugin of `neighbours` cannot work with.
    """
    others = _requirements_of_others(plugin, tuple(neighbours))
    if plugin.requires_python:
        python = ".".join(map(str, sys.version_info[:3]))
        try:
            suits = SpecifierSet(plugin.requires_python).contains(python)
        except InvalidSpecifier:
            suits = True
        if not suits:
            yield (
                f"needs Python {plugin.requires_python} and this is {python}",
                "use a newer Python, or widen requires-python of the plugin",
            )
    for text in plugin.requires:
        try:
            unmet = _unmet(text, others)
        except InvalidRequirement as error:
            unmet = f"requirement {text!r} cannot be read: {str(error).splitlines()[0]}", "fix it"
        except Exception as error:  # a marker of unknown variables, an installed version that is none
            unmet = f"requirement {text!r} cannot be evaluated: {reason(error)}", "fix it"
        if unmet is not None:
            yield unmet


def _unmet(text: str, others: Callable[[str], list[tuple[str, Requirement]]]) -> tuple[str, str] | None:
    """(what, fix) of a requirement that is not met, else `None`. Raises `InvalidRequirement` and others."""
    requirement = Requirement(text)
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
        return None
    version = _version(requirement.name)
    fix = f"pip install '{requirement}'"
    if version is None:
        return f"missing requirement {requirement.name!r}", fix
    if requirement.specifier.contains(version, prereleases=True):
        return None
    against = [f"{who} needs {other}" for who, other in others(requirement.name) if not _agree(requirement, other)]
    if against:  # to install it would break them
        what = f"needs {requirement}, and {' and '.join(against[:2])}; {version} is installed"
        return what, f"widen it in the plugin's pyproject.toml, so that {version} fits"
    return f"needs {requirement}, and {version} is installed", fix


def _requirements_of_others(
    plugin: Plugin, neighbours: Iterable[Plugin]
) -> Callable[[str], list[tuple[str, Requirement]]]:
    """A function that returns (who, requirement) of all else here that requires a distribution, the host first."""
    own = {canonicalize_name(name) for name in (plugin.distribution, *(other.distribution for other in neighbours))}
    given = [(other.distribution, other.requires) for other in neighbours]

    def others(name: str) -> list[tuple[str, Requirement]]:
        found = [(who, text) for who, text in _installed_requirements() if canonicalize_name(who) not in own]
        found += [(who, text) for who, texts in given for text in texts]
        return [(who, other) for who, text in found if (other := _applying(text, name)) is not None]

    return others


def _applying(text: str, name: str) -> Requirement | None:
    """The requirement, if it can be read, is of that distribution and applies here."""
    try:
        found = Requirement(text)
        applies = found.marker is None or found.marker.evaluate({"extra": ""})
    except Exception:  # a name or a marker that means nothing: it requires nothing that can be compared
        return None
    return found if applies and canonicalize_name(found.name) == canonicalize_name(name) else None


@functools.cache
def _installed_requirements() -> list[tuple[str, str]]:
    """(distribution, requirement) of the host and of all that is installed."""
    pyproject = Path(__file__).parent.parent.parent / "pyproject.toml"
    found: list[tuple[str, str]] = []
    if pyproject.is_file():  # a checkout
        project = tomllib.loads(pyproject.read_text("utf-8")).get("project", {})
        found += [(str(project.get("name")), text) for text in project.get("dependencies", ())]
    elif (gradio := _version("gradio")) is not None:  # a Space may have the host as a folder, without metadata
        found.append(("demo-app", f"gradio=={gradio.partition('.')[0]}.*"))
    for distribution in importlib.metadata.distributions():
        try:
            header = (distribution.read_text("METADATA") or "").partition("\n\n")[0]  # as e-mail it takes seconds
        except (OSError, ValueError):  # discovery says so, if it is a plugin's
            continue
        who = re.search(r"^Name: *(\S+)", header, re.MULTILINE)
        found += [(who[1], text) for text in re.findall(r"^Requires-Dist: *(.+)", header, re.MULTILINE)] if who else []
    return found


def _agree(first: Requirement, second: Requirement) -> bool:
    """Whether some version suits both; of the versions that they name and those just above."""
    both = first.specifier & second.specifier
    named = ["0", *(specifier.version.removesuffix(".*") for specifier in both)]
    return any(both.contains(version, prereleases=True) for at in named for version in (at, f"{at}.1", f"{at}.post1"))


def _version(distribution: str) -> str | None:
    if canonicalize_name(distribution) == "demo-app":
        return __version__  # a Space has the host as a folder, not as an installed distribution
    try:
        return importlib.metadata.version(distribution)
    except (PackageNotFoundError, KeyError):  # not installed, or without a version
        return None
