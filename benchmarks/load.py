"""Many visitors at once: 32 clients classify for 30 s, against a bare Gradio app's queued no-op with 32 clients.

    python benchmarks/load.py [--quick] [--clients 32] [--seconds 30] [--rounds 2]

The clients run in a process of their own, one thread and one kept connection each. The host's memory is read twice a
second; flat means that the last third of a round holds at most 5 % more than the third before it.
"""

from __future__ import annotations

import http.client
import itertools
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from common import (
    API,
    SENTENCES,
    Client,
    Result,
    Server,
    arguments,
    bare_like,
    classify_action,
    classify_data,
    compare,
    host_command,
    report,
    serve,
)

GROWTH = 0.05
MEGABYTE = 1e6


def main() -> int:
    if "--generate" in sys.argv:
        return generate(sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]), float(sys.argv[6]))
    parser = arguments(__doc__)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=2, help="of each peer, in turns (default 2)")
    args = parser.parse_args()
    seconds, rounds = (5.0, 1) if args.quick else (args.seconds, args.rounds)
    with (
        serve(host_command(args.plugins_dir), DEMO_APP_PRELOAD="none") as host,
        bare_like(host.url) as command,
        serve(command) as bare,
    ):
        return measure(host, bare, args.clients, seconds, rounds)


def measure(host: Server, bare: Server, clients: int, seconds: float, rounds: int) -> int:
    visitor = Client(host.url, "warm")
    action = classify_action(visitor)
    classify, noop = visitor.events[action], Client(bare.url, "warm").events["queued"]
    for text in SENTENCES:
        visitor.run(action, classify_data(text))
    load(host, classify, "classify", clients, 2.0)  # sessions and threads come into being; does not count
    load(bare, noop, "queued", clients, 2.0)
    runs: dict[str, list[dict[str, Any]]] = {"host": [], "bare": []}
    for _ in range(rounds):
        runs["host"].append(load(host, classify, "classify", clients, seconds))
        runs["bare"].append(load(bare, noop, "queued", clients, seconds))
    return tell(runs, clients, seconds)


def tell(runs: dict[str, list[dict[str, Any]]], clients: int, seconds: float) -> int:
    def column(name: str, key: str) -> list[float]:
        return [run[key] for run in runs[name]]

    errors = sum(column("host", "errors"))
    growth = [thirds(run["rss"]) for run in runs["host"]]
    results = [
        compare("answers a second", column("host", "rate"), column("bare", "rate"), "/s", ">= 1.5"),
        Result("errors", errors, sum(column("bare", "errors")), "", errors, 0.0, "<= 0"),
        Result(
            "the host's memory, last third of a round / the third before",
            statistics.median(g[1] for g in growth) / MEGABYTE,
            statistics.median(g[0] for g in growth) / MEGABYTE,
            "MB",
            max(g[1] / g[0] for g in growth),
            0.0,
            f"<= {1 + GROWTH}",
            "both columns are the host's",
        ),
    ]
    remarks = [
        f"{name}: median {statistics.median(column(name, 'p50')):.0f} ms, "
        f"95 % within {statistics.median(column(name, 'p95')):.0f} ms; "
        f"{statistics.median(column(name, 'work')):.1f} ms of CPU an answer; "
        f"the clients' process used {statistics.median(column(name, 'cpu')):.2f} CPUs"
        for name in runs
    ]
    samples = "; ".join(", ".join(f"{n / MEGABYTE:.0f}" for n in run["rss"][:: 2 * 5]) for run in runs["host"])
    first = [error for run in runs["host"] for error in run["first_errors"]][:3]
    return report(
        f"{clients} clients for {seconds:.0f} s",
        results,
        f"{len(runs['host'])} rounds of each in turns",
        *remarks,
        f"the host's memory every 5 s in MB, by round: {samples}",
        *(f"error: {error}" for error in first),
    )


def thirds(samples: Sequence[int]) -> tuple[float, float]:
    """Median of the second and of the last third."""
    n = max(1, len(samples) // 3)
    return statistics.median(samples[n : 2 * n] or samples), statistics.median(samples[-n:])


def load(server: Server, index: int, kind: str, clients: int, seconds: float) -> dict[str, Any]:
    """Run the clients against the server; what they report, and the server's memory meanwhile."""
    command = [sys.executable, Path(__file__), "--generate", server.url, index, kind, clients, seconds]
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()  # the clients start
    rss, cpu = [], server.cpu
    while process.poll() is None:
        rss.append(server.memory.rss)
        time.sleep(0.5)
    said: dict[str, Any] = json.loads(process.stdout.read())
    return said | {"rss": rss, "work": 1e3 * (server.cpu - cpu) / max(1.0, said["rate"] * seconds)}


def generate(url: str, index: int, kind: str, clients: int, seconds: float) -> int:
    """The clients' process: prints "start", then one JSON object."""
    latencies: list[float] = []
    errors: list[str] = []
    sys.stdout.write("start\n")
    sys.stdout.flush()
    began, cpu = time.perf_counter(), time.process_time()
    deadline = began + seconds

    def visit(number: int) -> None:
        visitor = Visitor(url, f"visitor{number}", index)
        texts = itertools.islice(itertools.cycle(SENTENCES), number, None)
        while time.perf_counter() < deadline:
            started = time.perf_counter()
            try:
                visitor.classify(next(texts)) if kind == "classify" else visitor.queued_noop()
                latencies.append(time.perf_counter() - started)
            except Exception as error:
                errors.append(f"{type(error).__name__}: {error}"[:200])
                visitor.reconnect()

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    latencies.sort()
    said = {
        "rate": len(latencies) / took,
        "errors": len(errors),
        "first_errors": errors[:3],
        "p50": 1e3 * latencies[len(latencies) // 2] if latencies else 0.0,
        "p95": 1e3 * latencies[int(0.95 * len(latencies))] if latencies else 0.0,
        "cpu": (time.process_time() - cpu) / took,
    }
    sys.stdout.write(json.dumps(said))
    return 0


class Visitor:
    """A client that costs little: `http.client` takes a third of the CPU that httpx does, which the server needs."""

    def __init__(self, url: str, session: str, index: int) -> None:
        self.address = urlsplit(url).netloc
        self.session = session
        self.index = index
        self.reconnect()

    def reconnect(self) -> None:
        self.connection = http.client.HTTPConnection(self.address, timeout=60)

    def classify(self, text: str) -> None:
        answer = self.post(f"{API}/run/predict", classify_data(text))
        if not answer.get("data"):
            raise RuntimeError(f"no answer: {answer}")

    def queued_noop(self) -> None:
        self.post(f"{API}/queue/join", ["a"])
        self.connection.request("GET", f"{API}/queue/data?session_hash={self.session}")
        stream = self.connection.getresponse().read().decode()  # Gradio ends it after the last answer
        messages = [json.loads(line[5:]) for line in stream.splitlines() if line.startswith("data:")]
        done = [m for m in messages if m["msg"] == "process_completed"]
        if not done or not done[0]["success"]:
            raise RuntimeError(f"no answer: {stream[-200:]}")

    def post(self, path: str, data: Sequence[Any]) -> dict[str, Any]:
        body = json.dumps({"data": list(data), "session_hash": self.session, "fn_index": self.index})
        self.connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = self.connection.getresponse()
        text = response.read()
        if response.status != 200:
            raise RuntimeError(f"HTTP {response.status}: {text[:200]!r}")
        answer: dict[str, Any] = json.loads(text)
        return answer


if __name__ == "__main__":
    raise SystemExit(main())
