"""Scenes as training examples: pictures, questions, answers, and targets for each patch."""

# B batch, S pixels of a side, h x w patches

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from demo_app_image_text_fusion import scenes
from demo_app_image_text_fusion.scenes import ANSWERS, COLOURS, KINDS, RELATIONAL, SHAPES, Question, Scene
from demo_app_image_text_fusion.texts import encode

# Auxiliary targets of each patch in training: is the question about a thing in it, is the answer in it, which shape and
# colour have their centre in it, in which half of it (the network must resolve distances of half a patch), and is it
# the nearest to what the question is about, or the furthest
POINTING = ("about", "found", *SHAPES, *COLOURS, "right", "lower", "nearest", "furthest")
WEIGHTS = {kind: 1.0 if kind in RELATIONAL else 0.4 for kind in KINDS} | {  # relative frequencies in training
    "shape of the nearest": 2.0,  # the kinds learned last are the most frequent
    "colour of the nearest": 2.0,
    "shape of the furthest": 2.0,
    "colour of the furthest": 2.0,
    "is there beside": 1.5,
    "how many beside": 1.5,
}
MOST = 40  # tokens of a question
PER_SCENE = 4  # questions on each picture, since drawing one costs as much as twenty questions
PLACE = {answer: place for place, answer in enumerate(ANSWERS)}


@dataclass(frozen=True)
class Batch:
    """Questions with their pictures and targets."""

    ids: Tensor  # (B, T)
    mask: Tensor | None  # (B, T)
    pixels: Tensor  # (P, 3, S, S) uint8, each picture once
    rows: Tensor  # (B,) index of each question's picture
    answers: Tensor  # (B,) indices in `ANSWERS`
    points: Tensor  # (B, h w, len(POINTING)), 0 or 1


def batches(
    tokenizer: Tokenizer, seed: int, size: int, side: int, most: int, weights: Mapping[str, float] | None = None
) -> Iterator[Batch]:
    """An endless stream of new examples, the same for the same seed. `weights` as in `scenes.examples`."""
    source = scenes.examples(seed, 2**62, PER_SCENE, weights)
    while True:
        yield batch([next(source) for _ in range(size)], tokenizer, side, most)


def batch(examples: Sequence[tuple[Scene, Question]], tokenizer: Tokenizer, side: int, most: int) -> Batch:
    """Draw, tokenize and label examples. `side`: patches of a side; `most`: tokens of a question."""
    ids, mask = encode(tokenizer, [question.text for _, question in examples], most)
    pictures = {id(scene): scene for scene, _ in examples}
    pixels = torch.from_numpy(np.stack([scenes.draw(scene) for scene in pictures.values()])).permute(0, 3, 1, 2)
    places = {key: place for place, key in enumerate(pictures)}
    rows = torch.tensor([places[id(scene)] for scene, _ in examples])
    points = torch.zeros(len(examples), side * side, len(POINTING))
    for row, (scene, question) in enumerate(examples):
        distances = scenes.by_distance(scene.things, question.about[0]) if question.relational else []
        for number, thing in enumerate(scene.things):
            true = [thing.shape, thing.colour]
            true += ["about"] * (number in question.about) + ["found"] * (number in question.found)
            if distances:
                true += ["nearest"] * (number == distances[0][1]) + ["furthest"] * (number == distances[-1][1])
            x, y = thing.x * side / scenes.SIZE, thing.y * side / scenes.SIZE  # in patches
            true += ["right"] * (x % 1 >= 0.5) + ["lower"] * (y % 1 >= 0.5)
            points[row, int(y) * side + int(x), [POINTING.index(name) for name in true]] = 1
    answers = torch.tensor([PLACE[question.answer] for _, question in examples])
    return Batch(ids, mask, pixels, rows, answers, points)
