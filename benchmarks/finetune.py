"""Fine-tuning: cost and accuracy of each strategy, against transformers; and the effect on other visitors.

    python benchmarks/finetune.py [--quick] [--data FILE.csv] [--validation FILE.csv] [--rows 500] [--epochs 25]

Three questions:

1. Each strategy from the embedded sentiment checkpoint on `--rows` rows of `--data` (columns text and label): accuracy
   on `--validation` (by default the held-out part), parameters, seconds; the same from the published weights of
   all-MiniLM-L6-v2, if a package has them, and from random weights of DistilBERT's size.
2. An epoch of a network of DistilBERT's size, frozen and whole, against transformers' DistilBERT in a plain loop over
   the same batches, if it is installed.
3. A running host: how long another visitor waits for a classified sentence during a training, against an idle host,
   in turns; and the host's memory after ten trainings, against after one.

Without `--data` the rows are the plugin's sample: sentences about three topics.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from common import (
    API,
    ROOT,
    SENTENCES,
    Client,
    Result,
    arguments,
    classify_action,
    classify_data,
    compare,
    family,
    milliseconds,
    minilm,
    report,
    serve,
)

sys.path[:0] = [str(ROOT), str(ROOT / "plugins" / "text_classifier")]

from demo_app import machine  # noqa: E402
from demo_app.finetune.recipe import STRATEGIES, Recipe  # noqa: E402
from demo_app.inputs.tables import write_csv  # noqa: E402

if TYPE_CHECKING:
    from demo_app.finetune.data import Data, Example

WEIGHTS = ROOT / "plugins/text_classifier/demo_app_text_classifier/weights"
ROUNDS, CALLS = 5, 30
EXAMPLES = 300  # rows that are trained on while another visitor's answers are timed


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--data", type=Path, help="CSV (.gz too) with the columns text and label")
    parser.add_argument("--validation", type=Path, help="such a file to measure accuracy on")
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--seeds", type=int, default=3, help="draws of the rows, over which accuracy is averaged")
    parser.add_argument("--strategies", default=",".join(STRATEGIES))
    parser.add_argument("--bases", nargs="*", help='of the first: sst2, MiniLM, "DistilBERT\'s size"; default: all')
    parser.add_argument("--parts", default=",".join(PARTS), help="of the three questions, by commas")
    args = parser.parse_args()
    machine.prepare_environment(2)
    with tempfile.TemporaryDirectory(prefix="demo-app-benchmark-") as name:
        folder = Path(name)
        parts = [PARTS[part](args, folder) for part in args.parts.split(",")]
    results, remarks = ([one for part in parts for one in part[place]] for place in (0, 1))
    return report("Fine-tuning", results, *remarks, peer="peer")


def rows_of(args: Any, folder: Path) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """All rows to draw from, and rows to measure accuracy on."""
    from demo_app_text_classifier.sample import write

    from demo_app.inputs.tables import read_csv

    sources = [args.data or write(folder)[0], args.validation]
    tables = [read_csv(path, ("text", "label")).rows if path else [] for path in sources]
    return tuple([(row["text"], row["label"]) for row in table] for table in tables)  # type: ignore[return-value]


def drawn(rows: Sequence[tuple[str, str]], count: int, seed: int) -> Data:
    from collections import Counter

    from demo_app.finetune.data import Data

    some = random.Random(seed).sample(rows, min(count, len(rows)))
    counts = Counter(label for _, label in some)
    return Data(
        examples=tuple(examples_of(some)), labels=tuple(sorted(counts)), counts=counts,
        problems=(), left_out=0, alike=(), same=None,
    )  # fmt: skip


def examples_of(rows: Sequence[tuple[str, str]]) -> list[Example]:
    from demo_app.finetune.data import Example

    return [Example(text=text, label=label, row=row) for row, (text, label) in enumerate(rows, start=1)]


def strategies(args: Any, folder: Path) -> tuple[list[Result], list[str]]:
    """The table of strategies, from the sentiment checkpoint, MiniLM, and random weights of DistilBERT's size."""
    import torch
    from demo_app_text_classifier.tuner import TextTuner

    from demo_app.finetune.run import tune

    torch.set_num_threads(2)
    tuner = TextTuner()
    rows, validation = rows_of(args, folder)
    lines = ["| base | strategy | accuracy | own task | trained parameters | seconds | seconds an epoch | epochs |"]
    lines += ["| --- | --- | --- | --- | --- | --- | --- | --- |"]
    accuracies: dict[str, list[float]] = {}
    bases = [("sst2", WEIGHTS / "sst2", args.seeds, args.epochs, "layers.2.*")]
    if not args.quick:
        real = minilm()
        bases += [("MiniLM", real, 1, args.epochs, "layers.5.*")] if real else []
        bases += [("DistilBERT's size", large(folder), 1, 2, "layers.2.*")]
    for base, path, seeds, most, last in bases:
        for strategy in args.strategies.split(",") if base in (args.bases or base) else ():
            results, shares = [], []
            for seed in range(seeds):
                layers = last if strategy == "layers" else ""
                recipe = Recipe(strategy=strategy, layers=layers, epochs=most, seed=seed)
                out = folder / f"{len(lines)}-{seed}"
                results.append(tune(tuner, path, drawn(rows, args.rows, seed), recipe, out))
                model = tuner.load(out)
                known = [(text, label) for text, label in validation if label in model.labels]
                answers = [
                    model.labels[place] for place in model.predict([text for text, _ in known]).argmax(-1).tolist()
                ]
                correct = [answer == label for answer, (_, label) in zip(answers, known, strict=True)]
                shares.append(sum(correct) / len(correct) if correct else results[-1].accuracy)
            if base == "sst2":
                accuracies[strategy] = shares
            one = results[0]
            lost = f"{one.forgetting.before:.1%} to {one.forgetting.after:.1%}" if one.forgetting else ""
            facts = [base, strategy, f"{statistics.mean(shares):.1%}", lost, f"{one.trained:,}"]
            facts += [f"{statistics.median(r.seconds for r in results):.1f}"]
            facts += [f"{statistics.median(r.seconds_per_epoch for r in results):.2f}", str(one.epochs)]
            lines.append(f"| {' | '.join(facts)} |")
            sys.stderr.write(lines[-1] + "\n")
    scratch = accuracies.pop("scratch", [])
    compared = [
        compare(f"accuracy, {name}, against from scratch", shares, scratch, "", ">= 1")
        for name, shares in accuracies.items()
        if scratch
    ]
    return compared, ["strategies:\n\n" + "\n".join(lines) + "\n"]


