"""What a Hugging Face Space needs, generated from the pyprojects so that there is one place for each fact.

A Space installs `requirements.txt` before the repository's files are there, so neither the host nor the plugins can
be installed from it: it lists what they require, and `app.py` finds them as folders.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from demo_app.plugins import load_plugins
from demo_app.settings import Settings


def stale_files(root: Path, plugins_dir: Path) -> dict[Path, str]:
    """Files whose text differs from what the pyprojects and the plugins' checkpoints say, with the right text."""
    right = {
        root / "requirements.txt": requirements(root, plugins_dir),
        root / "README.md": readme(root / "README.md", plugins_dir),
    }
    return {path: text for path, text in right.items() if not path.is_file() or path.read_text("utf-8") != text}


def requirements(root: Path, plugins_dir: Path) -> str:
    """The requirements of the host and of every plugin folder, one line a distribution, ranges joined."""
    own: set[str] = set()
    wanted: dict[str, Requirement] = {}
    for path in [root / "pyproject.toml", *sorted(plugins_dir.glob("*/pyproject.toml"))]:
        project = tomllib.loads(path.read_text("utf-8"))["project"]
        own.add(canonicalize_name(project["name"]))
        for text in project.get("dependencies", ()):
            requirement = Requirement(text)
            first = wanted.setdefault(canonicalize_name(requirement.name), requirement)
            first.specifier &= requirement.specifier
            first.extras |= requirement.extras
    lines = [_line(requirement) for name, requirement in sorted(wanted.items()) if name not in own]
    return "\n".join(
        ["# Written by `demo-app space` from the pyproject.toml of the host and of plugins/*.", *lines, ""]
    )


def _line(requirement: Requirement) -> str:
    """`name>=1,<2`: the specifiers sorted, one that another of the same operator implies left out."""
    newest = {}
    for specifier in sorted(requirement.specifier, key=lambda s: (s.operator, _key(s.version))):
        newest[(specifier.operator, "" if specifier.operator == ">=" else specifier.version)] = specifier
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    marker = f"; {requirement.marker}" if requirement.marker else ""
    ordered = sorted(newest.values(), key=lambda s: s.operator != ">=")
    return f"{requirement.name}{extras}{','.join(map(str, ordered))}{marker}"


def _key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def readme(path: Path, plugins_dir: Path) -> str:
    """README.md with `models` and `preload_from_hub` in its header from the plugins' Hub checkpoints."""
    text = path.read_text("utf-8") if path.is_file() else "---\nsdk: gradio\n---\n"
    _, header, body = text.split("---\n", 2)
    fields = yaml.safe_load(header)
    settings = Settings.from_env({}, plugins_dir=plugins_dir)
    checkpoints = [
        c for plugin in load_plugins(settings) for demo in plugin.demos for c in demo.checkpoints if c.on_hub
    ]
    _put(fields, "models", sorted({str(c.repo_id) for c in checkpoints}))
    _put(fields, "preload_from_hub", sorted(f"{c.repo_id} {','.join(c.files)} {c.revision}" for c in checkpoints))
    return f"---\n{yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=1000)}---\n{body}"


def _put(fields: dict[str, object], name: str, values: Iterable[str]) -> None:
    values = list(values)
    if values:
        fields[name] = values
    else:
        fields.pop(name, None)
