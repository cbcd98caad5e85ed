"""Train a classifier of pictures with texts on your own pairs.

python -m demo_app_image_text_fusion.train --data PAIRS.csv --out FOLDER

The CSV has the columns image (a file beside it), text and label. The network is trained three times, on both, on the
pictures alone and on the texts alone, to show what fusion contributes. The first is saved as the checkpoint.
"""

# N examples, S pixels of a side, C classes

from __future__ import annotations

import argparse
import copy
import json
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from demo_app import InputError
from demo_app.finetune.data import Example
from demo_app.finetune.tuner import start_network
from demo_app.options import add_options, find_checkpoint, from_options, option, report
from demo_app.training import evaluation
from demo_app.training.optimizers import weight_decay_groups
from demo_app.training.progress import progress_bar
from demo_app.training.schedule import Schedule
from demo_app.training.trainer import Trainer
from demo_app_image_text_fusion.answerer import Answerer
from demo_app_image_text_fusion.checkpoints import WEIGHTS
from demo_app_image_text_fusion.model import Config, Fusion, Modality
from demo_app_image_text_fusion.pairs import Pair, opened, read_pairs
from demo_app_image_text_fusion.preparing import scaled, squared
from demo_app_image_text_fusion.texts import encode, silence, word_tokenizer
from demo_app_image_text_fusion.tuner import PairTuner

logger = logging.getLogger(__name__)
MOST = 40  # tokens of a text
SENSES = ("both", "image_only", "text_only")


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Hyperparameters. Each field is an option of the command line."""

    epochs: int = option(60, "most passes over the data")
    patience: int = option(8, "stop after so many epochs without a better held-out loss")
    batch_size: int = option(32, "pairs in a step")
    learning_rate: float = option(5e-4, "AdamW's peak; warm-up for an epoch, then cosine decay to zero")
    weight_decay: float = option(0.05, "AdamW's, on matrices")
    dropout: float = option(0.1, "of the encoder")
    seed: int = option(0, "of weights, order and what is held out")
    threads: int = option(2, "of torch")


@dataclass(frozen=True)
class Examples:
    """Pairs as tensors and texts."""

    pixels: Tensor  # (N, 3, S, S) uint8
    texts: list[str]
    classes: Tensor  # (N,)

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, rows: Tensor) -> Examples:
        return Examples(self.pixels[rows], [self.texts[i] for i in rows.tolist()], self.classes[rows])


def read_examples(pairs: Sequence[Pair], side: int) -> tuple[Examples, tuple[str, ...], list[str]]:
    """The usable pairs, their sorted labels, and the problems of the other rows.

    Raises `InputError` for fewer than two classes, or a class with fewer than two examples.
    """
    kept: list[tuple[Pair, np.ndarray]] = []
    problems = []
    for pair, picture in opened(pairs, side):
        if isinstance(picture, str):
            problems.append(f"row {pair.row}: {picture}")
        elif not pair.label:
            problems.append(f"row {pair.row}: the label is empty; fill it in.")
        else:
            kept.append((pair, np.asarray(squared(picture, side))))
    counts = Counter(pair.label for pair, _ in kept)
    if len(counts) < 2:
        raise InputError(
            "there are {count} classes among the {rows} usable rows; give at least two.",
            count=len(counts),
            rows=len(kept),
        )
    single = [label for label, count in counts.items() if count < 2]
    if single:
        raise InputError("class {label} has one example; give at least two of each.", label=repr(single[0][:40]))
    labels = tuple(sorted(counts))
    pixels = torch.from_numpy(np.stack([array for _, array in kept])).permute(0, 3, 1, 2)
    classes = torch.tensor([labels.index(pair.label) for pair, _ in kept])
    return Examples(pixels, [pair.text for pair, _ in kept], classes), labels, problems


def logits(network: Fusion, tokenizer: Tokenizer, examples: Examples, senses: str) -> Tensor:
    """(N, C). `senses`, of `SENSES`, says which modalities the network gets."""
    ids, mask = (silence(len(examples)), None) if senses == "image_only" else encode(tokenizer, examples.texts, MOST)
    text, image = (next(m.name for m in network.config.modalities if m.pictures == wanted) for wanted in (False, True))
    parts = {text: network.extract(text, ids, mask)}
    if senses != "text_only":
        parts[image] = network.extract(image, scaled(examples.pixels))
    return network(parts).logits


@torch.inference_mode()
def predict(network: Fusion, tokenizer: Tokenizer, examples: Examples, senses: str) -> Tensor:
    """`logits` without gradients, batch by batch."""
    rows = torch.arange(len(examples)).split(64)
    return torch.cat([logits(network, tokenizer, examples[part], senses) for part in rows])


def scores(found: Tensor, classes: Tensor) -> dict[str, float]:
    """Mean loss and accuracy of logits (N, C)."""
    return {
        "loss": F.cross_entropy(found, classes).item(),
        "accuracy": (found.argmax(1) == classes).double().mean().item(),
    }


def fit(
    network: Fusion,
    tokenizer: Tokenizer,
    examples: Examples,
    held_out: Examples,
    settings: TrainingSettings,
    senses: str,
) -> Fusion:
    """A trained copy of the network, with the weights of the lowest held-out loss."""
    network = copy.deepcopy(network).requires_grad_(True)
    groups = weight_decay_groups(network.parameters(), settings.weight_decay)
    schedule = Schedule(
        epochs=settings.epochs,
        steps=settings.epochs * -(-len(examples) // settings.batch_size),
        warmup=1 / max(2, settings.epochs),
        patience=settings.patience,
        seed=settings.seed,
    )

    def loss_of(network: Fusion, batch: Examples) -> Tensor:
        return F.cross_entropy(logits(network, tokenizer, batch, senses), batch.classes)

    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98))
    with progress_bar(senses) as bar:
        Trainer(network, [optimizer], schedule, progress=bar).fit(
            lambda epoch: (examples[rows] for rows in torch.randperm(len(examples)).split(settings.batch_size)),
            loss_of,
            evaluate=lambda network: scores(predict(network, tokenizer, held_out, senses), held_out.classes),
        )
    return network.requires_grad_(False)


def begin(
    options: argparse.Namespace, texts: Sequence[str], labels: tuple[str, ...], base: Answerer | None
) -> tuple[Fusion, Tokenizer]:
    """A new network, or that of `base` with the texts' words added, and with a new head unless its labels are these."""
    torch.manual_seed(options.seed)
    if base is not None:
        given = Fusion(replace(base.config, dropout=options.dropout))
        given.load_state_dict(base.network.state_dict())
        ours, read = PairTuner(), [Example(label="", text=text) for text in texts]
        model = ours.prepare(Answerer(given, base.tokenizer), read)
        network = start_network(ours, model, base.labels, labels)
        assert isinstance(network, Fusion)
        return network, model.tokenizer
    tokenizer = word_tokenizer(texts)
    side = options.size // options.patch
    config = Config(
        labels=labels,
        modalities=(
            Modality(name="text", kind="tokens", inputs=tokenizer.get_vocab_size(), places=(MOST,)),
            Modality(name="image", kind="stem", inputs=3, places=(side, side), patch=options.patch),
        ),
        width=options.width,
        layers=options.layers,
        feed_forward=2 * options.width,
        dropout=options.dropout,
    )
    return Fusion(config), tokenizer


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="demo_app_image_text_fusion.train", description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, type=Path, help="a CSV with the columns image, text and label")
    parser.add_argument("--out", required=True, type=Path, help="folder of the checkpoint")
    parser.add_argument("--held-out", type=float, default=0.2, help="share of each class held out of training")
    parser.add_argument("--start", help="checkpoint to start from: an embedded one's name, or a folder")
    parser.add_argument("--size", type=int, default=64, help="pixels of a side, to which pictures are resized")
    parser.add_argument("--patch", type=int, default=8, help="pixels of a patch's side, a power of two")
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--layers", type=int, default=3)
    add_options(parser, TrainingSettings)
    return parser


