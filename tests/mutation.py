"""Mutants: does a test fail for a small change of the code? A seeded sample, each against its own package's tests.

    pip install cosmic-ray coverage
    python tests/mutation.py SESSION [--sample 300] [--seed 0] [--minutes 60] [--only hub/ models/]
    python tests/mutation.py SESSION --survivors
    cr-report SESSION

Run it in a checkout of its own: files are changed in place, and put back. The session is a database of Cosmic Ray,
whose operators make the mutants; where it was interrupted it goes on. First, the tests of each package run once, and
what each line is run by is noted. A mutant then needs the tests that run its statement only, fastest first; all of the
package for what is run at import. What cannot be compiled, and a changed annotation, which nothing evaluates,
is no mutant.

Cosmic Ray 8.7 by itself lists each mutant once for every node of a file, and starts Python anew for each: a minute of
imports. Here, each run is a fork of a process that has imported what does not change.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import itertools
import json
import os
import random
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
TARGETS = {  # the files, and the tests that must notice
    "demo_app/registry/*.py": ("tests/registry", "tests/isolation"),
    "demo_app/models/*.py": ("tests/models",),
    "demo_app/page/guard.py": ("tests/page/test_guard*.py", "tests/page/test_isolation.py", "tests/abuse"),
    "demo_app/serving/gate.py": ("tests/serving/test_gate*.py", "tests/serving/test_server.py", "tests/abuse"),
    "demo_app/hub/*.py": ("tests/hub",),
}
ALIKE = ("_Eq_Is", "_NotEq_IsNot", "_Is_Eq", "_IsNot_NotEq")  # no change for None, and for most literals
SLOW = 15.0  # seconds of a test, above which it is not asked
PATIENCE = 60.0  # seconds for a mutant beyond ten times its tests' own
IMPORTED = ("gradio", "huggingface_hub", "numpy", "torch", "PIL.Image", "prometheus_client", "pluggy", "httpx")


class Recorder:
    """A pytest plugin: which test runs which line, and for how long."""

    def __init__(self, coverage: Any) -> None:
        self.coverage = coverage
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
        self.coverage.switch_context(item.nodeid)
        return (yield)

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] += report.duration
        if report.outcome != "passed":
            self.failed.add(report.nodeid)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("session", type=Path)
    parser.add_argument("--sample", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=24 * 60.0, help="then stop; the next call goes on")
    parser.add_argument("--only", nargs="+", default=[""], help="those of the sample whose path has one of these in it")
    parser.add_argument("--survivors", action="store_true", help="print what survived")
    args = parser.parse_args()
    from cosmic_ray.work_db import use_db

    os.chdir(ROOT)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    sys.dont_write_bytecode = True
    os.environ.update(PYTHONDONTWRITEBYTECODE="1", PYTHONPATH=str(ROOT), GRADIO_ANALYTICS_ENABLED="False")
    with use_db(str(args.session)) as session:
        if args.survivors:
            for item, result in session.completed_work_items:
                if not result.is_killed:
                    sys.stdout.write(f"{item.job_id}\n{result.diff}\n{result.output}\n\n")
            return 0
        for module in IMPORTED:
            __import__(module)
        if not session.num_work_items:
            session.add_work_items(sampled(args.sample, args.seed))
        run(session, args.only, args.session.with_suffix(".json"), time.monotonic() + 60 * args.minutes)
        results = [result for _, result in session.completed_work_items]
        killed = sum(result.is_killed for result in results)
        share = killed / len(results) if results else 0.0
        sys.stdout.write(f"{killed} of {len(results)} killed ({share:.1%}); {session.num_work_items} in the sample\n")
    return 0


def sampled(count: int, seed: int) -> list[Any]:
    """Mutants of all targets, drawn with that seed, in that order: fewer are the first of more."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names
    from cosmic_ray.work_item import MutationSpec, WorkItem

    found = []
    for path in sorted(path for pattern in TARGETS for path in Path().glob(pattern)):
        nodes = list(ast_nodes(get_ast(path.read_text("utf-8"))))
        for name in sorted(operator_names()):
            if get_operator(name).arguments() or name.endswith(ALIKE):
                continue
            places = [place for node in nodes for place in get_operator(name)().mutation_positions(node)]
            for number, (start, end) in enumerate(places):
                mutation = MutationSpec(str(path), name, number, start, end)
                found.append(WorkItem.single(f"{path}:{start[0]}:{name}:{number}", mutation))
    drawn = random.Random(seed).sample(found, len(found))
    good = itertools.islice((item for item in drawn if changed(item)[2]), count)
    return [WorkItem(f"{place:04} {item.job_id}", item.mutations) for place, item in enumerate(good)]


def changed(item: Any) -> tuple[str, str, bool]:
    """A mutant's file before and after, and whether it is one: they differ in more than annotations."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    (mutation,) = item.mutations
    before = mutation.module_path.read_text("utf-8")
    try:
        after = mutate_code(before, get_operator(mutation.operator_name)(), mutation.occurrence)
    except AttributeError:  # Cosmic Ray's, of `except (json.JSONDecodeError, OSError)`
        after = None
    return before, after or before, bool(after) and meaning(str(after)) not in (None, meaning(before))


def meaning(source: str) -> str | None:
    """The code without annotations and without imports that only a type checker does; `None` if it is none."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    return ast.dump(tree)


