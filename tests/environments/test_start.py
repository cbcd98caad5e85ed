"""What surrounds a process: users, homes, streams, folders, proxies. Each is served, or refused in one sentence."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from plugins_on_disk import GOOD, ROOT, Plugins

import demo_app
from demo_app import environment
from demo_app.errors import SettingsError

LISTING = (sys.executable, "-m", "demo_app", "plugins")
ROOT_ONLY = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="only root may become another user, with setpriv",
)
NOBODY = (  # may read what root may: the interpreter can be in a home that is closed to others
    *("--reuid=54321", "--regid=54321", "--clear-groups"),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one good plugin; its name has a space and letters that are no ASCII."""
    path = tmp_path_factory.mktemp("a folder of plügins 插件")
    Plugins(path).add("shout", GOOD.format(name="shout", title="Shout", order=1), module="demo_shout_anywhere")
    return path


def child(command: tuple[str, ...], folder: Path, /, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; keywords in capitals are variables, and `None` takes one away."""
    changes = {name: options.pop(name) for name in list(options) if name.isupper()}
    environ = os.environ | {"PYTHONPATH": str(ROOT), "DEMO_APP_PLUGINS_DIR": str(folder), "DEMO_APP_ONLY": "shout"}
    environ.pop("GRADIO_TEMP_DIR", None)  # that of this process
    environ = {name: value for name, value in (environ | changes).items() if value is not None}
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "encoding": "utf-8"}
    return subprocess.run(command, env=environ, timeout=120, check=False, **(streams | options))


# The command line, in a process of its own; it imports neither gradio nor torch


@pytest.mark.parametrize(
    ("command", "options"),
    [
        pytest.param(LISTING, {"HOME": None, "LOGNAME": None, "USER": None}, id="no HOME"),
        pytest.param(LISTING, {"HOME": "/nowhere", "TMPDIR": "/nowhere", "HF_HOME": "/nowhere"}, id="folders are gone"),
        pytest.param(LISTING, {"HOME": "/" + "x" * 5000, "HF_HOME": "/" + "x" * 5000}, id="long paths"),
        pytest.param(LISTING, {"PYTHONOPTIMIZE": "2"}, id="no docstrings, no assert"),
        pytest.param(LISTING, {"PYTHONSAFEPATH": "1", "cwd": "/"}, id="safe path"),
        pytest.param(LISTING, {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}, id="ASCII"),
        pytest.param(LISTING, {"PYTHONIOENCODING": "cp1252"}, id="cp1252"),
        pytest.param(LISTING, {"OMP_NUM_THREADS": "4,2", "MKL_NUM_THREADS": "many"}, id="threads"),
        pytest.param(LISTING, {"ALL_PROXY": "socks://x", "SSL_CERT_FILE": "/nowhere"}, id="proxy"),
        pytest.param(("sh", "-c", 'umask 077; exec "$@"', "sh", *LISTING), {}, id="umask 077"),
        pytest.param(("sh", "-c", 'ulimit -Sn 32; exec "$@"', "sh", *LISTING), {}, id="32 files, more allowed"),
        pytest.param(("sh", "-c", 'exec "$@" <&-', "sh", *LISTING), {}, id="no standard input"),
        pytest.param(("sh", "-c", 'exec "$@" 2>&-', "sh", *LISTING), {}, id="no standard error"),
        pytest.param(
            ("setpriv", *NOBODY, *LISTING),
            {"HOME": None},
            id="a user without a name",
            marks=ROOT_ONLY,
        ),
    ],
)
def test_the_command_line_lists_plugins(command: tuple[str, ...], options: dict[str, Any], folder: Path) -> None:
    for path in (folder, *(path for path in folder.parents if "pytest-of-" in str(path))):
        path.chmod(0o755)  # pytest's folders are closed to other users
    done = child(command, folder, **options)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert "shout: Says it louder." in done.stdout


@pytest.mark.parametrize(
    ("shell", "code", "words"),
    [
        ('"$@" >&-', 0, ""),
        ('"$@" <&- >&- 2>&-', 0, ""),
        ('"$@" | head -c 0; exit ${PIPESTATUS[0]}', 0, ""),
        ('"$@" >/dev/full', 1, "output cannot be written"),
        ("ulimit -n 40; \"$@\"", 2, "ulimit -n 4096"),
        ('mkdir "$TMPDIR/gone"; cd "$TMPDIR/gone"; rmdir "$TMPDIR/gone"; "$@"', 2, "working folder is gone"),
    ],
)  # fmt: skip
def test_streams_and_folders_that_are_not_there(
    shell: str, code: int, words: str, folder: Path, tmp_path: Path
) -> None:
    done = child(("bash", "-c", shell, "bash", *LISTING), folder, TMPDIR=str(tmp_path))
    assert done.returncode == code, done.stderr
    assert re.fullmatch(rf"(demo-app: [^\n]*{words}[^\n]*\n)?", done.stderr), done.stderr
    assert bool(done.stderr) == bool(words)


# A start that is refused: in this process, before gradio would be imported


@pytest.fixture
def taken() -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield str(listener.getsockname()[1])


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"DEMO_APP_PORT": "taken"}, r"port \d+ is taken; choose another with --port or DEMO_APP_PORT"),
        ({"DEMO_APP_PORT": "70000"}, "DEMO_APP_PORT: '70000' is no port"),
        ({"DEMO_APP_HOST": "no-such-host.invalid"}, "DEMO_APP_HOST: no-such-host.invalid has no address"),
        ({"DEMO_APP_HOST": "192.0.2.1"}, "DEMO_APP_HOST: 192.0.2.1 is no address of this machine"),
        ({"GRADIO_SERVER_NAME": "http://x"}, "GRADIO_SERVER_NAME: 'http://x' is no address to listen on"),
        ({"GRADIO_SERVER_PORT": "http"}, "GRADIO_SERVER_PORT: 'http' is not a whole number"),
        ({"GRADIO_TEMP_DIR": "/proc/uploads"}, "GRADIO_TEMP_DIR: /proc/uploads cannot be written"),
        ({"GRADIO_TEMP_DIR": "/" + "x" * 5000}, "GRADIO_TEMP_DIR: .* cannot be written"),
        ({"HF_HUB_ETAG_TIMEOUT": "0.5"}, "HF_HUB_ETAG_TIMEOUT: '0.5' is not a whole number"),
        ({"WEB_CONCURRENCY": "auto"}, "WEB_CONCURRENCY: 'auto' is not a whole number"),
        ({"DEMO_APP_PLUGINS_DIR": "/nowhere"}, "DEMO_APP_PLUGINS_DIR: '/nowhere' is no folder"),
    ],
)
def test_a_start_that_cannot_be_is_refused_in_one_sentence(
    variables: dict[str, str],
    words: str,
    taken: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in environment.WHOLE_NUMBERS:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.replace("taken", taken))
    with pytest.raises(SystemExit) as ended:
        demo_app.run()
    assert ended.value.code == 2
    assert re.fullmatch(rf"demo-app: {words}[^\n]*\n", capsys.readouterr().err)


def test_no_folder_for_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", none)
    with pytest.raises(SettingsError, match="set TMPDIR"):
        environment.prepare({})


def test_uploads_go_beside_a_folder_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    environ: dict[str, str] = {}
    environment.prepare(environ)
    assert "GRADIO_TEMP_DIR" not in environ  # Gradio's own place
    (tmp_path / "gradio").rmdir()
    (tmp_path / "gradio").write_text("cannot be written into, by root neither")
    environment.prepare(environ)
    own = Path(environ["GRADIO_TEMP_DIR"])
    assert (own.parent, own.stat().st_mode & 0o077) == (tmp_path, 0)
    own.chmod(0o777)  # somebody else might have made it
    environ.clear()
    environment.prepare(environ)
    assert Path(environ["GRADIO_TEMP_DIR"]) != own


def test_this_host_is_reached_without_a_proxy() -> None:
    environ = {"https_proxy": "http://proxy:3128", "NO_PROXY": "example.org"}
    environment.keep_direct(("localhost", "10.1.2.3"), environ)
    assert environ["no_proxy"] == environ["NO_PROXY"] == "example.org,localhost,10.1.2.3"
    untouched: dict[str, str] = {}
    environment.keep_direct(("localhost",), untouched)
    assert untouched == {}


# Whole starts


def test_all_of_it_at_once_is_served(folder: Path, tmp_path: Path) -> None:
    """Proxies that cannot be used, certificates that are not there, service links, no home, output that is closed."""
    log = tmp_path / "log"
    environ = {name: value for name, value in os.environ.items() if name not in ("HOME", "NO_PROXY", "no_proxy")} | {
        "PYTHONPATH": str(ROOT),
        "DEMO_APP_PLUGINS_DIR": f'"{folder}"',
        "DEMO_APP_ONLY": "shout",
        "DEMO_APP_PRELOAD": "none",
        "DEMO_APP_PORT": "tcp://10.0.0.1:7860",
        "DEMO_APP_HOST": "localhost",
        "GRADIO_SERVER_PORT": "tcp://10.0.0.1:7860",
        "WEB_CONCURRENCY": "",
        "GRADIO_DEBUG": "1",
        "GRADIO_SHARE": "True",
        "ALL_PROXY": "socks://127.0.0.1:9/",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "SSL_CERT_FILE": "/nowhere/ca.pem",
        "OMP_NUM_THREADS": "4,2",
        "HF_HOME": "/" + "x" * 5000,
        "PYTHONOPTIMIZE": "2",
        "PYTHONIOENCODING": "ascii",
        "TMPDIR": str(tmp_path),
    }
    command = ("sh", "-c", 'umask 077; exec "$@" >&- <&-', "sh", sys.executable, "-m", "demo_app", "run")
    with subprocess.Popen(command, env=environ, cwd="/", stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = []
        try:
            for line in process.stderr:
                lines.append(line)
                if found := re.search(r"serving on (\S+)", line):
                    break
            else:
                pytest.fail("".join(lines))
            with httpx.Client(trust_env=False, timeout=60) as client:
                assert client.get(f"{found[1]}healthz").json() == {"status": "ok", "plugins": {"ok": 1}}
                answer = client.post(f"{found[1]}gradio_api/run/shout_shout", json={"data": ["hello"]})
            assert answer.json()["data"] == ["HELLO"], answer.text
        finally:
            process.kill()
            log.write_text("".join(lines))


def test_a_page_where_no_demo_works_says_so_to_its_supervisor(plugins: Plugins, host: Any) -> None:
    plugins.add("broken", "raise RuntimeError('no')")
    answer = httpx.get(f"{host(only=('broken',), strict=False).url}healthz", timeout=60, trust_env=False)
    assert (answer.status_code, answer.json()) == (503, {"status": "no demo works", "plugins": {"failed": 1}})


def test_a_slip_in_preload_names_the_nearest_demo(plugins: Plugins, host: Any) -> None:
    plugins.add("shout", GOOD.format(name="shout", title="Shout", order=1))
    with pytest.raises(SettingsError, match="DEMO_APP_PRELOAD: there is no demo 'shuot'; did you mean shout"):
        host(only=("shout",), preload=("shuot",))
