"""Train a text classifier from scratch on a CSV file with the columns text and label.

python -m demo_app_text_classifier.train --data FILE --validation FILE --out FOLDER
"""

# N examples, B batch, T tokens, C classes

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from tqdm import tqdm

from demo_app import InputError
from demo_app.inputs.tables import label_names
from demo_app.nn import EncoderLayer
from demo_app.nn.dropout import use_byte_dropout
from demo_app.options import add_options, from_options, option, report
from demo_app.training.optimizers import weight_decay_groups
from demo_app.training.progress import progress_bar
from demo_app.training.schedule import Schedule
from demo_app.training.state import StateFile
from demo_app.training.trainer import Trainer
from demo_app_text_classifier.classifier import Classifier
from demo_app_text_classifier.data import class_ids, read_csv
from demo_app_text_classifier.evaluate import scores
from demo_app_text_classifier.model import Config, TextClassifier
from demo_app_text_classifier.teachers import TEACHERS
from demo_app_text_classifier.tokens import TOKENIZERS, train_tokenizer

POOL = 50  # batches whose examples are drawn together and sorted by length, to keep padding short


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """The hyperparameters. Each field is a command-line option."""

    epochs: int = option(6, "times to go through the data")
    batch_size: int = option(64, "examples in a step")
    learning_rate: float = option(1e-3, "at its peak: linear warm-up, then linear decay to zero")
    warmup: float = option(0.1, "share of all steps")
    weight_decay: float = option(0.01, "of AdamW, for matrices")
    token_dropout: float = option(0.1, "probability of hiding a token from the network")
    label_smoothing: float = option(0.1, "probability mass spread evenly over all classes")
    average: float = option(0.999, "decay of the moving average of the weights, which is what is saved")
    r_drop: float = option(0.0, "weight of the symmetric KL divergence between two dropout passes (Wu et al. 2021)")
    length_power: float = option(0.0, "an example of n tokens has the weight n to this power: favours whole sentences")
    quiet_start: bool = option(False, "encoder layers start as the identity (compare ReZero)")
    neutral_words: bool = option(False, "words that are no example by themselves get a uniform target, as in SST-2")
    augment: int = option(0, "edited copies of each example, labelled by the teachers alone")
    distil_weight: float = option(0.7, "share of the teachers' probabilities in the target, if there are teachers")
    teacher_epochs: int = option(2, "epochs for each of --teachers")
    seed: int = option(0, "of weights, order and dropout")
    threads: int = option(2, "of torch; another number may change the last digits of the result")


@dataclass(frozen=True)
class Examples:
    """Tokenised texts with their targets."""

    ids: list[Tensor]  # N times (T,) int64
    targets: Tensor  # (N, C) probabilities: one-hot, the teachers', or a mixture of both
    weights: Tensor  # (N,) with mean 1

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """ids (B, T), mask (B, T), targets (B, C), weights (B,)."""
        return *padded([self.ids[row] for row in rows.tolist()]), self.targets[rows], self.weights[rows]


