"""Labelled pictures: class folders on disk or in an archive, decoded into one tensor."""

# N examples, S pixels of a side

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F
from tqdm import tqdm

from demo_app import InputError
from demo_app.inputs.archives import pictures_in
from demo_app.inputs.crops import centre_crop
from demo_app.inputs.pictures import open_picture
from demo_app.training import evaluation

MAX_PICTURES = 2_000_000
GROUP = 4  # pictures that share a draw of the augmentation: a call costs as much as augmenting a small picture


@dataclass(frozen=True)
class Examples:
    """Pictures of one size with their classes."""

    pictures: Tensor  # (N, 3, S, S) uint8
    classes: Tensor  # (N,) int64, indices in `labels`
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, rows: Tensor) -> Examples:
        return Examples(self.pictures[rows], self.classes[rows], self.labels)


def read_examples(source: Path, *, resize: int, crop: int, labels: Sequence[str] | None = None) -> Examples:
    """All pictures of a folder, TAR or ZIP; the innermost folder of a picture names its class.

    `labels` are the classes in their order; by default the sorted names of the folders, as in
    `torchvision.datasets.ImageFolder`. Raises `InputError` for a source without pictures, a picture outside a class
    folder, fewer than two classes, or a class that is not among `labels`.
    """
    pictures: list[Tensor] = []
    names: list[str] = []
    with pictures_in(source, max_pictures=MAX_PICTURES, max_pixels=None) as entries:
        for entry in tqdm(entries, desc="read", file=sys.stderr, unit=" pictures", mininterval=2):
            if not entry.label:
                raise InputError(f"{entry.name} is in no folder; put each picture into one that names its class.")
            if labels is not None and entry.label not in labels:
                known = ", ".join(labels)[:200]
                raise InputError(f"folder {entry.label[:40]!r} is no class of this checkpoint ({known}); rename it.")
            names.append(entry.label)
            try:
                picture = centre_crop(open_picture(entry.read(), at_least=resize), resize, crop)
            except InputError as error:
                raise InputError(f"{entry.name}: {error}") from error
            pictures.append(F.pil_to_tensor(picture))  # (3, S, S)
    known = tuple(labels) if labels is not None else tuple(sorted(set(names)))
    if len(known) < 2:
        raise InputError(f"{source.name} has only the class {known[0]!r}; give at least two class folders.")
    places = {label: place for place, label in enumerate(known)}
    return Examples(torch.stack(pictures), torch.tensor([places[name] for name in names]), known)


def split(examples: Examples, share: float, seed: int) -> tuple[Examples, Examples]:
    """A training and a held-out part with `share` of each class. Raises `InputError` for a class of fewer than two."""
    counts = examples.classes.bincount(minlength=len(examples.labels)).tolist()
    for label, count in zip(examples.labels, counts, strict=True):
        if count < 2:
            raise InputError(f"class {label!r} has {count} picture(s); give at least two of each class.")
    kept, held_out = evaluation.split(examples.classes, share, seed)
    return examples[kept], examples[held_out]


def shifted(size: int, *, mirror: bool) -> list[nn.Module]:
    """Steps of an augmentation: random shifts by up to an eighth of `size`, and with `mirror` random mirror images."""
    crop = v2.RandomCrop(size, padding=size // 8, padding_mode="reflect")
    return [crop, v2.RandomHorizontalFlip()] if mirror else [crop]


def augmented(pictures: Tensor, change: v2.Transform) -> Tensor:
    """The pictures (B, 3, S, S), changed, with a new random draw for every `GROUP` of them."""
    return torch.cat([change(group) for group in pictures.split(GROUP)])
