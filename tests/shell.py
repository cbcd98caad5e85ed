"""The command `demo-app`, as a shell runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from plugins_on_disk import ROOT


def demo_app(*args: str | Path, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `demo-app` with these arguments and environment variables, from this checkout."""
    environ = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    command = [sys.executable, "-m", "demo_app", *map(str, args)]
    return subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=120, check=False)
