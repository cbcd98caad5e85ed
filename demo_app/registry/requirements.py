"""A plugin's requirements, compared with what is installed."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from demo_app.registry.plugin import Plugin, PluginError
from demo_app.version import __version__


def check_requirements(plugin: Plugin) -> None:
    """Raise `PluginError` for the first requirement that is not met, with the command that installs it."""
    for what, fix in unmet_requirements(plugin):
        raise PluginError("discovery", "{what} ({fix}).", what=what, fix=fix)


def unmet_requirements(plugin: Plugin) -> Iterator[tuple[str, str]]:
    """(what, fix) of each requirement that this environment does not meet."""
    if plugin.requires_python:
        python = ".".join(map(str, sys.version_info[:3]))
        try:
            suits = SpecifierSet(plugin.requires_python).contains(python)
        except InvalidSpecifier:
            suits = True
        if not suits:
            yield f"needs Python {plugin.requires_python} and this is {python}", "upgrade it"
    for text in plugin.requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            yield f"requirement {text!r} cannot be read: {str(error).splitlines()[0]}", "fix it"
            continue
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = _version(requirement.name)
        fix = f"pip install '{requirement}'"
        if version is None:
            yield f"missing requirement {requirement.name!r}", fix
        elif not requirement.specifier.contains(version, prereleases=True):
            yield f"needs {requirement}, and {version} is installed", fix


def _version(distribution: str) -> str | None:
    if canonicalize_name(distribution) == "demo-app":
        return __version__  # a Space has the host as a folder, not as an installed distribution
    try:
        return importlib.metadata.version(distribution)
    except PackageNotFoundError:
        return None
