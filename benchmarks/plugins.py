"""Fifty installed plugins against five: start, idle memory, the first page, the listing.

    python benchmarks/plugins.py [--quick] [--runs 5]

The plugins are generated: distributions as pip leaves them, each with a tab of eleven components. Each run starts the
host anew with either number, in turns, waits for its first HTTP 200, and opens the page in a running Chromium; a page
is usable when a button of its first tab has answered, counted from the moment the address is asked for.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from common import ROOT, Result, arguments, clean_environment, compare, family, noise, report, serve
from playwright.sync_api import Browser
from startup import MEGABYTE, chromium

FEW, MANY = 5, 50
PAGE_SECONDS = 3.0
LISTING_SECONDS = 1.0

PLUGIN = '''"""One of many."""

from demo_app import Demo, hookimpl


def build(handle):
    import gradio as gr

    def shout(text, times, end):
        """Say it louder.

        Args:
            text: any text.
            times: how often.
            end: what comes after it.

        Returns:
            The same in capitals; how long that is; a picture of it.
        """
        with handle.use() as model:
            loud = " ".join([model(text)] * int(times)) + end
        return loud, len(loud), "<b>" + "#" * len(loud) + "</b>"

    with gr.Row():
        with gr.Column():
            box = gr.Textbox(label="Text")
            times = gr.Slider(1, 5, 1, step=1, label="Times")
            end = gr.Radio(["", "!", "?"], value="", label="End")
            button = gr.Button("Shout", variant="primary")
        with gr.Column():
            out = gr.Textbox(label="Louder")
            length = gr.Number(label="Length")
            with gr.Accordion("Picture", open=False):
                picture = gr.HTML()
    button.click(shout, [box, times, end], [out, length, picture], api_name="shout")


@hookimpl
def register_demos():
    return [Demo(name="many_{n}", title="Many {n}", summary="Louder.", load=lambda *_: str.upper, build=build)]
'''


@dataclass(frozen=True)
class Start:
    """One start of the host, until its page was usable."""

    first_answer: float  # seconds to the first HTTP 200
    cpu: float  # seconds of CPU that the host had used by then
    rss: float  # MB, before the page was opened
    usable: float  # seconds from asking for the page to a button's answer
    page_cpu: float  # seconds of CPU that host and browser used for that


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of each number, in turns (default 5)")
    args = parser.parse_args()
    runs = 2 if args.quick else args.runs
    starts: dict[int, list[Start]] = {FEW: [], MANY: []}
    listings: dict[int, list[float]] = {FEW: [], MANY: []}
    with tempfile.TemporaryDirectory(prefix="demo-app-benchmark-") as name, chromium() as browser:
        folders = {count: installed(Path(name) / str(count), count) for count in starts}
        start(folders[FEW], browser)  # does not count: compiles and caches
        for number in range(runs):
            for count in (FEW, MANY)[:: 1 if number % 2 else -1]:
                starts[count].append(start(folders[count], browser))
                listings[count].append(listing(folders[count], count))
    return report(
        f"{MANY} plugins against {FEW}",
        results(starts, listings),
        f"{runs} runs of each in turns; page and listing are to be reached in seconds, not as ratios",
        f"CPU seconds of the host until then: {cpu(starts[MANY]):.2f} with {MANY}, {cpu(starts[FEW]):.2f} with {FEW}",
        f"CPU seconds of host and browser for the page: {page_cpu(starts[MANY]):.2f} and {page_cpu(starts[FEW]):.2f}",
        peer=f"{FEW} plugins",
    )


def results(starts: dict[int, list[Start]], listings: dict[int, list[float]]) -> list[Result]:
    many, few = starts[MANY], starts[FEW]
    answers = [[start.first_answer for start in each] for each in (many, few)]
    return [
        compare("process start to first HTTP 200", *answers, "s", "<= 2"),
        compare(
            "idle RSS, the difference in MB",
            [start.rss for start in many],
            [start.rss for start in few],
            "MB",
            "<= 40",
            difference=True,
        ),
        seconds("page usable", [start.usable for start in many], [start.usable for start in few], PAGE_SECONDS),
        seconds("demo-app plugins", listings[MANY], listings[FEW], LISTING_SECONDS),
    ]


def seconds(what: str, many: list[float], few: list[float], limit: float) -> Result:
    """A line whose target is a time of the many."""
    return Result(what, median(many), median(few), "s", median(many), noise(many), f"<= {limit:g}", "seconds")


def cpu(starts: list[Start]) -> float:
    return median(start.cpu for start in starts)


def page_cpu(starts: list[Start]) -> float:
    return median(start.page_cpu for start in starts)


def installed(folder: Path, count: int) -> Path:
    """A folder for `PYTHONPATH` with so many plugins, as pip leaves them in site-packages."""
    for n in range(1, count + 1):
        metadata = folder / f"demo_app_many_{n}-0.1.0.dist-info"
        metadata.mkdir(parents=True)
        (folder / f"demo_app_many_{n}.py").write_text(PLUGIN.replace("{n}", str(n)))
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: demo-app-many-{n}\nVersion: 0.1.0\nRequires-Python: >=3.11\n"
            "Requires-Dist: gradio>=6.31\n"
        )
        (metadata / "entry_points.txt").write_text(f"[demo_app]\nmany_{n} = demo_app_many_{n}\n")
    (folder / "none").mkdir()
    return folder


def command(folder: Path, name: str) -> list[str | Path]:
    return [sys.executable, "-m", "demo_app", name, "--plugins-dir", folder / "none"]


def start(folder: Path, browser: Browser) -> Start:
    environment = {"PYTHONPATH": str(folder), "DEMO_APP_PRELOAD": "none"}
    with serve(command(folder, "run"), **environment) as server, browser.new_context() as context:
        cpu, rss = server.cpu, server.memory.rss / MEGABYTE
        page: Any = context.new_page()
        page.set_default_timeout(120_000)
        before = cpu_seconds(os.getpid())  # of this process, the host and the browser: its descendants
        asked = time.perf_counter()
        page.goto(server.url, wait_until="commit")
        page.locator("textarea:visible").first.fill("loud")
        page.get_by_role("button", name="Shout").first.click()
        page.wait_for_function("[...document.querySelectorAll('textarea')].some(text => text.value === 'LOUD')")
        took = time.perf_counter() - asked
        return Start(server.first_answer, cpu, rss, took, cpu_seconds(os.getpid()) - before)


def cpu_seconds(pid: int) -> float:
    """Seconds of CPU of a process and its descendants, without those that have ended."""
    ticks = 0
    for member in family(pid):
        with contextlib.suppress(OSError):  # ended meanwhile
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def listing(folder: Path, count: int) -> float:
    """Seconds of `demo-app plugins`."""
    environment = clean_environment() | {"PYTHONPATH": str(folder)}
    began = time.perf_counter()
    done = subprocess.run(
        command(folder, "plugins"), cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    took = time.perf_counter() - began
    assert done.stdout.count("many_") >= count, done.stdout[-2000:]
    return took


if __name__ == "__main__":
    raise SystemExit(main())
