"""Train a decoder from scratch on a text file, or on poems in JSON lines.

python -m demo_app_decoder_generator.train --data FILE --out FOLDER
torchrun --nproc-per-node N -m demo_app_decoder_generator.train ...   (several GPUs)
"""

# B batch, T tokens, N tokens of the whole text

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from demo_app import InputError
from demo_app.options import add_options, from_options, option, report
from demo_app.training.optimizers import Muon, weight_decay_groups
from demo_app.training.precision import use_bfloat16
from demo_app.training.processes import Process, process_group
from demo_app.training.progress import progress_bar
from demo_app.training.schedule import Schedule
from demo_app.training.state import StateFile
from demo_app.training.trainer import Trainer
from demo_app_decoder_generator.model import Config, Decoder
from demo_app_decoder_generator.texts import (
    EOS,
    SPECIAL,
    Poem,
    character_tokenizer,
    is_poems,
    poem_ids,
    read_poems,
    read_text,
)
from demo_app_decoder_generator.writer import Writer


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How to train. Each field is an option of the command line."""

    steps: int = option(4000, "optimiser steps")
    batch_size: int = option(16, "windows of `context` tokens in a step, on each device")
    learning_rate: float = option(
        0.02, "Muon's, for the layers' matrices; it is warmed up, then falls to zero linearly"
    )
    adam_rate: float = option(3e-3, "AdamW's, for embeddings and norms")
    warmup: float = option(0.02, "share of all steps")
    weight_decay: float = option(0.1, "of matrices")
    average: float = option(0.998, "decay of the running mean of the weights, which is what is evaluated and saved")
    untitled: float = option(0.3, "share of poems that are shown without their title")
    evaluate_every: int = option(250, "steps")
    precision: str = option("auto", "of products: fp32, bf16, or auto, the faster one, which may differ between runs")
    seed: int = option(0, "of weights, order and dropout")
    threads: int = option(2, "of torch")

    def __post_init__(self) -> None:
        if self.precision not in ("auto", "fp32", "bf16"):
            raise ValueError(f"precision {self.precision!r} is unknown; choose one of: auto, fp32, bf16.")


class Windows:
    """Random windows of one long row of ids, or of random poems, one after the other."""

    def __init__(
        self, ids: Sequence[int] | None, poems: Sequence[Poem], tokenizer: Tokenizer, settings: TrainingSettings
    ) -> None:
        self.row = torch.tensor(ids) if ids is not None else None
        self.settings = settings
        self.poems = [torch.tensor(poem_ids(tokenizer, poem)) for poem in poems]
        self.untitled = [torch.tensor(poem_ids(tokenizer, poem, title=False)) for poem in poems]

    def batches(self, part: int, length: int, process: Process) -> Iterator[Tensor]:
        """(B, T + 1) for the steps from one evaluation to the next; each process has its own, and its own dropout."""
        settings = self.settings
        torch.manual_seed((settings.seed * 1_000_003 + part) * 64 + process.rank)
        first = part * settings.evaluate_every
        for step in range(first, min(first + settings.evaluate_every, settings.steps)):
            generator = torch.Generator().manual_seed((settings.seed * 1_000_003 + step) * 64 + process.rank)
            yield self.draw(settings.batch_size, length, generator).to(process.device)

    def draw(self, count: int, length: int, generator: torch.Generator) -> Tensor:
        """(B, T + 1)."""
        if self.row is not None:
            starts = torch.randint(len(self.row) - length, (count,), generator=generator)
            return torch.stack([self.row[start : start + length + 1] for start in starts.tolist()])
        return torch.stack([self._packed(length + 1, generator) for _ in range(count)])

    def _packed(self, length: int, generator: torch.Generator) -> Tensor:
        """Poems one after the other; the first begins the window, the last is cut."""
        row, taken = [], 0
        while taken < length:
            number = int(torch.randint(len(self.poems), (), generator=generator))
            bare = torch.rand((), generator=generator).item() < self.settings.untitled
            row.append((self.untitled if bare else self.poems)[number])
            taken += len(row[-1])
        return torch.cat(row)[:length]


def optimizers(network: Decoder, settings: TrainingSettings) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the matrices inside layers, AdamW for embeddings, norms and biases."""
    inside = [p for p in network.layers.parameters() if p.ndim == 2]
    chosen = {id(p) for p in inside}
    others = [p for p in network.parameters() if id(p) not in chosen]
    groups = weight_decay_groups(others, settings.weight_decay)
    muon = Muon(inside, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    return [muon, torch.optim.AdamW(groups, lr=settings.adam_rate, betas=(0.9, 0.98))]


def loss_of(model: nn.Module, rows: Tensor) -> Tensor:
    """Nats a token; rows (B, T + 1)."""
    logits = model(rows[:, :-1]).logits  # (B, T, V)
    return F.cross_entropy(logits.float().flatten(0, 1), rows[:, 1:].flatten())


@dataclass(frozen=True)
class Corpus:
    """The training data, the held-out data, and their tokenizer."""

    tokenizer: Tokenizer
    ids: list[int] | None  # of a text
    poems: list[Poem]  # or poems
    held_out: list[list[int]]  # rows of ids


def read_corpus(path: Path, share: float, at_least: int) -> Corpus:
    """Read a file and hold out a `share` of it: the end of a text, or poems at regular distances."""
    text = read_text(path)
    if is_poems(text):
        poems = read_poems(text)
        every = max(2, round(1 / share))
        kept = [poem for i, poem in enumerate(poems) if i % every]
        tokenizer = character_tokenizer((p.title + p.body for p in kept), at_least=at_least, special=SPECIAL)
        return Corpus(tokenizer, None, kept, [poem_ids(tokenizer, poem) for poem in poems[::every]])
    cut = round(len(text) * (1 - share))
    tokenizer = character_tokenizer([text[:cut]], at_least=at_least)
    return Corpus(tokenizer, tokenizer.encode(text[:cut]).ids, [], [tokenizer.encode(text[cut:]).ids])


def nats_per_token(writer: Writer, rows: Sequence[Sequence[int]], stride: int | None = None) -> float:
    """Mean surprise of all tokens but the first of each row."""
    scores = torch.cat([writer.surprise(row, stride=stride) for row in rows])
    return float(scores.double().mean())


def fit(corpus: Corpus, config: Config, settings: TrainingSettings, out: Path, process: Process) -> Writer:
    """Train, and return the averaged weights that were best on the held-out part.

    Resumes from `training.pt` in `out` if that is there, and removes it at the end.
    """
    torch.manual_seed(settings.seed)
    network = Decoder(config)
    network.initialise()
    network.to(process.device)
    windows = Windows(corpus.ids, corpus.poems, corpus.tokenizer, settings)
    held_out = corpus.held_out[:: max(1, len(corpus.held_out) // 500)]  # during training; all of them at the end
    schedule = Schedule(
        epochs=-(-settings.steps // settings.evaluate_every),
        steps=settings.steps,
        warmup=settings.warmup,
        decay="linear",
        ema_decay=settings.average,
        bfloat16=use_bfloat16(settings.precision, network, process),
        monitor="nats",
        seed=settings.seed,
    )

    def evaluate(mean: Decoder) -> dict[str, float]:
        return {"nats": nats_per_token(Writer(mean, corpus.tokenizer), held_out, config.context // 2)}

    out.mkdir(parents=True, exist_ok=True)
    with progress_bar(every=5, shown=process.first) as bar:
        trainer = Trainer(
            network,
            optimizers(network, settings),
            schedule,
            process=process,
            state_file=StateFile(path=out / "training.pt", settings=json.dumps([asdict(config), asdict(settings)])),
            progress=bar,
        )
        trainer.fit(lambda part: windows.batches(part, config.context, process), loss_of, evaluate=evaluate)
    return Writer(network.requires_grad_(False).cpu(), corpus.tokenizer)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a text, or poems as JSON lines; .gz too")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--held-out", type=float, default=0.05, help="share of the data that is not trained on")
    parser.add_argument("--at-least", type=int, default=1, help="times a character must occur to have a token")
    parser.add_argument("--device", help="cuda or cpu; default: the best there is")
    add_options(parser, Config, skip=("vocab_size", "stop_ids", "kv_heads"))
    add_options(parser, TrainingSettings)
    return parser


def run(options: argparse.Namespace) -> dict[str, float]:
    started = time.perf_counter()
    torch.set_num_threads(options.threads)
    corpus = read_corpus(options.data, options.held_out, options.at_least)
    config = from_options(Config, options, vocab_size=corpus.tokenizer.get_vocab_size())
    stop = corpus.tokenizer.token_to_id(EOS)
    config = replace(config, stop_ids=() if stop is None else (stop,))
    if corpus.ids is not None and len(corpus.ids) <= config.context:
        raise InputError(
            "{count} tokens are no window of the context, {context}; choose a smaller one.",
            count=len(corpus.ids),
            context=config.context,
        )
    settings = from_options(TrainingSettings, options)
    with process_group(options.device) as process:
        writer = fit(corpus, config, settings, options.out, process)
        if not process.first:
            return {}
    writer.save(options.out)
    writer = Writer.load(options.out, "cpu")  # the weights as saved, in half precision
    nats = nats_per_token(writer, corpus.held_out)
    return {
        "nats_per_token": round(nats, 4),
        "perplexity": round(math.exp(nats), 3),
        "tokens": sum(len(row) - 1 for row in corpus.held_out),
        "parameters": sum(p.numel() for p in writer.network.parameters()),
        "seconds": round(time.perf_counter() - started, 1),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    report(run, _parser().parse_args(arguments))


if __name__ == "__main__":
    main()