def padded(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Pad B rows of ids: ids (B, T) and mask (B, T), True = a token."""
    lengths = torch.tensor([len(row) for row in rows])  # (B,)
    ids = nn.utils.rnn.pad_sequence(list(rows), batch_first=True)  # (B, T), [PAD] is 0
    return ids, torch.arange(ids.shape[1]) < lengths[:, None]


def tokenise(texts: Sequence[str], tokenizer: Tokenizer) -> list[Tensor]:
    """The ids of each text, (T,)."""
    return [torch.tensor(encoding.ids) for encoding in tokenizer.encode_batch(list(texts))]


def batches(examples: Examples, size: int) -> list[Tensor]:
    """The rows of each batch of one epoch: shuffled, with texts of similar length together."""
    lengths = torch.tensor([len(ids) for ids in examples.ids])  # (N,)
    pools = torch.randperm(len(lengths)).split(size * POOL)
    drawn = [batch for pool in pools for batch in pool[lengths[pool].argsort()].split(size)]
    return [drawn[place] for place in torch.randperm(len(drawn)).tolist()]


def hide_tokens(mask: Tensor, probability: float) -> Tensor:
    """Mask random tokens as if they were padding, but never the first, [CLS]. (B, T) to (B, T)."""
    kept = torch.rand(mask.shape) >= probability
    kept[:, 0] = True
    return mask & kept


def loss_of(network: nn.Module, batch: tuple[Tensor, Tensor, Tensor, Tensor], settings: TrainingSettings) -> Tensor:
    """Cross-entropy with the smoothed targets; with R-Drop, plus the divergence between two passes."""
    ids, mask, targets, weights = batch
    if settings.r_drop:
        ids, mask, targets, weights = (torch.cat((part, part)) for part in (ids, mask, targets, weights))
    logits = network(ids, hide_tokens(mask, settings.token_dropout)).logits  # (B, C)
    log_probabilities = logits.log_softmax(-1)  # (B, C)
    smoothed = targets * (1 - settings.label_smoothing) + settings.label_smoothing / targets.shape[-1]  # (B, C)
    loss = -((smoothed * log_probabilities).sum(-1) * weights).mean()
    if settings.r_drop:
        one, two = log_probabilities.chunk(2)
        loss = loss + settings.r_drop * 0.5 * ((one.exp() - two.exp()) * (one - two)).sum(-1).mean()
    return loss


@torch.no_grad()
def start_as_identity(network: nn.Module) -> None:
    """Zero the output of each encoder layer's branches, so that training starts from pooled word vectors."""
    for module in network.modules():
        if isinstance(module, EncoderLayer):
            module.attention.out_proj.weight.zero_()
            module.feed_forward.fc_out.weight.zero_()


@torch.inference_mode()
def teacher_probabilities(teachers: Sequence[Classifier], texts: Sequence[str]) -> Tensor:
    """The teachers' mean probabilities, (N, C)."""
    total = torch.zeros(len(texts), len(teachers[0].labels))
    for teacher in tqdm(teachers, desc="teachers", file=sys.stderr, leave=False):
        ids = tokenise(texts, teacher.tokenizer)
        order = torch.tensor([len(row) for row in ids]).argsort()
        for rows in order.split(256):
            total[rows] += teacher.network(*padded([ids[row] for row in rows.tolist()])).logits.softmax(-1)
    return total / len(teachers)


def edited(texts: Sequence[str], tokenizer: Tokenizer, generator: torch.Generator) -> Iterator[str]:
    """Each text with words dropped, words replaced by those of other texts, or half of another text appended."""
    pieces = []
    for text, encoding in zip(texts, tokenizer.encode_batch(list(texts)), strict=True):
        offsets = [offset for offset in encoding.offsets if offset[1] > offset[0]]
        ends = [start for start, _ in offsets[1:]] + [offsets[-1][1] if offsets else 0]
        pieces.append([text[start:end] for (start, _), end in zip(offsets, ends, strict=True)])
    pool = [piece for some in pieces for piece in some]
    for own in pieces:
        kind, share = torch.rand(2, generator=generator).tolist()
        if kind < 0.3:
            other = pieces[int(torch.randint(len(pieces), (1,), generator=generator))]
            half = len(other) // 2
            own = [*own, " ", *(other[:half] if share < 0.5 else other[half:])]
        chance = torch.rand(len(own), generator=generator).tolist()
        drawn = torch.randint(len(pool), (len(own),), generator=generator).tolist()
        dropped, swapped = (0.3 * share, 0.1 * share) if kind < 0.65 else (0.1 * share, 0.3 * share)
        kept = [
            pool[other] if draw < dropped + swapped else piece
            for piece, draw, other in zip(own, chance, drawn, strict=True)
            if draw >= dropped
        ]
        yield "".join(kept) or "".join(own)


def neutral_words(texts: Sequence[str]) -> list[str]:
    """The words of the texts that are not texts by themselves.

    In SST-2 every phrase of a sentence was rated and neutral ones were left out, so a missing word is a neutral word.
    For other data this does not hold.
    """
    alone = {text.strip() for text in texts}
    return sorted({word for text in texts for word in text.split()} - alone)


def make_examples(
    texts: Sequence[str],
    classes: Tensor,
    tokenizer: Tokenizer,
    labels: int,
    teachers: Sequence[Classifier],
    settings: TrainingSettings,
) -> Examples:
    """Tokens and targets. With teachers, their probabilities are mixed into the targets, and edited copies added."""
    targets = F.one_hot(classes, labels).float()  # (N, C)
    ids = tokenise(texts, tokenizer)
    if teachers:
        targets = (
            targets * (1 - settings.distil_weight) + teacher_probabilities(teachers, texts) * settings.distil_weight
        )
        generator = torch.Generator().manual_seed(settings.seed)
        copies = [text for _ in range(settings.augment) for text in edited(texts, tokenizer, generator)]
        if copies:
            ids += tokenise(copies, tokenizer)
            targets = torch.cat((targets, teacher_probabilities(teachers, copies)))
    if settings.neutral_words:
        words = neutral_words(texts)
        ids += tokenise(words, tokenizer)
        targets = torch.cat((targets, torch.full((len(words), labels), 1 / labels)))
    weights = torch.tensor([len(row) for row in ids]).float() ** settings.length_power  # (N,)
    return Examples(ids, targets, weights / weights.mean())


def fit(
    build: Callable[[Config], nn.Module], config: Config, examples: Examples, settings: TrainingSettings, state: Path
) -> nn.Module:
    """Train a network; returns it with averaged weights. Resumes from the file `state` and removes it at the end."""
    torch.manual_seed(settings.seed)
    network = build(config)
    if settings.quiet_start:
        start_as_identity(network)
    use_byte_dropout(network)
    groups = weight_decay_groups(network.parameters(), settings.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98), fused=True)
    schedule = Schedule(
        epochs=settings.epochs,
        steps=settings.epochs * -(-len(examples.ids) // settings.batch_size),
        warmup=settings.warmup,
        decay="linear",
        ema_decay=settings.average,
        seed=settings.seed,
    )
    state.parent.mkdir(parents=True, exist_ok=True)
    facts = [asdict(config), asdict(settings), len(examples.ids), examples.targets.sum(0).tolist()]
    state_file = StateFile(path=state, settings=json.dumps(facts))
    with progress_bar(state.stem) as bar:
        Trainer(network, [optimizer], schedule, state_file=state_file, progress=bar).fit(
            lambda epoch: map(examples.batch, batches(examples, settings.batch_size)),
            lambda network, batch: loss_of(network, batch, settings),
        )
    return network.requires_grad_(False)


def train_teachers(
    kinds: Sequence[str],
    texts: Sequence[str],
    classes: Tensor,
    tokenizer: Tokenizer,
    config: Config,
    settings: TrainingSettings,
    out: Path,
) -> list[Classifier]:
    """Train one network of each kind, each with its own seed, and keep it in `out`; reuse those that are there."""
    examples = make_examples(texts, classes, tokenizer, len(config.labels), (), settings)
    teachers = []
    for number, kind in enumerate(kinds, start=1):
        file = out / f"{number}_{kind}.safetensors"
        own = replace(settings, seed=settings.seed + number, epochs=settings.teacher_epochs, r_drop=0.0)
        if file.is_file():
            network = TEACHERS[kind](config)
            network.load_state_dict(load_file(file))
        else:
            network = fit(TEACHERS[kind], config, examples, own, file.with_suffix(".pt"))
            save_file(network.state_dict(), file)
        teachers.append(Classifier(network, tokenizer))
    return teachers


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="demo_app_text_classifier.train", description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, type=Path, help="CSV file (.gz too) with the columns text and label")
    parser.add_argument(
        "--validation", type=Path, help="CSV file to evaluate on; without it every 20th row is held out"
    )
    parser.add_argument("--out", required=True, type=Path, help="folder of the new checkpoint")
    parser.add_argument(
        "--labels", help="names of the classes, separated by commas, in the order of their numbers in the file"
    )
    parser.add_argument(
        "--distil", type=Path, nargs="+", default=[], help="checkpoints whose mean answers to learn from"
    )
    parser.add_argument(
        "--teachers", nargs="+", choices=TEACHERS, default=[], help="kinds of networks to train first and learn from"
    )
    parser.add_argument("--start", type=Path, help="checkpoint to continue from, with its tokenizer and its settings")
    parser.add_argument("--tokenizer", choices=TOKENIZERS, default="wordpiece", help="use bpe for Chinese")
    parser.add_argument("--vocab-size", type=int, default=12000)
    add_options(parser, Config)
    add_options(parser, TrainingSettings)
    return parser


