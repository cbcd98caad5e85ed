"""What programs can call is what tests/whole/api.txt says: a change of it is a change of that file.

python -m pytest tests/whole/test_endpoints.py --renew     # writes it
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path, PurePath
from typing import Any

import pytest
from whole import tour

from demo_app import create_app

FILE = Path(__file__).parent / "api.txt"
NUMBERED = re.compile(r"value_\d+")  # Gradio's name for a component without a label, by its place on the page


@pytest.mark.usefixtures("isolated")
def test_the_endpoints_are_those_of_the_file(renew: bool) -> None:
    now = described(create_app(plugins_dir=tour.PLUGINS, strict=True).blocks.get_api_info())
    if renew:
        FILE.write_text(now, encoding="utf-8")
    before = FILE.read_text(encoding="utf-8") if FILE.is_file() else ""
    changes = list(difflib.unified_diff(before.splitlines(), now.splitlines(), "api.txt", "now", lineterm="", n=2))

    assert changes == [], "\n".join(
        [*changes, "if that is meant: python -m pytest tests/whole/test_endpoints.py --renew"]
    )


def described(info: dict[str, Any]) -> str:
    """Every endpoint with its parameters, their types and defaults, and its returns; sorted by name."""
    blocks = []
    for name, endpoint in sorted(info["named_endpoints"].items()):
        lines = [name]
        for given in endpoint["parameters"]:
            default = f" = {shown(given['parameter_default'])}" if given["parameter_has_default"] else ""
            lines.append(f"    {plain(given['parameter_name'])}: {typed(given)}{default}")
        lines += [f"    -> {plain(back['label'])}: {typed(back)}" for back in endpoint["returns"]]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def typed(part: dict[str, Any]) -> str:
    return f"{part['component']} {part['python_type']['type']}"


def plain(name: str) -> str:
    return NUMBERED.sub("value", name)


def shown(default: Any) -> str:
    """A default; of a file only its name, since the folder is another on each start."""
    if isinstance(default, dict) and "path" in default:
        return PurePath(default["path"] or "").name
    return repr(default)
