"""The cost of an event in the host: no-ops against a bare Gradio app, and one classified sentence.

    python benchmarks/overhead.py [--quick] [--calls 200]

Both servers keep running and are called in turns, in blocks of 20, by raw HTTP over a kept connection, as the page
does: an unqueued event is one request, a queued one joins the queue and reads the stream until the answer.
The bare app is plain Gradio; "tuned" is the same with the one variable that the host sets for cheaper events.
"""

from __future__ import annotations

import contextlib
import itertools
import statistics
from collections import defaultdict
from collections.abc import Callable

from common import (
    SENTENCES,
    Client,
    Result,
    arguments,
    bare_like,
    classify_action,
    classify_data,
    compare,
    host_command,
    milliseconds,
    plugins_with_noop,
    report,
    serve,
)

BLOCK = 20
WARM = 20


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--calls", type=int, default=200, help="of each kind (default 200)")
    args = parser.parse_args()
    blocks = 2 if args.quick else max(1, args.calls // BLOCK)
    with contextlib.ExitStack() as stack:
        plugins = stack.enter_context(plugins_with_noop(args.plugins_dir))
        host = stack.enter_context(serve(host_command(plugins), DEMO_APP_PRELOAD="none"))
        command = stack.enter_context(bare_like(host.url))
        bare = stack.enter_context(serve(command))
        tuned = stack.enter_context(serve(command, GRADIO_ANALYTICS_CACHE_FREQUENCY="1000000"))
        times = measure(Client(host.url, "host"), Client(bare.url, "bare"), Client(tuned.url, "tuned"), blocks)
    return report(
        "What an event costs",
        results(times),
        f"{blocks * BLOCK} calls of each kind, in blocks of {BLOCK} in turns; noise from the blocks' medians",
        f"the fastest tenth of the calls, host to bare: {fastest(times)}",
        f"bare Gradio with GRADIO_ANALYTICS_CACHE_FREQUENCY=1000000: {tuned_remark(times)}",
    )


def measure(host: Client, bare: Client, tuned: Client, blocks: int) -> dict[str, list[list[float]]]:
    """Milliseconds of each call, in blocks, by what was called."""
    texts = itertools.cycle(SENTENCES)
    classify = classify_action(host)
    calls: dict[str, Callable[[], object]] = {
        "host unqueued": lambda: host.run("noop_unqueued", ["a"]),
        "bare unqueued": lambda: bare.run("unqueued", ["a"]),
        "tuned unqueued": lambda: tuned.run("unqueued", ["a"]),
        "host queued": lambda: host.queue("noop_queued", ["a"]),
        "bare queued": lambda: bare.queue("queued", ["a"]),
        "tuned queued": lambda: tuned.queue("queued", ["a"]),
        "host classify": lambda: host.run(classify, classify_data(next(texts))),
    }
    for call in calls.values():
        for _ in range(WARM):
            call()
    times: dict[str, list[list[float]]] = defaultdict(list)
    for number in range(blocks):
        for name, call in list(calls.items())[:: 1 if number % 2 else -1]:
            times[name].append([milliseconds(call) for _ in range(BLOCK)])
    return times


def results(times: dict[str, list[list[float]]]) -> list[Result]:
    def medians(name: str) -> list[float]:
        return [statistics.median(block) for block in times[name]]

    return [
        compare("a no-op, unqueued", medians("host unqueued"), medians("bare unqueued"), "ms", "<= 1.05"),
        compare("a no-op, queued", medians("host queued"), medians("bare queued"), "ms", "<= 1.05"),
        compare("classify a sentence / queued no-op", medians("host classify"), medians("bare queued"), "ms", "<= 1.0"),
    ]


def fastest(times: dict[str, list[list[float]]]) -> str:
    """Ratios of the tenth percentiles, which what else runs on the machine disturbs least."""

    def tenth(name: str) -> float:
        return sorted(itertools.chain.from_iterable(times[name]))[sum(map(len, times[name])) // 10]

    pairs = (("host unqueued", "bare unqueued"), ("host queued", "bare queued"), ("host classify", "bare queued"))
    return ", ".join(f"{a} {tenth(a):.1f} ms = {tenth(a) / tenth(b):.2f} x {b}" for a, b in pairs)


def tuned_remark(times: dict[str, list[list[float]]]) -> str:
    def ratio(kind: str) -> str:
        pairs = zip(times[f"host {kind}"], times[f"tuned {kind}"], strict=True)
        return f"{statistics.median(statistics.median(a) / statistics.median(b) for a, b in pairs):.3f}"

    return f"the host takes {ratio('unqueued')} of its time unqueued, {ratio('queued')} queued"


if __name__ == "__main__":
    raise SystemExit(main())
