"""Train the checkpoint `scenes` on pictures and questions that are made as they are needed.

python -m demo_app_image_text_fusion.train_scenes --out FOLDER
"""

# B batch, T tokens, C classes

from __future__ import annotations

import argparse
import copy
import itertools
import json
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor
from tqdm import tqdm

from demo_app.commands import add_options, chosen, option, report
from demo_app.nn import training
from demo_app.nn.muon import Muon
from demo_app_image_text_fusion import scenes
from demo_app_image_text_fusion.answerer import Answerer
from demo_app_image_text_fusion.evaluate import answer, on_scenes
from demo_app_image_text_fusion.model import Config, Fusion, Modality
from demo_app_image_text_fusion.scene_data import MOST, POINTING, WEIGHTS, Batch, batches
from demo_app_image_text_fusion.texts import word_tokenizer

logger = logging.getLogger(__name__)
VOCABULARY_SEED, HELD_OUT_SEED = 1_000_001, 1_000_002  # training begins with 0 and never comes there
RARE = 5.0  # weight of the patches that are meant: most are not


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train. Each field is an option of the command line."""

    steps: int = option(14_000, "optimiser steps")
    batch_size: int = option(64, "questions in a step")
    learning_rate: float = option(0.005, "Muon's, for the matrices of the encoder")
    adam_rate: float = option(8e-4, "AdamW's, for all else")
    warmup: float = option(0.02, "share of all steps; then the rates fall to zero linearly")
    weight_decay: float = option(0.01, "AdamW's")
    pointing: float = option(8.0, "weight of pointing at what is meant, beside the answer")
    distance: float = option(0.5, "weight of which patch is nearest to what is meant, and which furthest")
    missing: float = option(0.05, "share of batches without the picture, and as many without the question")
    average: float = option(0.999, "decay of the running mean of the weights, which is what is saved")
    evaluate_every: int = option(1000, "steps")
    seed: int = option(0, "of weights, scenes and questions")
    threads: int = option(2, "of torch")


class Trainer:
    """Network, running mean of its weights, optimisers: all that a step changes and a restart needs."""

    def __init__(self, config: Config, recipe: Recipe, device: str) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.device, self.step = recipe, device, 0
        self.network = Fusion(config).to(device)
        self.mean = copy.deepcopy(self.network).eval().requires_grad_(False)
        matrices = [p for p in self.network.layers.parameters() if p.ndim == 2]
        known = {id(p) for p in matrices}
        self.others = [p for p in self.network.parameters() if id(p) not in known]
        self.optimizers: list[torch.optim.Optimizer] = [
            Muon(matrices, lr=recipe.learning_rate),
            torch.optim.AdamW(
                self.others, lr=recipe.adam_rate, betas=(0.9, 0.98), weight_decay=recipe.weight_decay, fused=True
            ),
        ]

    def begin_with(self, other: Fusion) -> None:
        """The weights of a smaller network; layers beyond its last add nothing at first."""
        given = other.state_dict()
        for name, own in self.network.state_dict().items():
            if name in given:  # what patches are asked may have become more
                common = tuple(slice(0, min(a, b)) for a, b in zip(own.shape, given[name].shape, strict=True))
                own[common] = given[name][common]
        for layer in list(self.network.layers)[len(other.layers) :]:
            for linear in (layer.attention.out_proj, layer.feed_forward.fc_out):
                torch.nn.init.zeros_(linear.weight)
                torch.nn.init.zeros_(linear.bias)
        self.mean.load_state_dict(self.network.state_dict())

    def train(self, batch: Batch) -> dict[str, float]:
        """One step; returns the losses."""
        factor = training.rise_and_fall(self.step, self.recipe.steps, self.recipe.warmup)
        training.set_rates(self.optimizers, factor)
        chance = torch.rand((), generator=torch.Generator().manual_seed(self.step)).item()
        blind, deaf = chance < self.recipe.missing, chance > 1 - self.recipe.missing
        output = answer(self.network, batch, blind=blind, deaf=deaf)
        loss = F.cross_entropy(output.logits, batch.answers.to(self.device))
        losses = {"answer": loss.item()}
        if not (blind or deaf):
            weight = torch.tensor(RARE, device=self.device)
            points = batch.points.to(self.device)
            pointing = F.binary_cross_entropy_with_logits(output.points["image"], points, pos_weight=weight)
            distance = which_patch(output.points["image"], points)
            losses |= {"pointing": pointing.item(), "distance": distance.item()}
            loss = loss + self.recipe.pointing * pointing + self.recipe.distance * distance
        self.network.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.others, 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        training.average(self.mean, self.network, self.recipe.average, self.step)
        return losses

    @property
    def parts(self) -> dict[str, training.Stateful]:
        """All that a restart needs, beside the step."""
        return training.parts(self.network, self.mean, self.optimizers)


def which_patch(logits: Tensor, points: Tensor) -> Tensor:
    """Cross-entropy over the patches of a picture: which of them is the nearest, which the furthest.

    logits and points (B, T, P). Asked patch by patch, as all else is, one patch among many would hardly count.
    """
    places = [POINTING.index(name) for name in ("nearest", "furthest")]
    logits, points = (x[..., places].transpose(1, 2).flatten(0, 1) for x in (logits, points))  # (2 B, T)
    asked = points.sum(dim=1) > 0
    return F.cross_entropy(logits[asked], points[asked].argmax(dim=1)) if bool(asked.any()) else logits.sum() * 0


def fit(
    config: Config, tokenizer: Tokenizer, recipe: Recipe, out: Path, device: str, start: Fusion | None = None
) -> Fusion:
    """The mean weights after the last step. Goes on with `training.pt`, and removes it at last."""
    out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(config, recipe, device)
    if start is not None:
        trainer.begin_with(start)
    state, settings = (
        out / "training.pt",
        json.dumps([asdict(config), asdict(replace(recipe, threads=0))]),
    )  # more threads, same run
    trainer.step = training.resume(state, settings, trainer.parts, device).get("step", 0)
    side = config.modalities[1].places[0]
    bar = tqdm(total=recipe.steps, initial=trainer.step, file=sys.stderr, mininterval=10)
    with bar:
        while trainer.step < recipe.steps:
            part = trainer.step // recipe.evaluate_every  # scenes of its own, so that a restart repeats them
            source = batches(tokenizer, recipe.seed * 10_000 + part, recipe.batch_size, side, MOST, WEIGHTS)
            trainer.network.train()
            done = trainer.step % recipe.evaluate_every
            for batch in itertools.islice(source, done, recipe.evaluate_every):
                losses = trainer.train(batch)
                bar.update()
                if trainer.step % 20 == 0:
                    bar.set_postfix({name: f"{loss:.3f}" for name, loss in losses.items()}, refresh=False)
                if trainer.step == recipe.steps:
                    break
            training.save(state, settings, trainer.parts, step=trainer.step)
            logger.info("step %d: %s", trainer.step, on_scenes(trainer.mean, tokenizer, HELD_OUT_SEED, 2000))
    state.unlink(missing_ok=True)
    return trainer.mean.cpu()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--extractor", choices=("stem", "patches"), default="stem")
    parser.add_argument("--patch", type=int, default=8, help="pixels of a side")
    parser.add_argument(
        "--start", type=Path, help="a checkpoint of this training to begin with, perhaps of fewer layers"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add_options(parser, Recipe)
    return parser


def run(options: argparse.Namespace) -> dict[str, float]:
    started = time.perf_counter()
    torch.set_num_threads(options.threads)
    recipe = chosen(Recipe, options)
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
    network = fit(config, tokenizer, recipe, options.out, options.device, start)
    Answerer(network, tokenizer).save(options.out)
    network = Answerer.load(options.out, "cpu", exact=True).network  # as it is on disk, in half precision
    result = on_scenes(network, tokenizer, HELD_OUT_SEED, 10_000)
    return result | {"seconds": round(time.perf_counter() - started, 1)}


def main(arguments: Sequence[str] | None = None) -> None:
    report(run, _parser().parse_args(arguments))


if __name__ == "__main__":
    main()