def run(options: argparse.Namespace) -> dict[str, object]:
    """Train, save the checkpoint with its metrics.json, and return the metrics."""
    started = time.perf_counter()
    torch.set_num_threads(options.threads)
    settings = from_options(TrainingSettings, options)
    pairs = read_pairs(options.data, require_label=True)
    base = Answerer.load(find_checkpoint(options.start, WEIGHTS), "cpu", exact=True) if options.start else None
    examples, labels, problems = read_examples(pairs, base.at_least if base else options.size)
    for problem in problems:
        logger.warning("%s", problem)
    kept, left = evaluation.split(examples.classes, options.held_out, settings.seed)
    examples, held_out = examples[kept], examples[left]
    first, tokenizer = begin(options, examples.texts, labels, base)
    accuracy: dict[str, float] = {}
    for senses in SENSES:
        network = fit(first, tokenizer, examples, held_out, settings, senses)
        if senses == "both":
            Answerer(copy.deepcopy(network), tokenizer).save(options.out)
            network = Answerer.load(options.out, "cpu", exact=True).network  # as it is on disk, in half precision
        found = predict(network, tokenizer, held_out, senses)
        accuracy[senses] = round(scores(found, held_out.classes)["accuracy"], 4)
        if senses == "both":
            detail = evaluation.scores(found.argmax(1), held_out.classes, labels)
    result: dict[str, object] = {**accuracy, "always_the_same": detail["most_frequent"], "by_class": detail["by_class"]}
    result |= {"trained_on": len(examples), "examples": len(held_out), "failed": len(problems)}
    (options.out / "metrics.json").write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return result | {"seconds": round(time.perf_counter() - started, 1)}


def main(arguments: Sequence[str] | None = None) -> None:
    report(run, _parser().parse_args(arguments))


if __name__ == "__main__":
    main()
