"""Small checkpoints on disk, in the layout of a Hub repository."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_checkpoint(
    folder: Path,
    config: Mapping[str, Any] | None = None,
    tensors: Any = None,
    files: Mapping[str, bytes] | None = None,
) -> Path:
    """Write config.json, model.safetensors and `files` into a new folder, and return it.

    `tensors`: arrays of numpy or tensors of torch by name, or a torch module. Raises `FileExistsError`.
    """
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(dict(config or {}), indent=2) + "\n", encoding="utf-8")
    (folder / "model.safetensors").write_bytes(_as_safetensors(tensors))
    for name, data in (files or {}).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def _as_safetensors(tensors: Any) -> bytes:
    if tensors is None:
        import numpy as np

        tensors = {"weight": np.zeros(4, np.float32)}
    elif hasattr(tensors, "state_dict"):
        tensors = tensors.state_dict()
    if any(type(tensor).__module__.partition(".")[0] == "torch" for tensor in tensors.values()):
        from safetensors.torch import save

        return save({name: tensor.contiguous() for name, tensor in tensors.items()})
    from safetensors.numpy import save as save_arrays

    return save_arrays(dict(tensors))
