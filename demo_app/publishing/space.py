"""A Hugging Face Space made of plugins: `make` returns the files of a new one, `stale_files` updates a checkout.

A Space installs `requirements.txt` before the repository's files are there, so `requirements.txt` cannot install
anything from the repository. What no index has is copied as a folder, and `requirements.txt` lists its requirements.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from demo_app.api import Checkpoint
from demo_app.errors import SettingsError
from demo_app.hub.card import join_header, split_header
from demo_app.hub.upload import Files
from demo_app.publishing.errors import SpaceError
from demo_app.publishing.files import size
from demo_app.publishing.parts import Part, host_part, plugin_parts
from demo_app.publishing.requirements import joined, line_for, requirements_text
from demo_app.publishing.secrets import refuse_secrets
from demo_app.registry.discovery import find_plugins
from demo_app.registry.loading import load_plugins
from demo_app.registry.plugin import Plugin
from demo_app.settings import Settings

PYTHON = "3.12.12"  # ZeroGPU has it too
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
ZEROGPU = ("2.8.0", "2.9.1", "2.10.0", "2.11.0")  # versions of torch there
LONGEST = 60  # characters of a Space's short description, at most
LARGE = 10 * 2**20  # bytes; git on the Hub wants larger files in LFS
OWNED = ("plugins/", "demo_app/")  # folders of a Space in which every file is from `make`
GPUS = re.compile(r"zero|t4|l4|a1|h1|h2|rtx")


@dataclass(frozen=True, kw_only=True)
class SpaceOptions:
    """What can be chosen for a Space, beside its plugins."""

    title: str | None = None
    description: str | None = None
    license: str | None = None
    cpu: bool = False  # PyTorch without CUDA
    hardware: str | None = None
    copy_host: bool | None = None  # None: unless it came from an index


def make(plugins: Sequence[Plugin], settings: Settings, options: SpaceOptions) -> dict[str, Path | bytes]:
    """The files of a new Space with these loaded plugins.

    Raises `SpaceError` if a Space cannot run them, `PublishError` for what looks like a secret and for links that lead
    out of a folder, `SettingsError` for options that contradict each other.
    """
    if options.cpu and options.hardware and GPUS.match(options.hardware):
        raise SettingsError(f"--cpu is PyTorch without CUDA, and {options.hardware} has a GPU; leave one of them out.")
    host = host_part(options.copy_host)
    parts = [host, *plugin_parts(plugins, host_is_copied=host.line is None)]
    for part in parts:
        _check_python(part)
    texts = {
        "README.md": _new_readme(plugins, parts, options),
        "requirements.txt": _new_requirements(parts, options),
        "app.py": _app(plugins, settings, options.title),
    }
    files: dict[str, Path | bytes] = {name: text.encode() for name, text in texts.items()}
    for part in parts:
        files |= part.files
    refuse_secrets(files)
    return {".gitattributes": _attributes(files)} | files


def sources(settings: Settings) -> list[Path]:
    """The folders from which files of a Space would be copied."""
    chosen = [plugin.path for plugin in find_plugins(settings) if plugin.state == "found" and plugin.path is not None]
    return [Path(__file__).resolve().parent.parent, *chosen]


def chosen_plugins(settings: Settings) -> list[Plugin]:
    """Load the plugins that the settings name.

    Raises `SpaceError` if one fails, `SettingsError` for an unknown name, or if there is no plugin.
    """
    found = find_plugins(replace(settings, only=(), disable=()))
    known = {plugin.name for plugin in found} | {plugin.distribution for plugin in found}
    for unknown in sorted({*settings.only} - known):
        names = ", ".join(sorted(plugin.name for plugin in found)) or "none"
        raise SettingsError(f"there is no plugin {unknown!r}; there are: {names}.")
    loaded = load_plugins(replace(settings, strict=False, checkpoints=()))  # one's own checkpoints stay out
    plugins = [plugin for plugin in loaded if plugin.state != "disabled"]
    if not plugins:
        raise SettingsError("there are no plugins; install one, or name a folder with --plugins-dir.")
    for plugin in plugins:
        if plugin.state == "failed":
            raise SpaceError(f"{plugin.name} fails at {plugin.stage}: {plugin.reason}")
    return plugins


def _check_python(part: Part) -> None:
    """Raise `SpaceError` if the part does not run with the Python of a Space."""
    try:
        suits = SpecifierSet(part.requires_python).contains(PYTHON)
    except InvalidSpecifier:
        suits = True
    if not suits:
        raise SpaceError(
            f"{part.name} needs Python {part.requires_python} and a Space has {PYTHON}; widen what it needs."
        )


# The texts of a new Space


def _new_requirements(parts: Sequence[Part], options: SpaceOptions) -> str:
    zero = (options.hardware or "").startswith("zero")
    texts = [text for part in parts for text in part.requires] + ["torch>=2.10,<2.12"] * zero
    wanted = joined(texts, {part.name for part in parts})
    torch = next((requirement for requirement in wanted if requirement.name == "torch"), None)
    if zero and torch is not None and not any(map(torch.specifier.contains, ZEROGPU)):
        raise SpaceError(
            f"the plugins need {torch}, and ZeroGPU has torch {', '.join(ZEROGPU)}; choose other hardware."
        )
    lines = ["# Written by `demo-app space`. gradio itself is the sdk_version in README.md."]
    if options.cpu:
        lines += [
            "# PyTorch without CUDA: gigabytes less to install, 320 MB less memory. Not for a GPU Space or ZeroGPU.",
            f"--extra-index-url {CPU_INDEX}",
        ]
    lines += [part.line for part in parts if part.line is not None]
    return "\n".join([*lines, *map(line_for, wanted), ""])


def _app(plugins: Sequence[Plugin], settings: Settings, title: str | None) -> str:
    chosen, brought_by = {plugin.name for plugin in plugins}, {plugin.distribution for plugin in plugins}
    known = find_plugins(replace(settings, only=(), disable=()))
    more = ""
    if {plugin.name for plugin in known if plugin.distribution in brought_by} != chosen:
        more += f", only={tuple(sorted(chosen))!r}"  # a distribution has more plugins than were chosen
    if title is not None:
        more += f", title={title!r}"
    return f'''"""What the Space runs: every plugin that is installed or lies in `plugins/`, one page.

