"""No token of a visitor gets into the log, and no input makes a line of its own."""

from __future__ import annotations

import subprocess
import sys

from plugins_on_disk import ROOT

CODE = """
import logging, sys, traceback
from demo_app.page import logs
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
logs.guard()
logs.guard()
log = logging.getLogger("x")
log.info("%s/%s: %s", "demo", "shout", "bad\\n2026-12-01 ERROR forged \\x1b[31m")
log.info("published with hf_aSecretOfTheVisitor")
log.warning("headers: %s", {"authorization": "Bearer aSecretOfTheVisitor", "password": "aSecretOfTheVisitor"})
print("Received inputs: [\\"me/model\\", \\"hf_aSecretOfTheVisitor\\"]")
try:
    raise ValueError("hf_aSecretOfTheVisitor\\nERROR forged")
except ValueError:
    log.exception("it failed")
    traceback.print_exc()
"""


def test_tokens_are_masked_and_no_line_can_be_forged() -> None:
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=True)
    said = done.stdout + done.stderr
    assert "aSecret" not in said
    assert said.count("hf_***") == 4
    logged = done.stderr[: done.stderr.index("Traceback (most recent call last):\n  File")]
    assert [line for line in logged.splitlines() if line.startswith(("2026", "ERROR forged"))] == []
    assert r"bad\n2026-12-01 ERROR forged \x1b[31m" in logged
