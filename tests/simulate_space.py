"""A Hugging Face Space without Docker: what its builder installs, in its order, then the app as its user runs it.

    python tests/simulate_space.py [--keep FOLDER]

1. The builder's two pip commands in a folder that holds only requirements.txt (build logs of Spaces, May to July 2026).
2. The files of HEAD are copied only then, and belong to uid 1000.
3. `python app.py` as uid 1000 with the Space's variables, server-side rendering included, and nothing else.

`main` also opens the page in a Chromium and classifies a sentence; `publishing/test_space.py` asserts on all of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import yaml

ROOT = Path(__file__).resolve().parent.parent
UID = 1000
START_SECONDS = 180.0
PREINSTALLED = ("datasets", "huggingface-hub>=0.30", "hf-transfer>=0.1.4", "protobuf<4", "click<8.1")
ADDED = ("gradio[oauth,mcp]=={gradio}", "uvicorn>=0.14.0", "websockets>=10.4", "spaces")


@dataclass(frozen=True)
class Space:
    """An image of a Space, ready to run."""

    folder: Path  # app/, home/, tmp/, venv/ are in it
    header: dict[str, Any]  # of README.md
    seconds: dict[str, float]  # what each step took
    packages: str  # pip freeze
    conflicts: tuple[str, ...]  # pip check
    name: str = "app"  # of the folder with the repository: an image may have several, one runs at a time

    @property
    def python(self) -> Path:
        return self.folder / "venv" / "bin" / "python"

    @property
    def app(self) -> Path:
        return self.folder / self.name

    def variables(self, port: int) -> dict[str, str]:
        """All that the app's process gets."""
        home, path = self.folder / "home", os.environ.get("PATH", os.defpath)
        copied = self.folder / "python" / "lib"  # see `readable`; a shared libpython is looked for where it was built
        return ({"LD_LIBRARY_PATH": str(copied)} if copied.is_dir() else {}) | {
            "HOME": str(home),
            "PATH": f"{self.python.parent}:{path}",
            "TMPDIR": str(self.folder / "tmp"),
            "PYTHONPATH": str(self.app),
            "PYTHONUNBUFFERED": "1",
            "SYSTEM": "spaces",
            "SPACE_ID": "someone/demo-app",
            "SPACE_HOST": "someone-demo-app.hf.space",
            "SPACE_AUTHOR_NAME": "someone",
            "SPACE_REPO_NAME": "demo-app",
            "GRADIO_SERVER_NAME": "0.0.0.0",
            "GRADIO_SERVER_PORT": str(port),
            "GRADIO_NUM_PORTS": "1",
            "GRADIO_SSR_MODE": "True",
            "GRADIO_ALLOW_FLAGGING": "never",
            "TQDM_POSITION": "-1",
            "TQDM_MININTERVAL": "1",
            "CPU_CORES": "2",
            "MEMORY": "16Gi",
            "ACCELERATOR": "none",
            "HF_HUB_OFFLINE": "1",  # the embedded models must do
        }


@dataclass(frozen=True)
class Running:
    """The app of a Space, serving."""

    url: str
    log: Path
    first_answer: float  # seconds from the start of the process


def build(folder: Path) -> Space:
    """Install as the builder does, then bring the repository. Raises `CalledProcessError`."""
    seconds: dict[str, float] = {}
    folder.chmod(0o755)
    copy_repository(folder / "app")
    header = read_header(folder / "app" / "README.md")
    with timed(seconds, "venv"):
        interpreter = readable(find_python(str(header.get("python_version", "3.12"))), folder)
        subprocess.run([interpreter, "-m", "venv", folder / "venv"], check=True)
    alone = folder / "requirements"  # only requirements.txt is there while pip runs
    alone.mkdir()
    shutil.copy(folder / "app" / "requirements.txt", alone)
    space = Space(folder, header, seconds, "", ())
    with timed(seconds, "builder's first command"):
        pip(space, "install", "--upgrade", "pip")
        pip(space, "install", *PREINSTALLED)
    with timed(seconds, "builder's second command"):
        added = [text.format(gradio=header["sdk_version"]) for text in ADDED]
        pip(space, "install", "-r", "requirements.txt", *added, cwd=alone)
    conflicts = pip(space, "check", may_fail=True)
    for name in ("home", "tmp"):
        (folder / name).mkdir()
    own(folder / "app", folder / "home", folder / "tmp")
    complaints = tuple(line for line in conflicts.splitlines() if " has requirement " in line or " requires " in line)
    return Space(folder, header, seconds, pip(space, "freeze"), complaints)


