"""What building the page costs."""

from __future__ import annotations

import os
import subprocess
import sys

from whole import tour

BUILD = """
import sys
from pathlib import Path
from demo_app import create_app
app = create_app(plugins_dir=Path(sys.argv[1]), strict=True)
assert len(app.tabs) >= 5, app.tabs
print(sorted({"torch", "torchvision", "transformers"} & sys.modules.keys()))
"""


def test_building_every_tab_imports_no_torch() -> None:
    """A page whose models are elsewhere needs none."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(tour.ROOT), *sys.path]))}
    command = [sys.executable, "-c", BUILD, str(tour.PLUGINS)]

    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tour.ROOT)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
