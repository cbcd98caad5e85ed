"""What this process may use: CPUs, memory, the device; and the environment that must be set before torch loads.

On a shared host a process may use less than the machine has: the limits of a container are those of its cgroup.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import logging
import os
import re
import sys
from collections.abc import MutableMapping
from pathlib import Path

from demo_app.errors import SettingsError

log = logging.getLogger(__name__)

CGROUP = Path("/sys/fs/cgroup")
GPUS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/nvmap", "/dev/kfd", "/dev/dxg")  # NVIDIA, Jetson, AMD, WSL
THREADS = re.compile(r"0*[1-9][0-9]{0,3}(\s*,\s*0*[1-9][0-9]{0,3})*")  # as OpenMP takes them: 4, or 4,2 for nested ones
SMALL = 32 * 2**20  # bytes of weights below which a second thread costs more than it saves


def _own_cgroups(controller: str) -> list[Path]:
    """Folders of the cgroups of this process, innermost first (version 2, then 1)."""
    folders: list[Path] = []
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0" or controller in controllers.split(","):
            root = CGROUP if number == "0" else CGROUP / controller
            inner = root / path.lstrip("/")
            folders += [inner, *[parent for parent in inner.parents if parent.is_relative_to(root)]]
    return [*folders, CGROUP, CGROUP / controller]


def _read_numbers(path: Path) -> list[int]:
    """The whole numbers in a cgroup file, without "max"; none for an unreadable file."""
    try:
        return [int(word) for word in path.read_text().split() if word.lstrip("-").isdigit()]
    except OSError:
        return []


def cpus() -> int:
    """CPUs this process may use, at least 1: its affinity, or the quota of its cgroup if that is less."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in _own_cgroups("cpu"):
        quota = _read_numbers(folder / "cpu.max")
        if len(quota) < 2:
            quota = _read_numbers(folder / "cpu.cfs_quota_us") + _read_numbers(folder / "cpu.cfs_period_us")
        if len(quota) == 2 and quota[0] > 0 and quota[1] > 0:
            count = min(count, max(1, round(quota[0] / quota[1])))
    return max(1, count)


def memory() -> int:
    """Bytes of memory this process may use: the machine's, or the limit of its cgroup if that is less."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")] if hasattr(os, "sysconf") else [8 * 2**30]
    for folder in _own_cgroups("memory"):
        limits += _read_numbers(folder / "memory.max") + _read_numbers(folder / "memory.limit_in_bytes")
    return min(limit for limit in limits if limit > 0)


def prepare_environment(threads: int | None = None, environ: MutableMapping[str, str] = os.environ) -> None:
    """Set the variables that gradio, huggingface_hub and torch read when they load, unless they are set already.

    Threads of OpenMP wait passively. By default they spin at each barrier, and beside a web server on the same CPUs
    one such wait costs a scheduler slice, 5 to 30 times the whole model.
    """
    count = str(threads or cpus())
    for name, value in {
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OMP_WAIT_POLICY": "PASSIVE",
        "KMP_BLOCKTIME": "0",
        "TOKENIZERS_PARALLELISM": "false",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_CACHE_EXAMPLES": "False",  # a Space caches examples at start by default, which runs every model
        "GRADIO_ANALYTICS_CACHE_FREQUENCY": "1000000",  # else a pandas summary of all past events at each event
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
    }.items():
        given = environ.get(name, "").strip()
        if name.endswith("_NUM_THREADS") and given and not THREADS.fullmatch(given):
            log.warning("%s=%s is no number of threads, and %s is used", name, given, value)
            given = ""
        environ[name] = given or value


@functools.cache
def best_device() -> str:
    """cuda, mps or cpu: the first that torch can use.

    Imports torch, which takes seconds, only if there may be a GPU: a model that is a plain function needs no torch.
    """
    if sys.platform == "linux" and not any(Path(gpu).exists() for gpu in GPUS):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if torch.backends.mps.is_available():
        return "mps"
    return "cpu"


def check_device(device: str | None) -> None:
    """Raise `SettingsError` if the device was named and is not here. Imports torch only where there may be a GPU."""
    if device is None or device == "cpu" or best_device() == device:
        return
    kind, _, number = device.partition(":")
    torch = sys.modules.get("torch")
    if kind == best_device() == "cuda" and torch is not None and int(number or 0) < torch.cuda.device_count():
        return
    raise SettingsError(f"DEMO_APP_DEVICE: there is no {device} here; write {best_device()}, or leave it out.")


def threads() -> int:
    """Threads for computing: the number given to `prepare_environment`, else `cpus()`."""
    given = os.environ.get("OMP_NUM_THREADS", "").strip()
    return int(given.partition(",")[0]) if THREADS.fullmatch(given) else cpus()


def use_threads(model_bytes: int, most: int) -> None:
    """Set the number of torch's threads for a model of that size, in the calling thread: 1 for a small one.

    A small network loses more time at barriers than a second thread saves, and takes a CPU from others.
    """
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1 if model_bytes < SMALL else most)


def give_back_memory() -> None:
    """Return freed memory to the operating system: after `del model` the allocators still hold it."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    trim_memory()


def trim_memory() -> None:
    """Return freed memory of the C library to the operating system, without a garbage collection."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # musl has no malloc_trim
            ctypes.CDLL("libc.so.6").malloc_trim(0)