def beside(space: Space, name: str, *plugins: str) -> Space:
    """A Space of these plugins, as `demo-app space` makes it, in the image of another one.

    Its own requirements are given to pip there, which takes seconds; `packages` is what pip had to install for them.
    """
    folder = space.folder / name
    command = [sys.executable, "-m", "demo_app", "space", folder, "--only", ",".join(plugins)]
    subprocess.run(command, cwd=ROOT, check=True)
    alone = space.folder / f"requirements of {name}"
    alone.mkdir()
    shutil.copy(folder / "requirements.txt", alone)
    header = read_header(folder / "README.md")
    added = [text.format(gradio=header["sdk_version"]) for text in ADDED]
    said = pip(space, "install", "-r", "requirements.txt", *added, cwd=alone)
    installed = "".join(line for line in said.splitlines() if line.startswith("Successfully installed"))
    own(folder)
    return replace(space, name=name, header=header, packages=installed)


def copy_repository(target: Path) -> None:
    """The files of HEAD; without git, all files but what git would ignore."""
    target.mkdir()
    if (ROOT / ".git").exists():
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", target], input=archive, check=True)
    else:
        ignored = shutil.ignore_patterns(".venv", "__pycache__", "*.pyi", ".*_cache", "runs")
        shutil.copytree(ROOT, target, ignore=ignored, dirs_exist_ok=True)


def read_header(readme: Path) -> dict[str, Any]:
    header: dict[str, Any] = yaml.safe_load(readme.read_text("utf-8").split("---\n", 2)[1])
    return header


def find_python(version: str) -> str:
    """An interpreter of that minor version that works, else the one that runs this."""
    minor = ".".join(version.split(".")[:2])
    pyenv = sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob(f"versions/{minor}.*/bin/python3"))
    for candidate in [shutil.which(f"python{minor}"), *map(str, reversed(pyenv))]:
        if candidate and subprocess.run([candidate, "-c", "import venv, ssl"], capture_output=True).returncode == 0:
            return candidate
    return sys.executable


