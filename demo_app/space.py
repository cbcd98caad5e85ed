"""A Hugging Face Space from plugins: `make` gives the files of a new one, `stale_files` what a checkout must have anew.

A Space installs `requirements.txt` before the repository's files are there, so nothing in the repository can be
installed from it: what no index has is copied as a folder, and `requirements.txt` lists what that requires.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path, PurePosixPath
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

import demo_app
from demo_app.api import Checkpoint, DemoError
from demo_app.plugins import GROUP, Plugin, find_plugins, load_plugins, plugins_in
from demo_app.repository import Files, join_header, size, split_header
from demo_app.settings import Settings, SettingsError

HOST = "demo-app"
PYTHON = "3.12.12"  # one that ZeroGPU has too
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
ZEROGPU = ("2.8.0", "2.9.1", "2.10.0", "2.11.0")  # the versions of torch that it takes
LONGEST = 60  # characters that the Hub takes for a Space's short description
LARGE = 10 * 2**20  # bytes above which git on the Hub wants a file in LFS
OWNED = ("plugins/", "demo_app/")  # folders of a Space that hold nothing but what `make` put there
LEFT_OUT = re.compile(r"\..*|__pycache__|.*\.(pyc|pyo|pyi|egg-info)")  # anywhere
NO_SOURCES = frozenset({"build", "dist", "runs", "venv", "node_modules", "tests"})  # right in a plugin's folder
GPUS = re.compile(r"zero|t4|l4|a1|h1|h2|rtx")


class SpaceError(DemoError):
    """The Space cannot be made of these plugins; the sentence says what to change."""


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What whoever makes a Space may choose beside its plugins."""

    title: str | None = None
    description: str | None = None
    license: str | None = None
    cpu: bool = False  # PyTorch without CUDA
    hardware: str | None = None
    copy_host: bool | None = None  # None: copied unless an index has it


@dataclass(frozen=True, kw_only=True)
class Part:
    """The host or a plugin, on its way into a Space: one line of requirements.txt, or files and what they require."""

    name: str  # of the distribution
    line: str | None = None
    files: Files = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    requires_python: str = ""
    license: str | None = None


def make(plugins: Sequence[Plugin], settings: Settings, wishes: Wishes) -> dict[str, Path | bytes]:
    """The files of a new Space with these plugins, which are loaded. Raises `SpaceError`, and `SettingsError`."""
    if wishes.cpu and wishes.hardware and GPUS.match(wishes.hardware):
        raise SettingsError(f"--cpu is PyTorch without CUDA, and {wishes.hardware} has a GPU; leave one of them out.")
    host = _host(wishes.copy_host)
    parts = [host, *_plugin_parts(plugins, host_is_copied=host.line is None)]
    for part in parts:
        _check_python(part)
    texts = {
        "README.md": _new_readme(plugins, parts, wishes),
        "requirements.txt": _new_requirements(parts, wishes),
        "app.py": _app(plugins, settings, wishes.title),
    }
    files: dict[str, Path | bytes] = {name: text.encode() for name, text in texts.items()}
    for part in parts:
        files |= part.files
    return {".gitattributes": _attributes(files)} | files


def sources(settings: Settings) -> list[Path]:
    """The folders that a Space would be copied from."""
    chosen = [plugin.path for plugin in find_plugins(settings) if plugin.state == "found" and plugin.path is not None]
    return [Path(demo_app.__file__).resolve().parent, *chosen]


def chosen(settings: Settings) -> list[Plugin]:
    """The plugins that a Space shall have. Raises `SpaceError` for one that fails, `SettingsError` for one unknown."""
    found = find_plugins(replace(settings, only=(), disable=()))
    known = {plugin.name for plugin in found} | {plugin.distribution for plugin in found}
    for unknown in sorted({*settings.only} - known):
        names = ", ".join(sorted(plugin.name for plugin in found)) or "none"
        raise SettingsError(f"there is no plugin {unknown!r}; there are: {names}.")
    loaded = load_plugins(replace(settings, strict=False, checkpoints=()))  # one's own folders are not in a Space
    plugins = [plugin for plugin in loaded if plugin.state != "disabled"]
    if not plugins:
        raise SettingsError("there are no plugins; install one, or name a folder with --plugins-dir.")
    for plugin in plugins:
        if plugin.state == "failed":
            raise SpaceError(f"{plugin.name} fails at {plugin.stage}: {plugin.reason}")
    return plugins


