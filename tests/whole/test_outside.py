"""A stranger's machine: wheels of the host and of two plugins made by `demo-app new`, installed outside the repository.

The virtual environments see the big packages of this one; demo-app and the plugins are there as wheels alone.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import httpx
import pytest
from gradio_client import Client
from installing import copied, environment, pip, wheels
from playwright.sync_api import expect
from plugins_on_disk import ROOT

from demo_app.scaffold.plugin import create
from demo_app.serving.local import free_port

if TYPE_CHECKING:
    from demo_app.testing.browser import Visits

pytestmark = [pytest.mark.slow, pytest.mark.browser]

SECONDS = 60.0  # from the first command to the page, beyond installation
PATIENCE = 300.0  # seconds of a busy machine until a process is given up


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A virtual environment and an empty folder to work in."""

    python: Path
    folder: Path

    @property
    def variables(self) -> dict[str, str]:
        """Nothing of this process: no PYTHONPATH, no setting."""
        path = os.pathsep.join([str(self.python.parent), "/usr/bin", "/bin"])
        quiet = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
        return {"PATH": path, "HOME": str(self.folder), "DEMO_APP_PORT": str(free_port()), **quiet}

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.variables, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def serving(self, line: str) -> Iterator[tuple[str, list[str]]]:
        """The address of the host that the last command of a line for bash runs, and what was printed so far."""
        process = subprocess.Popen(
            ["bash", "-c", line],
            cwd=self.folder,
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        giving_up = threading.Timer(PATIENCE, os.killpg, (process.pid, signal.SIGKILL))
        giving_up.start()
        said: list[str] = []
        try:
            assert process.stdout is not None
            yield address(process.stdout, said), said
            os.killpg(process.pid, signal.SIGTERM)
            said += process.stdout.readlines()
            process.wait()
        finally:
            giving_up.cancel()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def address(output: IO[str], said: list[str]) -> str:
    """Read until the host says where it serves."""
    for line in output:
        said.append(line)
        if "serving on " in line:
            return line.split("serving on ")[1].strip()
    pytest.fail("it ended before it served:\n" + "".join(said))


def installed(folder: Path, name: str, packages: list[Path]) -> Machine:
    python = environment(folder / name / "venv")
    pip(python, *packages)
    pytest_script = python.with_name("pytest")  # pytest itself is among the packages that are seen; its command is not
    pytest_script.write_text(f"#!{python}\nimport sys, pytest\nsys.exit(pytest.console_main())\n")
    pytest_script.chmod(0o755)
    work = folder / name / "work"
    work.mkdir()
    return Machine(python=python, folder=work)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the host."""
    folder = tmp_path_factory.mktemp("host")
    (wheel,) = wheels([copied(ROOT, folder / "source")], folder / "wheels")
    shutil.rmtree(folder / "source")
    return wheel


@pytest.fixture(scope="module")
def stranger(host: Path, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine with the wheels of the host and of two plugins; nobody has their sources."""
    folder = tmp_path_factory.mktemp("stranger")
    sources = [folder / "shout", folder / "which_language"]
    create(sources[0])
    create(sources[1], torch=True)
    made = wheels(sources, folder / "wheels")
    for source in sources:
        shutil.rmtree(source)
    return installed(folder, "machine", [host, *made])


@pytest.fixture(scope="module")
def page(stranger: Machine) -> Iterator[str]:
    with stranger.serving("demo-app run") as (url, _):
        yield url


def test_the_plugins_are_installed_and_the_repository_is_not_on_the_path(stranger: Machine) -> None:
    listed = {plugin["name"]: plugin for plugin in json.loads(stranger.run("demo-app", "plugins", "--json"))}
    assert {name: (plugin["source"], plugin["status"]) for name, plugin in listed.items()} == {
        "shout": ("installed", "ok"),
        "which_language": ("installed", "ok"),
    }
    where = stranger.run("python", "-c", "import demo_app; print(demo_app.__file__)")
    assert Path(where).is_relative_to(stranger.python.parent.parent)
    assert "which_language: ok" in stranger.run("demo-app", "check", "shout", "which_language")


def test_both_tabs_answer_in_a_browser(page: str, visit: Visits) -> None:
    seen = visit(page)
    seen.open("Shout")
    seen.page.get_by_role("textbox", name="Text", exact=True).locator("visible=true").fill("hello")
    seen.page.get_by_role("button", name="Shout", exact=True).click()
    expect(seen.page.get_by_role("textbox", name="Louder")).to_have_value("HELLO")
    seen.open("Which language")
    seen.page.get_by_role("textbox", name="Text", exact=True).locator("visible=true").fill("Ich gehe in den Garten.")
    seen.page.get_by_role("button", name="Which language?").click()
    expect(seen.page.get_by_test_id("label-output-value")).to_have_text("German")
    assert seen.complaints == []
    assert seen.strangers(page) == []


def test_both_tabs_answer_a_program(page: str) -> None:
    client = Client(page, verbose=False)
    assert client.predict("hello", api_name="/shout_shout") == "HELLO"
    answer: dict[str, Any] = client.predict("The cat sat on the mat.", "tiny", api_name="/which_language_classify")
    assert answer["label"] == "English"
    described = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert "Say it louder" in described["/shout_shout"]["description"]
    names = [parameter["parameter_name"] for parameter in described["/which_language_classify"]["parameters"]]
    assert names == ["text", "checkpoint"]


def test_from_nothing_to_the_page_in_one_line(host: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As it is typed; only demo-app and pytest are installed."""
    machine = installed(tmp_path, "clean", [host])
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with machine.serving("demo-app new x && demo-app check x && pytest x && demo-app run") as (url, said):
        took = time.monotonic() - started
        assert httpx.get(f"{url}healthz", timeout=60).json()["plugins"] == {"ok": 1}
        assert Client(url, verbose=False).predict("hello", api_name="/x_shout") == "HELLO"
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert "x: ok\n" in said
    assert any("2 passed" in line for line in said)
    with capsys.disabled():
        sys.stdout.write(f"\nfrom `demo-app new x` to the page: {took:.1f} s, {busy:.1f} s of them on a CPU\n")
    assert busy < SECONDS  # of this machine's CPUs: the wall clock would also count what others do on it
