"""Weights from files into networks: mapped from disk, without a second copy, every parameter filled exactly once."""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import re
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from demo_app.errors import DemoError

V = TypeVar("V")
PAGE_OUT = 21  # MADV_PAGEOUT

# Masks and counters in published files, which a network computes itself
COMPUTED = re.compile(r"(^|\.)(attn\.bias|attn\.masked_bias|position_ids|num_batches_tracked)$")


@runtime_checkable
class HasTables(Protocol):
    """A module with tables that are computed and never saved, such as sinusoids."""

    def tables(self) -> dict[str, Tensor]:
        """The value of each non-persistent buffer, by name."""


class _NoInit(TorchFunctionMode):
    """Turns the functions of `torch.nn.init` off."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def empty_weights() -> Iterator[None]:
    """Networks made in this context are on the meta device, for `fill`: shapes without memory or random numbers.

    On that device, drawing a random number makes torch import its compiler: 2 s and 160 MB for nothing.
    """
    with torch.device("meta"), _NoInit():
        yield


def part(path: Path, reader: Callable[[Path], V]) -> V:
    """Read a checkpoint's file or folder with `reader`; any exception becomes a `DemoError` that names the file."""
    if not path.exists():
        raise DemoError(
            "{name} is missing in {folder}; fetch or train the checkpoint again.", name=path.name, folder=path.parent
        )
    try:
        return reader(path)
    except DemoError:
        raise
    except Exception as error:  # json, safetensors and tokenizers each raise their own, tokenizers a bare Exception
        raise DemoError(
            "{name} in {folder} cannot be read; fetch or train the checkpoint again.",
            name=path.name,
            folder=path.parent.name,
        ) from error


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of a pickled state dict (`weights_only`, so that no code runs), by name.

    They are mapped from the file: pages are read on first use, and processes can share them.
    """
    if path.suffix == ".safetensors":
        return load_file(path)
    mapped = zipfile.is_zipfile(path)  # torch before 1.6 wrote no archives
    tensors: dict[str, Tensor] = torch.load(path, weights_only=True, mmap=mapped, map_location="cpu")
    return tensors


def renamed(tensors: Mapping[str, Tensor], rules: Sequence[tuple[str, str]]) -> dict[str, Tensor]:
    """The tensors under new names: each name goes through all rules, (regular expression, replacement), in turn.

    Raises `DemoError` if two tensors get the same name.

    >>> list(renamed({"h.0.mlp.weight": torch.ones(2)}, [(r"^h\\.", "layers."), ("mlp", "feed_forward")]))
    ['layers.0.feed_forward.weight']
    """
    ours: dict[str, Tensor] = {}
    for published, tensor in tensors.items():
        name = published
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        if name in ours:
            raise DemoError("This checkpoint cannot be read here: it has {name} twice; choose another.", name=name)
        ours[name] = tensor
    return ours


def save(folder: Path, network: nn.Module, config: Any) -> None:
    """Write model.safetensors in half precision, and config.json from a dataclass; create the folder if needed.

    Tensors of other types than floating-point numbers are saved as they are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    halves = {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}
    save_file(halves, folder / "model.safetensors")
    (folder / "model.safetensors").chmod(0o644)  # safetensors makes it readable by its owner only
    fields = json.dumps(asdict(config), indent=2, ensure_ascii=False)
    (folder / "config.json").write_text(fields + "\n", "utf-8")


def offload(tensor: Tensor) -> None:
    """Free the memory of a tensor that is mapped from a file and not needed for now; on use it is read again.

    Works on Linux only (`madvise(2)`, MADV_PAGEOUT, since 5.4); elsewhere nothing happens. No value is ever lost.
    """
    if not sys.platform.startswith("linux") or tensor.device.type != "cpu":
        return
    first = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE  # whole pages only: neighbours may be in use
    length = (tensor.data_ptr() + tensor.nbytes - first) // mmap.PAGESIZE * mmap.PAGESIZE
    if length > 0:
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(length), PAGE_OUT)


def fill(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Fill a network that was made in `empty_weights` with its weights and tables.

    Tensors in single precision are used without a copy; others are widened to it. Afterwards nothing is empty. Raises
    `DemoError` that names what is missing, left over, or of another shape; `source` is the origin of the tensors.
    """
    slots = network.state_dict()
    given = {name: tensor for name, tensor in tensors.items() if name in slots or not COMPUTED.search(name)}
    problems = [f"lacks {name}" for name in slots if name not in given]
    problems += [f"has {name}, which nothing takes" for name in given if name not in slots]
    problems += [
        f"has {name} of shape {tuple(tensor.shape)} and not {tuple(slots[name].shape)}"
        for name, tensor in given.items()
        if name in slots and tensor.shape != slots[name].shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more such" if len(problems) > 3 else ""
        raise DemoError(
            "{source} {problems}; it does not fit its config.json: fetch it again.",
            source=source,
            problems=", ".join(problems[:3]) + more,
        )
    widened = {name: t.float() if t.is_floating_point() else t for name, t in given.items()}
    network.load_state_dict(widened, assign=True)
    for module in network.modules():
        if isinstance(module, HasTables):
            for name, table in module.tables().items():
                module.register_buffer(name, table, persistent=False)