def check(plugins: Sequence[Plugin], settings: Settings) -> None:
    """Raise `SpaceError` for the first plugin that `demo-app check` finds something wrong with; takes seconds each."""
    from demo_app.testing import check_demo

    for plugin in plugins:
        target = plugin.path if plugin.source == "folder" and plugin.path is not None else plugin.name
        problems = check_demo(target, settings=settings).problems
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise SpaceError(f"{plugin.name} fails its check: {problems[0]}{more} See: demo-app check {target}")


# The host and the plugins


def _host(copy: bool | None) -> Part:
    """The host as it is running: from an index (or a git repository) a line, else its folder."""
    package = Path(demo_app.__file__).resolve().parent
    installed = _distribution(HOST)
    if installed is not None and Path(str(installed.locate_file("demo_app"))).resolve() != package:
        installed = None  # a checkout that runs without being installed, or an editable one
    line = line_of(installed) if installed is not None else None
    if copy is False:
        line = line or f"{HOST}=={demo_app.__version__}"
    if copy or line is None:
        files = {f"demo_app/{name}": path for name, path in _files(package).items()}
        return Part(name=HOST, files=files, requires=_host_requires(package, installed), license="apache-2.0")
    return Part(name=HOST, line=line)


def _host_requires(package: Path, installed: Distribution | None) -> tuple[str, ...]:
    pyproject = package.parent / "pyproject.toml"
    if installed is None and pyproject.is_file():
        return tuple(tomllib.loads(pyproject.read_text("utf-8"))["project"]["dependencies"])
    return _without_extras(importlib.metadata.requires(HOST) or ())


def _plugin_parts(plugins: Sequence[Plugin], *, host_is_copied: bool) -> list[Part]:
    """Each plugin's distribution once. Where the host is copied all are: pip would look for the host in an index."""
    parts: dict[str, Part] = {}
    for plugin in plugins:
        name = canonicalize_name(plugin.distribution)
        if name not in parts:
            installed = _distribution(plugin.distribution) if plugin.source == "installed" else None
            line = line_of(installed) if installed is not None and not host_is_copied else None
            if line is not None:
                parts[name] = Part(name=name, line=line, requires_python=plugin.requires_python)
            else:
                parts[name] = _installed_part(installed) if installed is not None else _folder_part(plugin)
    return list(parts.values())


def _folder_part(plugin: Plugin) -> Part:
    """A plugin that is a folder, or installed from one that is still there."""
    assert plugin.path is not None
    found = [other for other in plugins_in(plugin.path.parent) if other.path == plugin.path.resolve()]
    top = plugin.value.partition(":")[0].partition(".")[0]
    root = plugin.path / "src" if (plugin.path / "src").is_dir() else plugin.path
    if plugin.name not in {other.name for other in found} or not (
        (root / top).is_dir() or (root / f"{top}.py").is_file()
    ):
        raise SpaceError(
            f"{plugin.name}: a Space would not find {plugin.path.name}/: it needs a pyproject.toml with a "
            f"[project.entry-points.{GROUP}] table, and {top} beside it or in src/; arrange it so, or install a wheel."
        )
    project = tomllib.loads((plugin.path / "pyproject.toml").read_text("utf-8"))["project"]
    return Part(
        name=canonicalize_name(plugin.distribution),
        files={
            f"plugins/{plugin.path.name}/{name}": path
            for name, path in _files(plugin.path).items()
            if name.partition("/")[0] not in NO_SOURCES
        },
        requires=plugin.requires,
        requires_python=plugin.requires_python,
        license=_license(project.get("license")),
    )


