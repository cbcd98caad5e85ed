"""The Chromium of the browser tests: `python -m demo_app.testing.chromium` sees to it that there is one.

A Chromium of the system is taken if there is one, else Playwright's own. Where there is neither, root on Debian gets
Debian's `chromium` and a Chinese font; others are told what to run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PACKAGES = ("chromium", "fonts-noto-cjk")
ADVICE = "Install one: sudo apt-get install chromium fonts-noto-cjk, or: python -m playwright install chromium"


def find() -> str | None:
    """Path of a Chromium, `DEMO_APP_TEST_CHROMIUM` first; `None` where there is none."""
    named = os.environ.get("DEMO_APP_TEST_CHROMIUM")
    if named:
        return named
    found = next(filter(None, map(shutil.which, COMMANDS)), None)
    return found or _playwrights_own()


def _playwrights_own() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).is_file() else None


def launch(playwright: Playwright, *arguments: str) -> Browser:
    """A headless Chromium, with further command-line arguments. Raises `RuntimeError` that says how to get one."""
    system = os.environ.get("DEMO_APP_TEST_CHROMIUM") or next(filter(None, map(shutil.which, COMMANDS)), None)
    path = system or playwright.chromium.executable_path
    if not Path(path).is_file():
        raise RuntimeError(f"There is no Chromium. {ADVICE}")
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    sandbox = ["--no-sandbox"] if root else []  # Chromium's sandbox refuses root
    return playwright.chromium.launch(
        executable_path=path, args=[*sandbox, "--disable-background-networking", *arguments]
    )


def install() -> None:
    """Debian's packages, without a question."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-q"], check=True, env=environment)
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *PACKAGES]
    subprocess.run(command, check=True, env=environment)


def main() -> int:
    found = find()
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if found is None and root and shutil.which("apt-get"):
        install()
        found = find()
    sys.stdout.write(f"Chromium: {found}\n" if found else f"There is no Chromium. {ADVICE}\n")
    return 0 if found else 1


if __name__ == "__main__":
    raise SystemExit(main())