def readable(interpreter: str, folder: Path) -> str:
    """The interpreter, copied where uid 1000 may read it if that cannot enter its home."""
    code = "import os, sys; print(sys.base_prefix); print(os.path.realpath(sys.executable))"
    prefix, path = subprocess.run([interpreter, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    if not is_root() or all(parent.stat().st_mode & 0o005 == 0o005 for parent in [Path(prefix), *Path(prefix).parents]):
        return path
    shutil.copytree(prefix, folder / "python", symlinks=True)
    return str(folder / "python" / Path(path).relative_to(prefix))


def is_root() -> bool:
    return os.geteuid() == 0 and shutil.which("setpriv") is not None


def own(*folders: Path) -> None:
    if is_root():
        subprocess.run(["chown", "-R", f"{UID}:{UID}", *folders], check=True)


def pip(space: Space, *arguments: str, cwd: Path | None = None, may_fail: bool = False) -> str:
    done = subprocess.run(
        [space.python, "-m", "pip", *arguments], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode != 0 and not may_fail:
        raise RuntimeError(f"pip {' '.join(arguments)} failed:\n{done.stdout[-3000:]}")
    return done.stdout


@contextlib.contextmanager
def timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - started


@contextlib.contextmanager
def run(space: Space) -> Iterator[Running]:
    """`python app.py` as the Space's user, until it answers; ended afterwards."""
    port, log = free_port(), space.folder / f"{space.name}.log"
    user = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"] if is_root() else []
    started = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*user, space.python, "app.py"],
            cwd=space.app,
            env=space.variables(port),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}/"
        wait_for(f"{url}gradio_api/healthz", process, log)
        yield Running(url, log, time.perf_counter() - started)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def free_port() -> int:
    """A port whose successor is free too: with server-side rendering Python takes the next one."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("0.0.0.0", 0))
            port = int(first.getsockname()[1])
            with contextlib.suppress(OSError, OverflowError):
                second.bind(("0.0.0.0", port + 1))
                return port


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, timeout=10).status_code == 200:
                return
        time.sleep(0.05)
    raise RuntimeError(f"the app did not answer:\n{log.read_text(errors='replace')[-3000:]}")


def written(space: Space, since: float) -> list[Path]:
    """Files that the app wrote since then where it must not: beside its own bytecode, home and the temporary folder."""
    inside = [path for root in (space.app, space.folder / "venv") for path in root.rglob("*")]
    elsewhere = []
    if is_root():  # then all that uid 1000 wrote on this machine was written by the app
        find = ["find", "/", "-xdev", "-user", str(UID), "-newermt", f"@{since}", "-type", "f"]
        skip = ["-not", "-path", "/tmp/*", "-not", "-path", "/proc/*", "-not", "-path", f"{space.folder}/*"]
        elsewhere = [
            Path(line) for line in subprocess.run([*find, *skip], capture_output=True, text=True).stdout.split()
        ]
    return [
        path
        for path in [*inside, *elsewhere]
        if path.is_file() and path.stat().st_mtime > since and "__pycache__" not in path.parts
    ]


def classify(url: str, text: str) -> str:
    """Open the page in a Chromium, classify the text, and return what the answer says."""
    sys.path.insert(0, str(ROOT))  # as a script it would find only its own folder
    from playwright.sync_api import sync_playwright

    from demo_app.testing import chromium

    with sync_playwright() as playwright:
        browser = chromium.launch(playwright)
        page = browser.new_page()
        page.set_default_timeout(90_000)
        page.goto(f"{url}?demo=text_classifier")
        panel = page.locator("#tab-text_classifier")
        panel.locator("textarea:visible").first.fill(text)
        panel.get_by_role("button", name="Classify", exact=True).click()
        panel.locator(".viz").get_by_text(text.split()[-1].strip(".")).first.wait_for()
        answer = panel.get_by_test_id("label-output-value").first
        said = answer.inner_text()
        browser.close()
    return said


def name_picture(url: str, picture: Path) -> str:
    """What the picture classifier says is in it; asked as a program asks."""
    from demo_app.serving import client

    with picture.open("rb") as file:
        path = httpx.post(f"{url}gradio_api/upload", files={"files": file}, timeout=60).json()[0]
    given = {"path": path, "meta": {"_type": "gradio.FileData"}}
    return str(client.run(url, "separable_conv_classify", given, "cifar10").json()["data"][0]["label"])


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    with contextlib.ExitStack() as stack:
        if arguments[:1] == ["--keep"]:
            folder = Path(arguments[1]).resolve()
            folder.mkdir(parents=True)
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="space-")))
        space = build(folder)
        since = time.time()
        with run(space) as running:
            said = {
                "healthz": httpx.get(f"{running.url}gradio_api/healthz", timeout=30).json(),
                "answer": classify(running.url, "A warm and wonderful film."),
                "first_answer_seconds": round(running.first_answer, 1),
                "written": [str(path) for path in written(space, since)],
                "conflicts": space.conflicts,
            }
        steps = {step: round(took, 1) for step, took in space.seconds.items()}
        sys.stdout.write(json.dumps(said | {"seconds": steps, "packages": space.packages.split()}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