def _installed_part(distribution: Distribution) -> Part:
    """An installed distribution as a folder: its modules, and a pyproject.toml that says what its metadata said."""
    folder = f"plugins/{canonicalize_name(distribution.name).replace('-', '_')}"
    files: dict[str, Path | bytes] = {}
    for path in distribution.files or ():
        inside = PurePosixPath(path.as_posix())
        if not inside.parts[0].endswith(".dist-info") and not any(map(_left_out, inside.parts)):
            files[f"{folder}/{inside}"] = Path(str(distribution.locate_file(path)))
    requires = _without_extras(distribution.requires or ())
    python = distribution.metadata["Requires-Python"] or ""
    entries = [entry for entry in distribution.entry_points if entry.group == GROUP]
    pyproject = [
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n',
        "[project]",
        *(
            f"{key} = {json.dumps(value)}"
            for key, value in (("name", distribution.name), ("version", distribution.version))
        ),
        f"requires-python = {json.dumps(python)}",
        f"dependencies = {json.dumps(requires)}\n",
        f"[project.entry-points.{GROUP}]",
        *(f"{json.dumps(entry.name)} = {json.dumps(entry.value)}" for entry in entries),
    ]
    files[f"{folder}/pyproject.toml"] = ("\n".join(pyproject) + "\n").encode()
    return Part(
        name=canonicalize_name(distribution.name),
        files=files,
        requires=requires,
        requires_python=python,
        license=_license(distribution.metadata["License-Expression"] or distribution.metadata["License"]),
    )


def _distribution(name: str) -> Distribution | None:
    try:
        return importlib.metadata.distribution(name)
    except PackageNotFoundError:
        return None


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


def _files(folder: Path) -> dict[str, Path]:
    """The files below a folder by their names in it, without those that are hidden or that Python wrote."""
    names = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name.as_posix(): path for name, path in names.items() if not any(map(_left_out, name.parts))}


def _left_out(part: str) -> bool:
    return LEFT_OUT.fullmatch(part) is not None


def _license(said: object) -> str | None:
    """An SPDX name as the Hub writes it; `None` for what is none, as a whole licence's text."""
    return said.lower() if isinstance(said, str) and re.fullmatch(r"[\w.+-]{2,40}", said) else None


def _without_extras(requires: Iterable[str]) -> tuple[str, ...]:
    return tuple(text for text in requires if "extra" not in text.partition(";")[2])


def _check_python(part: Part) -> None:
    try:
        suits = SpecifierSet(part.requires_python).contains(PYTHON)
    except InvalidSpecifier:
        suits = True
    if not suits:
        raise SpaceError(
            f"{part.name} needs Python {part.requires_python} and a Space has {PYTHON}; widen what it needs."
        )


# The texts of a new Space


def _new_requirements(parts: Sequence[Part], wishes: Wishes) -> str:
    zero = (wishes.hardware or "").startswith("zero")
    texts = [text for part in parts for text in part.requires] + ["torch>=2.8,<2.12"] * zero
    wanted = _joined(texts, {part.name for part in parts})
    torch = next((requirement for requirement in wanted if requirement.name == "torch"), None)
    if zero and torch is not None and not any(map(torch.specifier.contains, ZEROGPU)):
        raise SpaceError(
            f"the plugins need {torch}, and ZeroGPU has torch {', '.join(ZEROGPU)}; choose other hardware."
        )
    lines = ["# Written by `demo-app space`. gradio itself is the sdk_version in README.md."]
    if wishes.cpu:
        lines += [
            "# PyTorch without CUDA: gigabytes less to install, 320 MB less memory. Not for a GPU Space or ZeroGPU.",
            f"--extra-index-url {CPU_INDEX}",
        ]
    lines += [part.line for part in parts if part.line is not None]
    return "\n".join([*lines, *map(_line, wanted), ""])


