"""An hour of 20 visitors over all tabs of one host, while things break: nothing wrong, nobody without an answer.

    python benchmarks/soak.py [--quick] [--minutes 60] [--visitors 20]

The host runs in a process of its own with the built-in demos, one that raises in every tenth call, and one whose
checkpoints are on a Hub of ours. What each action answers is learnt first, without faults. Then each quarter of the
time has the same faults: the Hub does not answer for a minute, the disk is full for a minute (its temporary folder and
the Hub's cache are on a file system of bounded size; needs the right to mount one), a training's process is killed; and
all the time pages are closed in the middle of an action. At the end SIGTERM comes in the middle of everything.

Memory is that of the host without trainings' processes. A latency is divided by the median of a bare Gradio's no-op in
the same minute. `--quick` takes two minutes and judges answers only.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from common import ROOT, Result, Server, arguments, bare_like, family, report, serve

sys.path.insert(0, str(ROOT))

from soak_answers import Expected, Shown
from soak_pages import Noop, Outcome, Page, Site
from soak_stories import (
    COMMIT,
    FILES,
    REPOSITORIES,
    Story,
    fetches,
    made_files,
    measured,
    plugins,
    stories,
)

from demo_app.testing.hub import Hub

DISK = 192 * 2**20
LEAVE = 0.05  # share of actions in the middle of which the page is closed
PRECISE = ("TEXT_CLASSIFIER", "DECODER_GENERATOR", "IMAGE_TEXT_FUSION")  # would choose by measuring
WORKER = "demo_app.finetune.worker"
SAID = {  # what a fault may make the host say, and where
    "hub": ("far_", r"Hub|connection|network|reach|answer"),
    "disk": ("", r"(?i)disk|space|full"),
    "kill": ("finetune", r"training ended|machine may be short|no result|Train|training first|no training"),
    "tenth": ("sixth_", r"Something went wrong|reason|log|every tenth|stopped|cancel"),
}
RESTARTING = re.compile("restarting")


@dataclass
class Soak:
    """What has happened so far; visitors append, each its own."""

    site: Site
    host: Server
    expected: dict[tuple[str, int], Expected]
    think: float  # seconds on average between two actions
    answered: Counter[str] = field(default_factory=Counter)
    explained: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    late: list[Outcome] = field(default_factory=list)  # that were under way at SIGTERM
    latencies: list[tuple[float, float]] = field(default_factory=list)
    memory: list[tuple[float, int]] = field(default_factory=list)
    faults: list[tuple[str, float, float]] = field(default_factory=list)  # kind, from, to (inf while it lasts)
    left: int = 0
    stopped: float | None = None  # when SIGTERM was sent
    ending: threading.Event = field(default_factory=threading.Event)

    def judge(self, story: Story, number: int, outcome: Outcome, page: Page) -> bool:
        """Count an outcome; returns whether it was the expected answer."""
        what = f"{outcome.action} ({story.name}), {outcome.seconds:.1f} s"
        if self.stopped is not None and outcome.ended > self.stopped:
            if outcome.started < self.stopped:
                self.late.append(outcome)
            return False
        if outcome.silence is not None:
            self.unanswered.append(f"{what}: {outcome.silence}")
            return False
        if outcome.error is not None:
            kind = self.fault_of(outcome)
            if kind is None:
                self.unanswered.append(f"{what}: {outcome.error[:300]}")
            else:
                self.explained[kind] += 1
            return False
        try:
            shown = Shown.of(outcome.data or [], page.download)
        except Exception as error:
            if self.fault_of(outcome) is None and self.stopped is None:
                self.wrong.append(f"{what}: a file of the answer is not there: {type(error).__name__}: {error}")
            return False
        expected = self.expected.get((story.name, number))
        difference = expected.difference(shown) if expected is not None else None
        if difference is not None:
            self.wrong.append(f"{what}: {difference}")
        self.answered[outcome.action] += 1
        if not measured(outcome.action):
            self.latencies.append((outcome.ended, outcome.seconds))
        return difference is None

    def fault_of(self, outcome: Outcome) -> str | None:
        """The injected fault that an error fits: at that time, at that place, in those words."""
        begun = {"tenth"} | {
            k for k, since, until in self.faults if since <= outcome.ended and outcome.started <= until
        }
        for kind, (where, words) in SAID.items():
            if kind in begun and where in outcome.action and re.search(words, outcome.error or words):
                return kind
        return None

    @contextlib.contextmanager
    def fault(self, kind: str) -> Iterator[None]:
        place = len(self.faults)
        self.faults.append((kind, time.monotonic(), float("inf")))
        try:
            yield
        finally:
            self.faults[place] = (kind, self.faults[place][1], time.monotonic() + 30)  # its echo


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--visitors", type=int, default=20)
    args = parser.parse_args()
    seconds = 55.0 if args.quick else 60 * args.minutes
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="demo-app-soak-")))
        disk, bounded = stack.enter_context(small_disk(work / "disk"))
        for name in ("tmp", "cache", "plugins", "files"):
            (work / name if name in {"plugins", "files"} else disk / name).mkdir()
        hub = stack.enter_context(Hub())
        for number in range(REPOSITORIES):
            hub.add(f"some/model{number}", FILES, sha=COMMIT)
        log = work / "host.log"
        command = [
            sys.executable,
            "-m",
            "demo_app",
            "run",
            "--plugins-dir",
            plugins(work / "plugins", args.plugins_dir),
        ]
        logged = ["sh", "-c", 'log=$1; shift; exec "$@" >"$log" 2>&1', "sh", log, *command]
        environment = {
            "TMPDIR": str(disk / "tmp"), "HF_HOME": str(disk / "cache"), "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1", "DEMO_APP_QUEUE_SIZE": "200", "DEMO_APP_DEVICE": "cpu",
            **{f"DEMO_APP_{demo}_PRECISION": "fp32" for demo in PRECISE},
        }  # fmt: skip
        with serve(logged, **environment) as host:
            own = set((disk / "tmp").rglob("*"))  # pictures of the page, which the next start uses again
            known = stories(made_files(work / "files"))
            site = Site.of(host.url)
            expected = learn(site, known)
            with bare_like(host.url) as bare, serve(bare) as peer, Noop(peer.url) as noop:
                soak = Soak(site, host, expected, think=0.5 if args.quick else 2.0)
                visit(soak, known, args.visitors, seconds, hub, disk if bounded else None)
            exited = wait_for_exit(host.pid, 10)
        files = sorted(str(path.relative_to(disk)) for path in set((disk / "tmp").rglob("*")) - own if path.is_file())
        keep = os.environ.get("SOAK_LOG")
        if keep:
            shutil.copy(log, keep)
        return tell(soak, noop, seconds, bounded, exited, files, args.quick, log.read_text(errors="replace"))


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[tuple[Path, bool]]:
    """A folder on a file system of its own with `DISK` bytes, and whether that was possible."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder], capture_output=True, check=False
    )
    try:
        yield folder, mounted.returncode == 0
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "-l", folder], check=False)