def _split(
    texts: list[str], written: list[str], validation: Path | None
) -> tuple[list[str], list[str], list[str], list[str]]:
    """Texts and labels to train on, texts and labels to evaluate on."""
    if validation is not None:
        rows = read_csv(validation, require_label=True)
        return texts, written, rows.texts, rows.labels or []
    every_20th = slice(None, None, 20)
    held_out = set(range(len(texts))[every_20th])
    rest = [row for row in range(len(texts)) if row not in held_out]
    return [texts[row] for row in rest], [written[row] for row in rest], texts[every_20th], written[every_20th]


def _student(
    options: argparse.Namespace, texts: Sequence[str], labels: tuple[str, ...]
) -> tuple[Tokenizer, Config, Callable[[Config], nn.Module]]:
    """Tokenizer, config and initial network: new ones, or those of the checkpoint that `--start` names."""
    if options.start:
        start = Classifier.load(options.start, "cpu")
        if start.labels != labels:
            raise InputError(
                "the labels of {start} are not those of the data; give --labels to match.", start=options.start
            )
        return start.tokenizer, start.config, lambda _: copy.deepcopy(start.network).requires_grad_()
    tokenizer = train_tokenizer(texts, options.tokenizer, options.vocab_size)
    config = from_options(Config, options, labels=labels, vocab_size=tokenizer.get_vocab_size())
    return tokenizer, config, TextClassifier


