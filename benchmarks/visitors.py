"""Eight visitors of the text generator at once, over HTTP, against one visitor of the same server.

    python benchmarks/visitors.py [--quick] [--visitors 8] [--rounds 5]

The host runs in a process of its own, with one checkpoint of GPT-2's size (random weights: speed does not depend on
them) in the precision that it chooses. Visitors send the requests of a page and read its stream; the rate is of the
tokens after each visitor's first update.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from common import API, ROOT, Client, arguments, compare, report, serve
from gpt2 import CONFIG, publish
from tokenizers.pre_tokenizers import ByteLevel

PROMPT = "Eight visitors, and one decoder. "  # 33 characters, of which each is a token here
ACTION = "decoder_generator_generate"
PLUGIN = """
import sys
from pathlib import Path
sys.path.insert(0, {plugin!r})
import demo_app
from demo_app_decoder_generator import build, load

@demo_app.hookimpl
def register_demos():
    checkpoint = demo_app.Checkpoint(name="gpt2", title="GPT-2's size", folder=Path({folder!r}))
    name = "decoder_generator"
    return [demo_app.Demo(name=name, title="T", summary="S", load=load, build=build, checkpoints=(checkpoint,))]
"""
PYPROJECT = """
[project]
name = "benchmark-generator"
version = "1"
requires-python = ">=3.11"
dependencies = ["demo-app"]
[project.entry-points.demo_app]
decoder_generator = "benchmark_generator"
"""


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--visitors", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    rounds, tokens = (1, 32) if args.quick else (args.rounds, 128)
    with tempfile.TemporaryDirectory(prefix="demo-app-benchmark-") as name:
        plugins = plugin(Path(name))
        with serve(
            [sys.executable, "-m", "demo_app", "run", "--plugins-dir", plugins], DEMO_APP_PRELOAD="none"
        ) as host:
            visitors = [Visitor(host.url, str(number)) for number in range(args.visitors)]
            together(visitors[:1], 8)
            precision = visitors[0].precision
            found: list[tuple[Run, Run]] = []
            for number in range(rounds + 1):
                pair = [together(visitors, tokens), together(visitors[:1], tokens)]
                if number:
                    found.append((pair[0], pair[1]))
            peak = host.memory.rss
    many, one = zip(*found, strict=True)
    what = f"{args.visitors} visitors against one"
    results = [compare(what, rates(many), rates(one), "tokens/s", ">= 4", note="all together")]
    remarks = [
        f"{precision}, {len(PROMPT)} -> {tokens} tokens; the host holds {peak / 1e6:.0f} MB at the end",
        f"first picture: {median(firsts(one)):.0f} ms for one; where {args.visitors} come at the same moment their "
        f"prompts are read one after another, and the last one has it after {median(firsts(many)):.0f} ms",
    ]
    return report("Visitors of the text generator over HTTP", results, *remarks, peer="one visitor")


def plugin(folder: Path) -> Path:
    """A folder of plugins: the generator with one checkpoint, of which each character is a token."""
    weights = folder / "gpt2"
    publish(weights)
    names = [*sorted(ByteLevel.alphabet()), *(f"w{number}" for number in range(256, CONFIG["vocab_size"] - 1))]
    vocabulary = {name: number for number, name in enumerate([*names, "<|endoftext|>"])}
    (weights / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
    target = folder / "plugins" / "generator"
    target.mkdir(parents=True)
    (target / "pyproject.toml").write_text(PYPROJECT)
    source = PLUGIN.format(plugin=str(ROOT / "plugins" / "decoder_generator"), folder=str(weights))
    (target / "benchmark_generator.py").write_text(source)
    return target.parent


@dataclass(frozen=True)
class Run:
    """Texts that were asked for at the same time."""

    first: float  # seconds to the last visitor's first picture
    rate: float  # tokens a second of all, after each one's first picture


class Visitor(Client):
    """Asks for a text, and notes when how much of it was there."""

    precision = ""

    def write(self, tokens: int) -> list[tuple[float, int]]:
        """(time, tokens so far) of each picture of the text."""
        data = [PROMPT, "gpt2", "five", 0, 1, 0, 0, 1, tokens, None, ""]
        body = {"data": data, "session_hash": self.session, "fn_index": self.events[ACTION]}
        self.http.post(f"{API}/queue/join", json=body).raise_for_status()
        seen: list[tuple[float, int]] = []
        with self.http.stream("GET", f"{API}/queue/data", params={"session_hash": self.session}) as stream:
            for line in stream.iter_lines():
                now = time.perf_counter()
                message: dict[str, Any] = json.loads(line[5:]) if line.startswith("data:") else {"msg": ""}
                if message.get("success") is False:
                    raise SystemExit(f"the host says: {message['output']}")
                if message["msg"] == "process_generating" and (count := re.search(r"([\d,]+) tokens", line)):
                    seen.append((now, int(count[1].replace(",", ""))))
                    self.precision = precision[0] if (precision := re.search("fp32|bf16|int8", line)) else ""
                if message["msg"] == "close_stream":
                    return seen
        raise SystemExit("the stream ended without an answer")


def together(visitors: Sequence[Visitor], tokens: int) -> Run:
    seen: dict[int, list[tuple[float, int]]] = {}

    def visit(number: int, visitor: Visitor) -> None:
        seen[number] = visitor.write(tokens)

    threads = [threading.Thread(target=visit, args=pair) for pair in enumerate(visitors)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    texts = [seen[number] for number in range(len(visitors))]
    begun, ended = min(text[0][0] for text in texts), max(text[-1][0] for text in texts)
    written = sum(text[-1][1] - text[0][1] for text in texts)
    return Run(max(text[0][0] for text in texts) - started, written / (ended - begun))


def rates(runs: Sequence[Run]) -> list[float]:
    return [run.rate for run in runs]


def firsts(runs: Sequence[Run]) -> list[float]:
    return [1e3 * run.first for run in runs]


if __name__ == "__main__":
    raise SystemExit(main())