def learn(site: Site, known: list[Story]) -> dict[tuple[str, int], Expected]:
    """What each step answers while nothing breaks, from two runs after a first one that loads the models."""
    runs: dict[tuple[str, int], list[Shown]] = {}

    def run(story: Story, counts: bool) -> None:
        with Page(site) as page:
            for number, (action, given) in enumerate(story.steps):
                outcome = page.act(action, given)
                if outcome.data is None and action == "sixth_shout":
                    return
                if outcome.data is None:
                    raise SystemExit(f"without any fault, {action} says: {outcome.error or outcome.silence}")
                if counts and not measured(action):
                    runs.setdefault((story.name, number), []).append(Shown.of(outcome.data, page.download))

    for attempt in range(3):
        told = [story for story in known if not story.trains]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(run, told, [attempt > 0] * len(told)))
    expected = {step: Expected.of(shown) for step, shown in runs.items() if len(shown) > 1}
    for step, one in expected.items():
        if not one.words:
            sys.stderr.write(f"only the form of {step} is known: its words differ from run to run\n")
    return expected


def visit(soak: Soak, known: list[Story], visitors: int, seconds: float, hub: Hub, disk: Path | None) -> None:
    """Let the visitors come, and everything break; ends with SIGTERM in the middle of it."""
    locks = [threading.Lock() for _ in range(REPOSITORIES)]
    cache = disk / "cache" if disk else None
    threads = [
        threading.Thread(target=visitor, args=(soak, known, number, locks, cache), daemon=True)
        for number in range(visitors)
    ]
    for thread in threads:
        thread.start()
    started = time.monotonic()
    watching = threading.Thread(target=watch, args=(soak,), daemon=True)
    watching.start()
    quarters = 1 if seconds < 300 else 4
    for quarter in range(quarters):
        break_things(soak, hub, disk, started + seconds * quarter / quarters, seconds / quarters)
    wait_until(started + seconds)
    soak.think = 0.0
    time.sleep(2)
    soak.ending.set()  # whoever has just got an answer does not begin anything new
    soak.stopped = time.monotonic()
    os.kill(soak.host.pid, signal.SIGTERM)
    for thread in threads:
        thread.join(15)
        if thread.is_alive():
            soak.unanswered.append("SIGTERM: a visitor has waited for 15 s")