def _app(plugins: Sequence[Plugin], settings: Settings, title: str | None) -> str:
    chosen, brought_by = {plugin.name for plugin in plugins}, {plugin.distribution for plugin in plugins}
    known = find_plugins(replace(settings, only=(), disable=()))
    more = ""
    if {plugin.name for plugin in known if plugin.distribution in brought_by} != chosen:
        more += f", only={tuple(sorted(chosen))!r}"  # one of the distributions brings more than was chosen
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


def _new_readme(plugins: Sequence[Plugin], parts: Sequence[Part], wishes: Wishes) -> str:
    demos = sorted((demo for plugin in plugins for demo in plugin.demos), key=lambda demo: (demo.order, demo.name))
    title = wishes.title or (demos[0].title if len(demos) == 1 else "Model demos")
    said = wishes.description or (demos[0].summary if len(demos) == 1 else ", ".join(demo.title for demo in demos))
    licenses = {part.license for part in parts if part.files}
    license = wishes.license or (licenses.pop() if len(licenses) == 1 else None)
    fields: dict[str, Any] = {
        "title": title,
        "emoji": "🔎",
        "colorFrom": "indigo",
        "colorTo": "blue",
        "sdk": "gradio",
        "sdk_version": importlib.metadata.version("gradio"),  # which suits them all, for here they load
        "python_version": PYTHON,
        "app_file": "app.py",
    }
    fields |= {"license": license.lower()} if license else {}
    fields["short_description"] = said if len(said) <= LONGEST else said[: LONGEST - 1].rstrip(" ,.;") + "…"
    fields |= {"suggested_hardware": wishes.hardware} if wishes.hardware else {}
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


def _attributes(files: Files) -> bytes:
    """`.gitattributes`: git on the Hub takes binary and large files only through LFS."""
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
    """Files whose text differs from what the pyprojects and the plugins' checkpoints say, with the right text.

    Raises `SettingsError` where `root` is no checkout of a Space.
    """
    for name in ("app.py", "pyproject.toml"):
        if not (root / name).is_file():
            raise SettingsError(
                f"{root} has no {name}: --update and --check are for a checkout that is a Space; to make a Space from "
                "plugins, say: demo-app space FOLDER"
            )
    right = {
        root / "requirements.txt": requirements(root, plugins_dir),
        root / "README.md": readme(root / "README.md", plugins_dir),
    }
    return {path: text for path, text in right.items() if not path.is_file() or path.read_text("utf-8") != text}


def requirements(root: Path, plugins_dir: Path) -> str:
    """The requirements of the host and of every plugin folder, one line a distribution, ranges joined."""
    own: set[str] = set()
    wanted: list[str] = []
    for path in [root / "pyproject.toml", *sorted(plugins_dir.glob("*/pyproject.toml"))]:
        project = tomllib.loads(path.read_text("utf-8"))["project"]
        own.add(canonicalize_name(project["name"]))
        wanted += project.get("dependencies", ())
    lines = map(_line, _joined(wanted, own))
    return "\n".join(
        ["# Written by `demo-app space` from the pyproject.toml of the host and of plugins/*.", *lines, ""]
    )


def _joined(texts: Iterable[str], own: Iterable[str]) -> list[Requirement]:
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


def _line(requirement: Requirement) -> str:
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


def readme(path: Path, plugins_dir: Path) -> str:
    """README.md with `models` and `preload_from_hub` in its header from the plugins' Hub checkpoints."""
    fields, body = split_header(path.read_text("utf-8") if path.is_file() else "---\nsdk: gradio\n---\n")
    settings = Settings.from_env({}, plugins_dir=plugins_dir)
    _put_checkpoints(
        fields, [c for plugin in load_plugins(settings) for demo in plugin.demos for c in demo.checkpoints]
    )
    return join_header(fields, body)


def _put_checkpoints(fields: dict[str, Any], checkpoints: Sequence[Checkpoint]) -> None:
    """What the Hub shows beside a Space, and what it fetches while it builds one."""
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