`DEMO_APP_*` variables win over what is named here.
"""

from pathlib import Path

from demo_app import run

if __name__ == "__main__":
    run(plugins_dir=Path(__file__).parent / "plugins"{more})
'''


def _new_readme(plugins: Sequence[Plugin], parts: Sequence[Part], options: SpaceOptions) -> str:
    demos = sorted((demo for plugin in plugins for demo in plugin.demos), key=lambda demo: (demo.order, demo.name))
    title = options.title or (demos[0].title if len(demos) == 1 else "Model demos")
    summary = demos[0].summary if len(demos) == 1 else ", ".join(demo.title for demo in demos)
    description = options.description or summary
    licenses = {part.license for part in parts if part.files}
    license = options.license or (licenses.pop() if len(licenses) == 1 else None)
    fields: dict[str, Any] = {
        "title": title,
        "emoji": "🔎",
        "colorFrom": "indigo",
        "colorTo": "blue",
        "sdk": "gradio",
        "sdk_version": importlib.metadata.version("gradio"),  # they all load with this version
        "python_version": PYTHON,
        "app_file": "app.py",
    }
    fields |= {"license": license.lower()} if license else {}
    fields["short_description"] = _shortened(description)
    fields |= {"suggested_hardware": options.hardware} if options.hardware else {}
    checkpoints = [checkpoint for demo in demos for checkpoint in demo.checkpoints]
    _put_checkpoints(fields, checkpoints)
    rows = "\n".join(f"* **{demo.title}**: {demo.summary}" for demo in demos)
    terms = sorted(
        f"| {demo.name}/{checkpoint.name} | {checkpoint.repo_id or 'embedded'} | {checkpoint.license or 'not stated'} |"
        for demo in demos
        for checkpoint in demo.checkpoints
    )
    table = (
        "\n".join(["", "| weights | where they are | licence |", "| --- | --- | --- |", *terms, ""]) if terms else ""
    )
    body = f"\n# {title}\n\n{rows}\n{table}\nMade with `demo-app space`; run it with `python app.py`.\n"
    return join_header(fields, body)


def _shortened(description: str) -> str:
    if len(description) <= LONGEST:
        return description
    return description[: LONGEST - 1].rstrip(" ,.;") + "…"


def _attributes(files: Files) -> bytes:
    """`.gitattributes`: git on the Hub accepts binary and large files only through LFS."""
    names = sorted({_pattern(name) for name, content in files.items() if _is_binary(content)})
    return "".join(f"{name} filter=lfs diff=lfs merge=lfs -text\n" for name in names).encode()


def _pattern(name: str) -> str:
    path = PurePosixPath(name)
    return (
        f"*{path.suffix}"
        if path.suffix not in ("", ".json", ".txt", ".md", ".py")
        else name.replace(" ", "[[:space:]]")
    )


def _is_binary(content: Path | bytes) -> bool:
    if size(content) > LARGE:
        return True
    try:
        (content if isinstance(content, bytes) else content.read_bytes()).decode()
    except UnicodeDecodeError:
        return True
    return False


# The Space of a checkout


def stale_files(root: Path, plugins_dir: Path) -> dict[Path, str]:
    """The files of a checkout that differ from what its plugins and pyproject.toml files require, with the right text.

    Raises `SettingsError` if `root` is not a checkout of a Space.
    """
    for name in ("app.py", "pyproject.toml"):
        if not (root / name).is_file():
            raise SettingsError(
                f"{root} has no {name}: --update and --check are for a checkout that is a Space; to make a Space from "
                "plugins, say: demo-app space FOLDER"
            )
    right = {
        root / "requirements.txt": requirements_text(root, plugins_dir),
        root / "README.md": readme(root / "README.md", plugins_dir),
    }
    return {path: text for path, text in right.items() if not path.is_file() or path.read_text("utf-8") != text}


def readme(path: Path, plugins_dir: Path) -> str:
    """The text of README.md, with `models` and `preload_from_hub` in its header set from the plugins' checkpoints."""
    fields, body = split_header(path.read_text("utf-8") if path.is_file() else "---\nsdk: gradio\n---\n")
    settings = Settings.from_env({}, plugins_dir=plugins_dir)
    _put_checkpoints(
        fields, [c for plugin in load_plugins(settings) for demo in plugin.demos for c in demo.checkpoints]
    )
    return join_header(fields, body)


def _put_checkpoints(fields: dict[str, Any], checkpoints: Sequence[Checkpoint]) -> None:
    """Set `models`, which the Hub shows beside a Space, and `preload_from_hub`, which it fetches while building one."""
    on_hub = [checkpoint for checkpoint in checkpoints if checkpoint.on_hub]
    values: Mapping[str, list[str]] = {
        "models": sorted({str(checkpoint.repo_id) for checkpoint in on_hub}),
        "preload_from_hub": sorted({f"{c.repo_id} {','.join(c.files)} {c.revision}" for c in on_hub}),
    }
    for name, value in values.items():
        if value:
            fields[name] = value
        else:
            fields.pop(name, None)
