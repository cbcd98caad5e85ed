"""The host and plugins as pip installs them, in virtual environments that see the packages of this one.

A .pth file shows them, so that nothing big is installed again; what is in this repository is not among them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from plugins_on_disk import ROOT


def environment(path: Path) -> Path:
    """A virtual environment that also sees this one's packages; its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", path], check=True)
    python = path / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip())
    (site / "heavy.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return python


def pip(python: Path, *arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", *arguments]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def wheels(sources: list[Path], target: Path) -> list[Path]:
    for source in sources:
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", target, source]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
    return sorted(target.glob("*.whl"))


def copied(source: Path, target: Path) -> Path:
    """A copy: builds must not write into the checkout."""
    ignored = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", "plugins" if source == ROOT else "")
    return Path(shutil.copytree(source, target, ignore=ignored))