def large(folder: Path) -> Path:
    """A checkpoint of DistilBERT's size with random weights, with the sentiment checkpoint's tokenizer."""
    import torch
    from demo_app_text_classifier.classifier import Classifier
    from demo_app_text_classifier.model import Config, TextClassifier
    from tokenizers import Tokenizer
    from torch import nn

    torch.manual_seed(0)
    config = Config(
        labels=("negative", "positive"), vocab_size=30522, max_tokens=512, width=768, heads=12, layers=6,
        feed_forward=3072, norm="post", embedding_norm=True, head_hidden=True,
    )  # fmt: skip
    network = TextClassifier(config)
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
    Classifier(network, Tokenizer.from_file(str(WEIGHTS / "sst2" / "tokenizer.json"))).save(folder / "large")
    return folder / "large"


def epochs(args: Any, folder: Path) -> tuple[list[Result], list[str]]:
    """Seconds of an epoch: frozen against whole in our loop, and whole against transformers in a plain loop."""
    import torch
    from demo_app_text_classifier.tuner import TextTuner

    from demo_app.finetune.run import tune

    torch.set_num_threads(2)
    rows, _ = rows_of(args, folder)
    count = min(args.rows, 64 if args.quick else 500)
    data, base, tuner = drawn(rows, count, 0), large(folder), TextTuner()
    peer = transformers_epoch(tuner, base, data) if importlib.util.find_spec("transformers") else None
    times: dict[str, list[float]] = {"freeze": [], "full": [], "peer": []}
    for number in range(1 if args.quick else 3):
        for strategy in ("freeze", "full"):
            recipe = Recipe(strategy=strategy, epochs=1, precision="fp32", seed=number)
            times[strategy].append(tune(tuner, base, data, recipe, folder / "speed").seconds_per_epoch)
        if peer is not None:
            times["peer"].append(peer())
    found = [compare("an epoch, frozen / whole, DistilBERT's size", times["freeze"], times["full"], "s", "<= 0.333")]
    if peer is not None:
        what = "an epoch, whole, ours / transformers in a plain loop"
        found.append(compare(what, times["full"], times["peer"], "s", "<= 1.1", note="fp32; ours measures, too"))
    return found, [f"epochs of {count} rows, four fifths of them trained on, fp32, 2 threads"]