def break_things(soak: Soak, hub: Hub, disk: Path | None, begin: float, length: float) -> None:
    """The faults of one quarter: each lasts a minute, or a seventh of the quarter."""
    lasting = min(60.0, length / 7)
    wait_until(begin + 1 * length / 7)
    with soak.fault("hub"):
        hub.fault = lambda handler, *_: _hang_up(handler)
        wait_until(begin + 1 * length / 7 + lasting)
        hub.fault = None
    wait_until(begin + 3 * length / 7)
    if disk is not None:
        with soak.fault("disk"):
            filler = disk / "filler"
            end = begin + 3 * length / 7 + lasting
            while time.monotonic() < end:  # what a clean-up frees is taken, too
                with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
                    while file.write(bytes(2**16)):
                        pass
                time.sleep(0.2)
            filler.unlink()
    wait_until(begin + 5 * length / 7)
    with soak.fault("kill"):
        end = begin + 6.5 * length / 7
        while time.monotonic() < end and not kill_training(soak.host.pid):
            time.sleep(0.1)


def _hang_up(handler: object) -> bool:
    handler.close_connection = True  # type: ignore[attr-defined]
    return True


def kill_training(pid: int) -> bool:
    for member in trainings(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)
            return True
    return False


def trainings(pid: int) -> list[int]:
    found = []
    for member in family(pid):
        with contextlib.suppress(OSError):
            if WORKER.encode() in Path(f"/proc/{member}/cmdline").read_bytes():
                found.append(member)
    return found


def wait_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def wait_for_exit(pid: int, seconds: float) -> float | None:
    """Seconds until the process was gone; `None` if it never was."""
    started = time.monotonic()
    while time.monotonic() < started + seconds:
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            if state not in "ZX":
                time.sleep(0.05)
                continue
        return time.monotonic() - started
    return None


def watch(soak: Soak) -> None:
    """Note the host's memory every five seconds, without its trainings; each minute, say how it goes."""
    for number in itertools.count(1):
        if soak.ending.wait(5):
            return
        if number % 12 == 0:
            counts = (
                f"{sum(soak.answered.values())} answers, {len(soak.wrong)} wrong, {len(soak.unanswered)} unanswered"
            )
            sys.stderr.write(f"minute {number // 12}: {counts}; refused {dict(soak.explained)}\n")
        with contextlib.suppress(OSError):
            others = set(trainings(soak.host.pid))
            total = 0
            for member in family(soak.host.pid):
                if member not in others:
                    found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{member}/smaps_rollup").read_text(), re.M)
                    total += 1024 * int(found[1]) if found else 0
            soak.memory.append((time.monotonic(), total))


def visitor(soak: Soak, known: list[Story], number: int, locks: list[threading.Lock], cache: Path | None) -> None:
    """One visitor after another; the first fine-tunes, all others do anything else."""
    draw = random.Random(number)
    mine = [story for story in known if story.trains == (number == 0)] or known
    while not soak.ending.is_set():
        repository = draw.randrange(REPOSITORIES)
        if number and cache and draw.random() < 0.06 and locks[repository].acquire(blocking=False):
            try:
                shutil.rmtree(cache / "hub" / f"models--some--model{repository}", ignore_errors=True)
                told(soak, fetches(repository), draw)
            finally:
                locks[repository].release()
        else:
            told(soak, draw.choices(mine, [story.weight for story in mine])[0], draw)
        if number == 0:
            soak.ending.wait(20 * soak.think)


def told(soak: Soak, story: Story, draw: random.Random) -> None:
    """Do what the story says, in a page of its own."""
    page = Page(soak.site)
    try:
        page.open()
        for place, (action, given) in enumerate(story.steps):
            if soak.ending.wait(draw.expovariate(1 / soak.think) if soak.think else 0):
                return
            if draw.random() < LEAVE:
                page.act(action, given, leave=True)
                soak.left += 1
                return
            if not soak.think and action.endswith("_generate"):
                given, place = given | {"max_tokens": 300}, -1  # something that SIGTERM can meet
            outcome = page.act(action, given)
            if not soak.judge(story, place, outcome, page):
                return
    except Exception as error:
        if not soak.ending.is_set():
            soak.unanswered.append(f"a page did not open ({story.name}): {type(error).__name__}: {error}")
    finally:
        page.close()


