"""Train a decoder from scratch on a text file, or on poems in JSON lines.

python -m demo_app_decoder_generator.train --data FILE --out FOLDER
torchrun --nproc-per-node N -m demo_app_decoder_generator.train ...   (several GPUs)
"""

# B batch, T tokens, N tokens of the whole text

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import logging
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn
from tqdm import tqdm

from demo_app import InputError
from demo_app.commands import add_options, chosen, option, report
from demo_app.nn import training
from demo_app.nn.muon import Muon
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

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Recipe:
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


@dataclass(frozen=True)
class Process:
    """This process among those that train together (`torchrun`), and the device it has."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        return self.rank == 0


@contextlib.contextmanager
def processes(device: str | None) -> Iterator[Process]:
    """The group that `torchrun` started, or one process alone."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    rank, local = int(os.environ.get("RANK", "0")), int(os.environ.get("LOCAL_RANK", "0"))
    cuda = torch.cuda.is_available() and device in (None, "cuda")
    chosen = torch.device(f"cuda:{local}" if cuda else device or "cpu")
    if count == 1:
        yield Process(0, 1, chosen)
        return
    torch.distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield Process(rank, count, chosen)
    finally:
        torch.distributed.destroy_process_group()


def faster_in_bfloat16(device: torch.device) -> bool:
    """Whether a product of matrices takes less time in bfloat16 here: so on GPUs, and on CPUs with AMX."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.ones(512, 512, dtype=dtype, device=device)
        for _ in range(2):  # the first time is for warming up
            started = time.perf_counter()
            for _ in range(5):
                a @ a
            seconds[dtype] = time.perf_counter() - started
    return seconds[torch.bfloat16] < 0.8 * seconds[torch.float32]


class Windows:
    """Random windows of one long row of ids, or of poems that are drawn at random and put end to end."""

    def __init__(self, ids: Sequence[int] | None, poems: Sequence[Poem], tokenizer: Tokenizer, recipe: Recipe) -> None:
        self.row = torch.tensor(ids) if ids is not None else None
        self.recipe = recipe
        self.poems = [torch.tensor(poem_ids(tokenizer, poem)) for poem in poems]
        self.untitled = [torch.tensor(poem_ids(tokenizer, poem, title=False)) for poem in poems]

    def draw(self, count: int, length: int, generator: torch.Generator) -> Tensor:
        """(B, T + 1)."""
        if self.row is not None:
            starts = torch.randint(len(self.row) - length, (count,), generator=generator)
            return torch.stack([self.row[start : start + length + 1] for start in starts.tolist()])
        return torch.stack([self._packed(length + 1, generator) for _ in range(count)])

    def _packed(self, length: int, generator: torch.Generator) -> Tensor:
        """Poems end to end; the first begins the window, the last is cut."""
        row, taken = [], 0
        while taken < length:
            number = int(torch.randint(len(self.poems), (), generator=generator))
            bare = torch.rand((), generator=generator).item() < self.recipe.untitled
            row.append((self.untitled if bare else self.poems)[number])
            taken += len(row[-1])
        return torch.cat(row)[:length]


def optimizers(network: Decoder, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the matrices inside layers, AdamW for embeddings, norms and biases."""
    inside = [p for p in network.layers.parameters() if p.ndim == 2]
    chosen = {id(p) for p in inside}
    others = [p for p in network.parameters() if id(p) not in chosen]
    groups = training.decayed(others, recipe.weight_decay)
    muon = Muon(inside, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    return [muon, torch.optim.AdamW(groups, lr=recipe.adam_rate, betas=(0.9, 0.98))]


class Trainer:
    """Network, running mean of its weights, optimisers: all that a step changes and a restart needs."""

    def __init__(self, config: Config, recipe: Recipe, process: Process) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.process = recipe, process
        self.network = Decoder(config)
        self.network.initialise()
        self.network.to(process.device)
        self.mean = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.optimizers = optimizers(self.network, recipe)
        self.model: nn.Module = self.network
        if process.count > 1:
            self.model = nn.parallel.DistributedDataParallel(self.network)
        trial = recipe.precision == "auto" and faster_in_bfloat16(process.device)
        self.half = trial or recipe.precision == "bf16"
        self.step = 0
        self.best = math.inf
        self.best_state: dict[str, Tensor] = {}

    def train(self, windows: Windows, generator: torch.Generator) -> Tensor:
        """One step; returns the loss, in nats a token."""
        share = self.step / self.recipe.steps
        scale = min((share + 1e-9) / self.recipe.warmup, 1.0, (1 - share) / (1 - self.recipe.warmup))
        training.set_rates(self.optimizers, max(scale, 1e-3))
        rows = windows.draw(self.recipe.batch_size, self.network.config.context, generator).to(self.process.device)
        self.model.train()
        with torch.autocast(self.process.device.type, torch.bfloat16, enabled=self.half):
            logits = self.model(rows[:, :-1]).logits
        loss = F.cross_entropy(logits.float().flatten(0, 1), rows[:, 1:].flatten())
        self.network.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        training.average(self.mean, self.network, self.recipe.average, self.step)
        return loss.detach()

    def keep_best(self, nats: float) -> None:
        if nats < self.best:
            self.best, self.best_state = nats, {k: v.cpu().clone() for k, v in self.mean.state_dict().items()}

    @property
    def parts(self) -> dict[str, training.Stateful]:
        """All that a restart needs, beside the counters."""
        return training.parts(self.network, self.mean, self.optimizers)

    def save(self, path: Path, settings: str) -> None:
        counters = {"step": self.step, "best": self.best, "best_state": self.best_state}
        training.save(path, settings, self.parts, **counters)

    def resume(self, path: Path, settings: str) -> None:
        """Go on after the last save of a training that was killed, when its settings were the same."""
        if counters := training.resume(path, settings, self.parts, str(self.process.device)):
            self.step, self.best, self.best_state = counters["step"], counters["best"], counters["best_state"]


@dataclass(frozen=True)
class Corpus:
    """What is trained on, what is held out, and how it is read."""

    tokenizer: Tokenizer
    ids: list[int] | None  # of a text
    poems: list[Poem]  # or poems
    held_out: list[list[int]]  # rows that are scored


def read_corpus(path: Path, share: float, at_least: int) -> Corpus:
    """The last `share` of a text, or every so many-th poem, is held out."""
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


def fit(corpus: Corpus, config: Config, recipe: Recipe, out: Path, process: Process) -> Writer:
    """The mean weights that were best on the held-out part. Goes on with `training.pt`, and removes it at last."""
    trainer = Trainer(config, recipe, process)
    windows = Windows(corpus.ids, corpus.poems, corpus.tokenizer, recipe)
    state = out / "training.pt"
    out.mkdir(parents=True, exist_ok=True)
    settings = json.dumps([asdict(config), asdict(recipe)])
    trainer.resume(state, settings)
    bar = tqdm(total=recipe.steps, initial=trainer.step, file=sys.stderr, mininterval=5, disable=not process.first)
    tokens = recipe.batch_size * config.context * process.count
    held_out = corpus.held_out[:: max(1, len(corpus.held_out) // 500)]  # on the way; all of them at the end
    with bar:
        while trainer.step < recipe.steps:
            generator = torch.Generator().manual_seed((recipe.seed * 1_000_003 + trainer.step) * 64 + process.rank)
            torch.manual_seed(generator.initial_seed())  # dropout's, after a restart too
            started = time.perf_counter()
            loss = trainer.train(windows, generator)
            bar.update()
            if trainer.step % 10 == 0:
                rate = tokens / (time.perf_counter() - started)
                bar.set_postfix_str(f"loss {loss.item():.3f}, {rate:,.0f} tokens/s, best {trainer.best:.4f}")
            if process.first and (trainer.step % recipe.evaluate_every == 0 or trainer.step == recipe.steps):
                nats = nats_per_token(Writer(trainer.mean, corpus.tokenizer), held_out, config.context // 2)
                trainer.keep_best(nats)
                logger.info("step %d: %.4f nats a token held out, best %.4f", trainer.step, nats, trainer.best)
                trainer.save(state, settings)
    trainer.mean.load_state_dict(trainer.best_state or trainer.mean.state_dict())
    state.unlink(missing_ok=True)
    return Writer(trainer.mean.cpu(), corpus.tokenizer)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a text, or poems as JSON lines; .gz too")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--held-out", type=float, default=0.05, help="share of the data that is not trained on")
    parser.add_argument("--at-least", type=int, default=1, help="times a character must occur to have a token")
    parser.add_argument("--device", help="cuda or cpu; default: the best there is")
    add_options(parser, Config, skip=("vocab_size", "stop_ids", "kv_heads"))
    add_options(parser, Recipe)
    return parser


def run(options: argparse.Namespace) -> dict[str, float]:
    started = time.perf_counter()
    torch.set_num_threads(options.threads)
    corpus = read_corpus(options.data, options.held_out, options.at_least)
    config = chosen(Config, options, vocab_size=corpus.tokenizer.get_vocab_size())
    stop = corpus.tokenizer.token_to_id(EOS)
    config = replace(config, stop_ids=() if stop is None else (stop,))
    if corpus.ids is not None and len(corpus.ids) <= config.context:
        raise InputError(
            f"{len(corpus.ids)} tokens are no window of the context, {config.context}; choose a smaller one."
        )
    recipe = chosen(Recipe, options)
    with processes(options.device) as process:
        writer = fit(corpus, config, recipe, options.out, process)
        if not process.first:
            return {}
    writer.save(options.out)
    writer = Writer.load(options.out, "cpu")  # as it is on disk, in half precision
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