def run(session: Any, only: list[str], notes: Path, until: float) -> None:
    """Try each mutant of the session that has no result yet."""
    from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkResult

    known: dict[str, Any] = json.loads(notes.read_text("utf-8")) if notes.is_file() else {}
    for item in sorted(session.pending_work_items, key=lambda item: item.job_id):
        if time.monotonic() > until:
            break
        (mutation,) = item.mutations
        if not any(part in str(mutation.module_path) for part in only):
            continue
        target = next(pattern for pattern in TARGETS if mutation.module_path.match(pattern))
        if target not in known:
            known[target] = recorded(target)
            notes.write_text(json.dumps(known), "utf-8")
        before, after, _ = changed(item)
        tests = asked(known[target], before, str(mutation.module_path), mutation.start_pos[0])
        if not tests:
            session.set_result(item.job_id, WorkResult(WorkerOutcome.NO_TEST, "no test runs it", TestOutcome.SURVIVED))
            sys.stdout.write(f"untested  {item.job_id}\n")
            continue
        mutation.module_path.write_text(after, "utf-8")
        try:
            limit = PATIENCE + 10 * sum(known[target]["seconds"][test] for test in tests)
            code, output = forked(lambda tests=tests: pytest.main(["-x", "-q", *QUIET, *tests]), limit)
        finally:
            mutation.module_path.write_text(before, "utf-8")
        killed = code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) and bool(tests)
        lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2)
        outcome = TestOutcome.KILLED if killed else TestOutcome.SURVIVED
        said = f"{len(tests)} tests" + (f", timeout after {limit:.0f} s" if code is None else "")
        if killed:
            said += "\n" + output[-2000:]
        result = WorkResult(WorkerOutcome.NORMAL, said, outcome, "\n".join(lines))
        session.set_result(item.job_id, result)
        sys.stdout.write(f"{outcome.value:9} {item.job_id}, {said.splitlines()[0]}\n")
        sys.stdout.flush()


QUIET = ("-p", "no:cacheprovider", "-p", "no:warnings", "--no-header", "--tb=line")


def recorded(target: str) -> dict[str, Any]:
    """The package's tests: {"seconds": of each, "lines": what runs each line}. From one run of all of them."""
    paths = sorted(str(path) for pattern in TARGETS[target] for path in Path().glob(pattern))
    notes = Path(f".coverage-{os.getpid()}.json").absolute()

    def record() -> int:
        from coverage import Coverage

        coverage = Coverage(data_file=None, include=[str(Path(target).absolute())])
        coverage.start()
        recorder = Recorder(coverage)
        code = pytest.main(["-q", *QUIET, *paths], plugins=[recorder])
        coverage.stop()
        data = coverage.get_data()
        good = {test for test, took in recorder.seconds.items() if test not in recorder.failed and took < SLOW}
        lines = {
            str(Path(file).relative_to(ROOT)): {
                line: [test for test in tests if test in good] for line, tests in data.contexts_by_lineno(file).items()
            }
            for file in data.measured_files()
        }
        seconds = {test: round(took, 3) for test, took in recorder.seconds.items() if test in good}
        notes.write_text(json.dumps({"seconds": seconds, "lines": lines, "failed": sorted(recorder.failed)}), "utf-8")
        return int(code)

    code, output = forked(record, 3600)
    if not notes.is_file():
        raise SystemExit(f"the tests of {target} ended with {code}:\n{output[-3000:]}")
    found: dict[str, Any] = json.loads(notes.read_text("utf-8"))
    notes.unlink()
    sys.stdout.write(f"{target}: {len(found['seconds'])} tests; not asked, since they fail: {found['failed']}\n")
    sys.stdout.flush()
    return found


def asked(known: dict[str, Any], source: str, path: str, line: int) -> list[str]:
    """The tests that run the statement at that line, fastest first; all of them if it is run at import."""
    spans = [
        (node.lineno, node.body[0].lineno - 1 if getattr(node, "body", None) else node.end_lineno or node.lineno)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.stmt)
    ]
    around = [(first, last) for first, last in spans if first <= line <= last]
    first, last = max(around, default=(line, line))
    lines = known["lines"].get(path, {})
    run = [lines[str(number)] for number in range(first, last + 1) if str(number) in lines]
    found = {test for tests in run for test in tests} or (known["seconds"] if run else {})
    return sorted(found, key=lambda test: known["seconds"][test])


def forked(call: Any, limit: float) -> tuple[int | None, str]:
    """The exit code of a call in a copy of this process, and what it printed; `None` if it took longer than `limit`."""
    log = Path(f".mutant-{os.getpid()}.log").absolute()
    child = os.fork()
    if not child:
        os.setsid()
        with log.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        code = 70
        try:
            code = int(call())
        finally:
            sys.stdout.flush()
            os._exit(code)
    until, status = time.monotonic() + limit, None
    while status is None and time.monotonic() < until:
        done, ended = os.waitpid(child, os.WNOHANG)
        status = ended if done else None
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # and what it has started
    if status is None:
        os.waitpid(child, 0)
    output = log.read_text("utf-8", errors="replace")
    log.unlink()
    return (os.waitstatus_to_exitcode(status) if status is not None else None), output


if __name__ == "__main__":
    raise SystemExit(main())