def tell(
    soak: Soak, noop: Noop, seconds: float, bounded: bool, exited: float | None, files: list[str], quick: bool, log: str
) -> int:
    assert soak.stopped is not None
    ends = [outcome.ended - soak.stopped for outcome in soak.late]
    untold = [
        f"{o.action}: {o.silence or o.error}"
        for o in soak.late
        if o.silence is not None
        or (o.error is not None and not RESTARTING.search(o.error) and soak.fault_of(o) is None)
    ]
    slowest = max(ends, default=0.0)
    answers = sum(soak.answered.values())
    results = [
        row("wrong answers", len(soak.wrong), "<= 0", f"of {answers}"),
        row("unanswered, or with a sentence that fits no fault", len(soak.unanswered), "<= 0"),
        row("running at SIGTERM and not told", len(untold), "<= 0", f"of {len(soak.late)}"),
        row("the last of them told after", slowest, "<= 5", unit="s"),
    ]
    if not quick:
        results += [
            row("files left in the temporary folder", len(files), "<= 0"),
            memory_row(soak),
            latency_row(soak, noop, seconds),
        ]
    faults = Counter(kind for kind, _, _ in soak.faults)
    tracebacks = Counter(re.findall(r"ERROR [\w.]+: ([\w/]+) failed, error", log))
    remarks = [
        f"{answers} answers of {len(soak.answered)} actions in {seconds / 60:.0f} minutes; "
        f"{soak.left} pages closed in the middle of an action; refusals by fault: {dict(soak.explained)}",
        f"faults: {dict(faults)}" + ("" if bounded else "; the disk was never full: no right to mount a small one"),
        f"the process was gone {exited:.1f} s after its last answer" if exited is not None else "IT DID NOT EXIT",
        f"failures in the log, by action: {dict(tracebacks)}",
        *(f"wrong: {one}" for one in soak.wrong[:10]),
        *(f"unanswered: {one}" for one in soak.unanswered[:10]),
        *(f"not told: {one}" for one in untold[:5]),
        *(f"left: {one}" for one in files[:10]),
    ]
    return report(f"{seconds / 60:.0f} minutes of visitors while things break", results, *remarks, peer="first")


def row(what: str, value: float, target: str, note: str = "", unit: str = "") -> Result:
    return Result(what, value, 0.0, unit, value, 0.0, target, note)


def memory_row(soak: Soak) -> Result:
    """The largest difference between two minutes' medians, after the first ten minutes."""
    begin = soak.memory[0][0]
    minutes: dict[int, list[int]] = {}
    for moment, held in soak.memory:
        minutes.setdefault(int((moment - begin) // 60), []).append(held)
    medians = [statistics.median(held) / 1e6 for minute, held in sorted(minutes.items()) if minute >= 10]
    medians = medians or [0.0]
    every = ", ".join(f"{held:.0f}" for held in medians[::5])
    spread = max(medians) - min(medians)
    return Result(
        "memory after ten minutes: most - least", max(medians), min(medians), "MB", spread, 0.0, "<= 50",
        f"every five minutes: {every}",
    )  # fmt: skip


def latency_row(soak: Soak, noop: Noop, seconds: float) -> Result:
    """The last quarter's 99th percentile against the first's, each latency in no-ops of its minute."""
    assert soak.stopped is not None
    begin = soak.stopped - seconds
    minutes: dict[int, list[float]] = {}
    for moment, took in noop.times:
        minutes.setdefault(int((moment - begin) // 60), []).append(took)
    medians = {minute: statistics.median(took) for minute, took in minutes.items()}
    ratios: list[list[float]] = [[], [], [], []]
    for moment, took in soak.latencies:
        minute = int((moment - begin) // 60)
        if minute in medians and 0 <= moment - begin < seconds:
            ratios[int(4 * (moment - begin) / seconds)].append(took / medians[minute])
    highest = [percentile(quarter) for quarter in ratios]
    note = "99th percentile of latency / no-op, by quarter: " + ", ".join(f"{one:.0f}" for one in highest)
    return Result(
        "latency, last quarter / first",
        highest[-1],
        highest[0],
        "no-ops",
        highest[-1] / highest[0],
        0.0,
        "<= 1.2",
        note,
    )


def percentile(values: list[float]) -> float:
    return sorted(values)[int(0.99 * len(values))] if values else float("nan")


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # threads of visitors may still wait
