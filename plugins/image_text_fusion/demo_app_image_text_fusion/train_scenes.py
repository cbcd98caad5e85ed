"""Train the checkpoint `scenes` on generated pictures and questions.

python -m demo_app_image_text_fusion.train_scenes --out FOLDER
"""

# B batch, T tokens, C classes

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from demo_app.options import add_options, from_options, option, report
from demo_app.training.optimizers import Muon
from demo_app.training.processes import Process
from demo_app.training.progress import progress_bar
from demo_app.training.schedule import Schedule
from demo_app.training.state import StateFile
from demo_app.training.trainer import Trainer
from demo_app_image_text_fusion import scenes
from demo_app_image_text_fusion.answerer import Answerer
from demo_app_image_text_fusion.evaluate import answer, on_scenes
from demo_app_image_text_fusion.model import Config, Fusion, Modality
from demo_app_image_text_fusion.scene_data import MOST, POINTING, WEIGHTS, Batch, batches
from demo_app_image_text_fusion.texts import word_tokenizer

VOCABULARY_SEED, HELD_OUT_SEED = 1_000_001, 1_000_002  # training counts seeds from 0 and never gets there
WATCHED = 2000  # questions of each evaluation during training
RARE = 5.0  # weight of positive patch targets, which are rare


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Hyperparameters. Each field is an option of the command line."""

    steps: int = option(14_000, "optimiser steps")
    batch_size: int = option(64, "questions in a step")
    learning_rate: float = option(0.005, "Muon's, for the matrices of the encoder")
    adam_rate: float = option(8e-4, "AdamW's, for all other parameters")
    warmup: float = option(0.02, "share of all steps; then the rates decay linearly to zero")
    weight_decay: float = option(0.01, "AdamW's")
    pointing: float = option(8.0, "weight of the loss of the patch targets, beside that of the answer")
    distance: float = option(0.5, "weight of the loss of the nearest and the furthest patch")
    missing: float = option(0.05, "share of batches without the picture, and as many without the question")
    average: float = option(0.999, "decay of the moving average of the weights, which is saved")
    evaluate_every: int = option(1000, "steps")
    seed: int = option(0, "of weights, scenes and questions")
    threads: int = option(2, "of torch")


def begin(config: Config, seed: int, start: Fusion | None) -> Fusion:
    """A new network, or one with the weights of a smaller one, whose additional layers start as identities."""
    torch.manual_seed(seed)
    network = Fusion(config)
    if start is None:
        return network
    given = start.state_dict()
    for name, own in network.state_dict().items():
        if name in given:  # shapes differ if patch targets were added
            common = tuple(slice(0, min(a, b)) for a, b in zip(own.shape, given[name].shape, strict=True))
            own[common] = given[name][common]
    for layer in list(network.layers)[len(start.layers) :]:
        for linear in (layer.attention.out_proj, layer.feed_forward.fc_out):
            torch.nn.init.zeros_(linear.weight)
            torch.nn.init.zeros_(linear.bias)
    return network


@dataclass(frozen=True)
class Asked:
    """A batch, and which modality the network does not get."""

    batch: Batch
    blind: bool  # no picture
    deaf: bool  # no question


def asked(tokenizer: Tokenizer, config: Config, settings: TrainingSettings, part: int) -> Iterator[Asked]:
    """The batches from one evaluation to the next. Each part has a seed of its own, so that a restart repeats it."""
    side = config.modalities[1].places[0]
    source = batches(tokenizer, settings.seed * 10_000 + part, settings.batch_size, side, MOST, WEIGHTS)
    first = part * settings.evaluate_every
    for step in range(first, min(first + settings.evaluate_every, settings.steps)):
        chance = torch.rand((), generator=torch.Generator().manual_seed(step)).item()
        yield Asked(next(source), blind=chance < settings.missing, deaf=chance > 1 - settings.missing)


def loss_of(network: Fusion, asked: Asked, settings: TrainingSettings) -> Tensor:
    """The loss of the answer, and with both modalities that of the patch targets."""
    output = answer(network, asked.batch, blind=asked.blind, deaf=asked.deaf)
    device = output.logits.device
    loss = F.cross_entropy(output.logits, asked.batch.answers.to(device))
    if asked.blind or asked.deaf:
        return loss
    logits, points = output.points["image"], asked.batch.points.to(device)
    pointing = F.binary_cross_entropy_with_logits(logits, points, pos_weight=torch.tensor(RARE, device=device))
    return loss + settings.pointing * pointing + settings.distance * which_patch(logits, points)


def which_patch(logits: Tensor, points: Tensor) -> Tensor:
    """Cross-entropy over the patches of a picture: which of them is the nearest, which the furthest.

    logits and points (B, T, P). As a binary target of each patch, one patch among many would hardly count.
    """
    places = [POINTING.index(name) for name in ("nearest", "furthest")]
    logits, points = (x[..., places].transpose(1, 2).flatten(0, 1) for x in (logits, points))  # (2 B, T)
    asked = points.sum(dim=1) > 0
    return F.cross_entropy(logits[asked], points[asked].argmax(dim=1)) if bool(asked.any()) else logits.sum() * 0


def fit(
    config: Config,
    tokenizer: Tokenizer,
    settings: TrainingSettings,
    out: Path,
    device: str,
    start: Fusion | None = None,
) -> Fusion:
    """The averaged weights after the last step. Resumes from `training.pt`, and removes it at the end."""
    network = begin(config, settings.seed, start).to(device)
    matrices = [p for p in network.layers.parameters() if p.ndim == 2]
    known = {id(p) for p in matrices}
    others = [p for p in network.parameters() if id(p) not in known]
    adam = torch.optim.AdamW(
        others, lr=settings.adam_rate, betas=(0.9, 0.98), weight_decay=settings.weight_decay, fused=True
    )
    schedule = Schedule(
        epochs=-(-settings.steps // settings.evaluate_every),
        steps=settings.steps,
        warmup=settings.warmup,
        decay="linear",
        ema_decay=settings.average,
        monitor="relational",
        higher_is_better=True,
        keep="last",
        seed=settings.seed,
    )
    out.mkdir(parents=True, exist_ok=True)
    reproducible = replace(settings, threads=0)  # the number of threads may change on resuming
    with progress_bar(every=10) as bar:
        trainer = Trainer(
            network,
            [Muon(matrices, lr=settings.learning_rate), adam],
            schedule,
            clip_parameters=others,
            process=Process(device=torch.device(device)),
            state_file=StateFile(path=out / "training.pt", settings=json.dumps([asdict(config), asdict(reproducible)])),
            progress=bar,
        )
        trainer.fit(
            lambda part: asked(tokenizer, config, settings, part),
            lambda network, batch: loss_of(network, batch, settings),
            evaluate=lambda average: on_scenes(average, tokenizer, HELD_OUT_SEED, WATCHED),
        )
    return network.requires_grad_(False).cpu()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--extractor", choices=("stem", "patches"), default="stem")
    parser.add_argument("--patch", type=int, default=8, help="pixels of a side")
    parser.add_argument(
        "--start", type=Path, help="a checkpoint of this training to start from, perhaps of fewer layers"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add_options(parser, TrainingSettings)
    return parser


def run(options: argparse.Namespace) -> dict[str, float]:
    """Train, save the checkpoint, and return its metrics."""
    started = time.perf_counter()
    torch.set_num_threads(options.threads)
    settings = from_options(TrainingSettings, options)
    texts = (question.text for _, question in scenes.examples(VOCABULARY_SEED, 40_000, 4))
    tokenizer = word_tokenizer(texts)
    side = scenes.SIZE // options.patch
    config = Config(
        labels=scenes.ANSWERS,
        modalities=(
            Modality(name="text", kind="tokens", inputs=tokenizer.get_vocab_size(), places=(MOST,)),
            Modality(name="image", kind=options.extractor, inputs=3, places=(side, side), patch=options.patch),
        ),
        width=options.width,
        heads=options.heads,
        layers=options.layers,
        feed_forward=2 * options.width,
        pointing=POINTING,
        reading="found",
    )
    start = Answerer.load(options.start, options.device, exact=True).network if options.start else None
    network = fit(config, tokenizer, settings, options.out, options.device, start)
    Answerer(network, tokenizer).save(options.out)
    network = Answerer.load(options.out, "cpu", exact=True).network  # as it is on disk, in half precision
    result = on_scenes(network, tokenizer, HELD_OUT_SEED, 10_000)
    return result | {"seconds": round(time.perf_counter() - started, 1)}


def main(arguments: Sequence[str] | None = None) -> None:
    report(run, _parser().parse_args(arguments))


if __name__ == "__main__":
    main()
