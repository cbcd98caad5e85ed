"""`demo-app new`: a working plugin, to be changed into one's own, made from the files in `template/`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template
from typing import Any

from demo_app.errors import SettingsError
from demo_app.scaffold.pin import Pinned, pin

TEMPLATE = Path(__file__).parent / "template"
NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")


def create(target: Path, *, torch: bool = False, hub: str | None = None) -> list[Path]:
    """Write a plugin into the new folder `target`, and return the files written. The folder's name is the plugin's.

    The plugin runs a Python callable or, with `torch`, a network. With `hub`, "owner/name" or "owner/name@revision", it
    reads the weights of that repository, pinned to its current commit. Raises `SettingsError` for a name or a folder
    that cannot be used, `DemoError` if the Hub does not answer or has no such weights.
    """
    if not NAME.fullmatch(target.name) or target.name == "status":
        raise SettingsError(
            f"{target.name!r} cannot be a plugin's name; take small letters, digits and '_', as in text_classifier"
            f"{' (status is the host itself)' if target.name == 'status' else ''}."
        )
    if target.exists():
        raise SettingsError(f"{target} is there already; choose another name, or remove it.")
    if not target.parent.is_dir():
        raise SettingsError(f"there is no folder {target.parent}; make it first.")
    files = plugin_files(target.name, torch=torch, pinned=pin(hub) if hub else None)
    for name, content in files.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return [target / name for name in files]


def plugin_files(folder: str, *, torch: bool = False, pinned: Pinned | None = None) -> dict[str, bytes]:
    """The files of a plugin, by their path in its folder."""
    name = folder.replace("-", "_")
    module = f"demo_app_{name}"
    words = {
        "folder": folder,
        "name": name,
        "module": module,
        "distribution": f"demo-app-{name.replace('_', '-')}",
        "title": name.replace("_", " ").capitalize(),
    }
    needs = ["demo-app>=0.1"]
    if torch or pinned:
        needs.append("safetensors>=0.5")
    if torch:
        needs.append("torch>=2.10")
    words["dependencies"] = ", ".join(f'"{need}"' for need in needs)
    table = {"pyproject.toml": "name, version, requirements, and the entry point by which the host finds it"}
    test = f"tests/test_{name}.py"
    files: dict[str, bytes] = {}
    if pinned is not None:
        words |= {"summary": f"What is inside {pinned.repo_id}."} | _hub_words(pinned, torch)
        table[f"{module}.py"] = "the checkpoint on the Hub, the model factory and the tab"
        files |= {f"{module}.py": _fill("hub.py", words), test: _fill("test_hub.py", words)}
    elif torch:
        words["summary"] = "Says in which language a text is written."
        table[f"{module}/__init__.py"] = "the checkpoint, the model factory and the tab"
        table[f"{module}/model.py"] = "the network"
        table[f"{module}/weights/tiny/"] = "its weights, in the layout of a Hub repository"
        files |= {f"{module}/__init__.py": _fill("torch.py", words), f"{module}/model.py": _fill("model.py", words)}
        files |= {f"{module}/weights/tiny/{file}": data for file, data in _letters().items()}
        files[test] = _fill("test_torch.py", words)
    else:
        words["summary"] = "Says it louder."
        table[f"{module}.py"] = "the model factory (`load`: any callable) and the tab (`build`)"
        files |= {f"{module}.py": _fill("callable.py", words), test: _fill("test_callable.py", words)}
    table[test] = "tests with the fixtures of demo-app"
    words["table"] = "\n".join(f"| `{file}` | {what} |" for file, what in table.items())
    return {"pyproject.toml": _fill("pyproject.toml", words), "README.md": _fill("README.md", words), **files}


def _hub_words(pinned: Pinned, torch: bool) -> dict[str, str]:
    """The parts of `hub.py.txt` that depend on the repository, and on whether torch reads the weights."""
    if torch:
        load = """\
    from safetensors.torch import load_file

    tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(path, device=device)
    return tensors"""
        row = (
            '" x ".join(map(str, tensor.shape)), float(tensor.float().mean()), float(tensor.float().std(correction=0))'
        )
        headers = ["name", "shape", "mean", "standard deviation"]
    else:
        load = """\
    from safetensors import safe_open

    shapes = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="numpy") as file:
            shapes |= {name: file.get_slice(name).get_shape() for name in file.keys()}
    return shapes"""
        row, headers = '" x ".join(map(str, tensor))', ["name", "shape"]
    return {
        "repo_id": pinned.repo_id,
        "checkpoint": re.sub(r"[^\w.-]", "_", pinned.repo_id.split("/")[1]),
        "revision": pinned.revision,
        "files": _listed(pinned.sizes),
        "size": f"{sum(pinned.sizes.values()):_}",
        "sha256": "\n".join(f'            "{name}": "{digest}",' for name, digest in pinned.sha256.items()),
        "license": pinned.license,
        "load": load,
        "row": row,
        "shape": "tensor.shape" if torch else "tensor",
        "headers": json.dumps(headers),
    }


def _listed(names: Iterable[str]) -> str:
    """The texts as they are written inside a Python tuple."""
    return ", ".join(f'"{name}"' for name in names) + ","


def _letters() -> dict[str, bytes]:
    """The files of the network's checkpoint: the logarithm of how often each language uses each letter."""
    import numpy as np
    from safetensors.numpy import save

    table: dict[str, Any] = json.loads((TEMPLATE / "letters.json").read_text(encoding="utf-8"))
    letters = table.pop("letters")
    weight = np.log(np.array(list(table.values()), np.float32) / 100)
    config = {"letters": letters, "labels": list(table)}
    return {
        "config.json": json.dumps(config, indent=2).encode() + b"\n",
        "model.safetensors": save({"linear.weight": weight}),
        "README.md": _fill("card.md", {}),
    }


def _fill(name: str, words: Mapping[str, str]) -> bytes:
    return Template((TEMPLATE / f"{name}.txt").read_text(encoding="utf-8")).substitute(words).encode()