def transformers_epoch(tuner: Any, base: Path, data: Data) -> Any:
    """A function that trains transformers' DistilBERT for an epoch on the same batches and returns the seconds."""
    import torch
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    from demo_app.nn import stages

    torch.manual_seed(0)
    network = DistilBertForSequenceClassification(DistilBertConfig(num_labels=len(data.labels)))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5)
    rows = tuner.encode(tuner.load(base), data.examples)[: round(0.8 * len(data.examples))]
    classes = torch.tensor([data.labels.index(example.label) for example in data.examples])

    def epoch() -> float:
        network.train()
        started = time.perf_counter()
        for numbers in torch.split(torch.randperm(len(rows)), 16):
            ids, mask = stages.collate([rows[number] for number in numbers.tolist()])
            loss = network(input_ids=ids, attention_mask=mask.long(), labels=classes[numbers]).loss
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        return time.perf_counter() - started

    return epoch


class Trainee(Client):
    """A visitor who fine-tunes."""

    settings: tuple[Any, ...] = ("sst2", ["full"], [], 100, 0, 0.8, 8)

    def bring(self, file: Path) -> None:
        with file.open("rb") as content:
            (path,) = self.http.post(f"{API}/upload", files={"files": (file.name, content)}).json()
        upload = {"path": path, "orig_name": file.name, "meta": {"_type": "gradio.FileData"}}
        self.queue("text_classifier_finetune_data", [[upload]])

    def train(self, *settings: Any) -> None:
        self.queue("text_classifier_finetune", [*(settings or self.settings), None, None])

    def stop(self) -> None:
        self.run("text_classifier_finetune_stop", [])


def visitors(args: Any, folder: Path) -> tuple[list[Result], list[str]]:
    """How long another visitor waits during a training, and the memory that ten trainings leave behind."""
    rows, _ = rows_of(args, folder)
    file = folder / "rows.csv"
    some = list(itertools.islice(itertools.cycle(rows), EXAMPLES))
    write_csv(file, ["text", "label"], some)
    rounds = 1 if args.quick else ROUNDS
    with serve([sys.executable, "app.py"], DEMO_APP_PRELOAD="text_classifier", DEMO_APP_TUNE_STEPS="1000000") as host:
        other, trainee = Client(host.url, "other"), Trainee(host.url, "trainee")
        action = classify_action(other)
        trainee.http.timeout = httpx.Timeout(900)
        trainee.bring(file)
        for text in SENTENCES:
            other.run(action, classify_data(text))
        idle, busy = [], []
        for _ in range(rounds):
            idle.append(waited(other, action))
            with training(trainee, host.pid):
                busy.append(waited(other, action))
        trainee.train("sst2", ["freeze"], [], 1, 0, 0.8, 8)
        first = own_memory(host.pid)
        for _ in range(2 if args.quick else 9):
            trainee.train("sst2", ["freeze"], [], 1, 0, 0.8, 8)
        last = own_memory(host.pid)
    return [
        compare("a sentence classified while somebody trains / idle", busy, idle, "ms", "<= 1.5"),
        compare("memory after ten trainings - after one", [last], [first], "MB", "<= 50", difference=True),
    ], [f"classified by one visitor, one after another, {CALLS} times a round, unqueued; medians of a round"]


def waited(client: Client, action: str) -> float:
    """The median, in milliseconds."""
    texts = itertools.cycle(SENTENCES)
    return statistics.median(milliseconds(lambda: client.run(action, classify_data(next(texts)))) for _ in range(CALLS))


@contextlib.contextmanager
def training(trainee: Trainee, pid: int) -> Iterator[None]:
    """The context in which a training computes."""
    thread = threading.Thread(target=trainee.train)
    thread.start()
    while not computing(pid):
        time.sleep(0.2)
    try:
        yield
    finally:
        trainee.stop()
        thread.join()


def computing(pid: int) -> bool:
    """Whether a child has used the CPU for some seconds: it has read its data, and trains."""
    ticks = [int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[11]) for child in family(pid)[1:]]
    return max(ticks, default=0) > 8 * os.sysconf("SC_CLK_TCK")


def own_memory(pid: int) -> float:
    """Memory of the host's process without its children, in MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Rss:")) / 1e3


PARTS = {"strategies": strategies, "epochs": epochs, "visitors": visitors}


if __name__ == "__main__":
    sys.exit(main())