def run(options: argparse.Namespace) -> dict[str, float]:
    """Train as the command line says; returns the scores of the saved checkpoint."""
    start = time.perf_counter()
    torch.set_num_threads(options.threads)
    settings = from_options(TrainingSettings, options)
    rows = read_csv(options.data, require_label=True)
    labels = tuple(options.labels.split(",")) if options.labels else label_names(rows.labels or [])
    texts, written, held_out, answers = _split(rows.texts, rows.labels or [], options.validation)
    classes = torch.tensor(class_ids(written, labels))  # (N,)
    tokenizer, config, build = _student(options, texts, labels)
    tokenizer.enable_truncation(config.max_tokens)
    teachers = [Classifier.load(folder, "cpu") for folder in options.distil]
    if any(teacher.labels != labels for teacher in teachers):
        raise InputError("the teachers' labels are not those of the data; give the same --labels to all of them.")
    if options.teachers:
        folder = options.out / "teachers"
        teachers += train_teachers(options.teachers, texts, classes, tokenizer, config, settings, folder)
    examples = make_examples(texts, classes, tokenizer, len(labels), teachers, settings)
    Classifier(fit(build, config, examples, settings, options.out / "training.pt"), tokenizer).save(options.out)
    classifier = Classifier.load(options.out, "cpu")  # as saved, in half precision
    predicted = classifier.predict(held_out).argmax(-1)
    result = scores(predicted, torch.tensor(class_ids(answers, labels)), len(labels))
    return result | {"examples": len(held_out), "seconds": round(time.perf_counter() - start, 1)}


def main(arguments: Sequence[str] | None = None) -> None:
    report(run, _parser().parse_args(arguments))


if __name__ == "__main__":
    main()
