"""Start and idle memory of the host against a bare Gradio app with as many tabs and components.

    python benchmarks/startup.py [--quick] [--runs 7]

Each run starts the process anew, waits for its first HTTP 200, then opens the page in a running Chromium and waits
until a text box accepts a text. Memory is that of a process whose page was opened, before any model is used. Variables
are the defaults of either side, but for the memory, which the host's default would soon fill with a first model.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from common import ROOT, Memory, Result, arguments, bare_like, compare, host_command, report, serve
from playwright.sync_api import Browser, sync_playwright

MEGABYTE = 1e6
TORCH = "libtorch_cpu"


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=7, help="of each peer, in turns (default 7)")
    args = parser.parse_args()
    runs = 2 if args.quick else args.runs
    host = host_command(args.plugins_dir)
    with serve(host, DEMO_APP_PRELOAD="none") as server:  # also warms the disk's cache
        components = len(httpx.get(f"{server.url}/config", timeout=60).json()["components"])
        with bare_like(server.url) as bare, chromium() as browser:
            return measure(host, bare, browser, runs, components)


def measure(
    host: Sequence[str | Path], bare: Sequence[str | Path], browser: Browser, runs: int, components: int
) -> int:
    answers: dict[str, list[float]] = {"host": [], "bare": []}
    usable: dict[str, list[float]] = {"host": [], "bare": []}
    work: dict[str, list[float]] = {"host": [], "bare": []}
    memories: dict[str, list[Memory]] = {"host": [], "bare": []}
    torch_seen = False
    start(bare, browser)  # one run that does not count: compiles and caches
    for _ in range(runs):
        for name, command in (("host", host), ("bare", bare)):
            run = start(command, browser)
            answers[name].append(run.first_answer)
            usable[name].append(run.usable)
            work[name].append(run.cpu)
            torch_seen |= run.torch
        for name, command in (("host", host), ("bare", bare)):
            memories[name].append(start(command, browser, DEMO_APP_PRELOAD="none").memory)
    results = [
        compare("process start to first HTTP 200", answers["host"], answers["bare"], "s", "<= 1.15"),
        compare("process start to a usable page", usable["host"], usable["bare"], "s", "<= 1.15"),
        idle("RSS", [m.rss for m in memories["host"]], [m.rss for m in memories["bare"]]),
        idle("PSS", [m.pss for m in memories["host"]], [m.pss for m in memories["bare"]]),
    ]
    code = report(
        "Start and idle memory",
        results,
        f"{runs} runs of each in turns; {components} components on the page",
        f"CPU seconds of the server until then: host {median(work['host']):.2f}, bare {median(work['bare']):.2f}",
        f"torch in the host's memory when the page was usable: {'YES, it must not be' if torch_seen else 'no'}",
    )
    return code or int(torch_seen)


def idle(kind: str, host: Sequence[int], bare: Sequence[int]) -> Result:
    return compare(
        f"idle {kind}, host less bare in MB",
        [n / MEGABYTE for n in host],
        [n / MEGABYTE for n in bare],
        "MB",
        "<= 40",
        difference=True,
    )


@dataclass(frozen=True)
class Start:
    """One start of a server, until its page was usable."""

    first_answer: float  # seconds to the first HTTP 200
    usable: float  # seconds to a text box that takes a text
    cpu: float  # seconds of CPU that the server had used by then
    torch: bool  # whether torch was in its memory by then
    memory: Memory


def start(command: Sequence[str | Path], browser: Browser, **environment: str) -> Start:
    with serve(command, **environment) as server, browser.new_context() as context:
        page: Any = context.new_page()
        page.goto(server.url, wait_until="commit")
        box = page.locator("textarea:visible").first
        box.fill("a sentence", timeout=60_000)
        assert box.input_value() == "a sentence"
        whole = time.perf_counter() - server.started
        return Start(server.first_answer, whole, server.cpu, server.maps(TORCH), server.memory)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    sys.path.append(str(ROOT))
    from demo_app.testing.chromium import launch

    with sync_playwright() as playwright, contextlib.closing(launch(playwright)) as browser:
        page = browser.new_page()  # the first page of a browser is slow
        page.goto("about:blank")
        page.close()
        yield browser


if __name__ == "__main__":
    raise SystemExit(main())
