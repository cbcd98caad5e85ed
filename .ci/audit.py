"""Reads pip-audit's report: fails for holes that a newer version closes, and says so if nothing could be looked up."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(report: Path) -> int:
    """Print what was found. Returns 1 if a newer version closes a hole, else 0."""
    try:
        packages = json.loads(report.read_text("utf-8"))["dependencies"]
    except (OSError, ValueError, KeyError):
        print("not audited: pip-audit gave no report; the advisories cannot be reached from here")  # noqa: T201
        return 0
    known = [package for package in packages if "skip_reason" not in package]
    if not known:
        print(f"not audited: none of {len(packages)} packages could be looked up from here")  # noqa: T201
        return 0
    holes = [(package, hole) for package in known for hole in package["vulns"]]
    for package, hole in holes:
        closed = ", ".join(hole["fix_versions"]) or "no version yet"
        print(f"{package['name']} {package['version']}: {hole['id']}, closed by {closed}")  # noqa: T201
    print(f"{len(known)} of {len(packages)} packages audited, {len(holes)} known holes")  # noqa: T201
    return int(any(hole["fix_versions"] for _, hole in holes))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
