"""Generates pictures of coloured shapes, and questions about them in English and Chinese.

Half of the questions are about one thing alone, half about relations between things, in the spirit of Sort-of-CLEVR
(Santoro et al. 2017, https://arxiv.org/abs/1706.01427). Everything follows from a seed. Questions are unambiguous: a
thing is left of another by a margin, and the nearest is nearer than the second by a margin. Kinds and answers are drawn
uniformly as far as a scene allows, so that a question alone says little about its answer.
"""

# S pixels of a side

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIZE = 64  # S
TRIES = 1000  # scenes that `asked` tries for a question of a kind
SHAPES = ("circle", "square", "triangle")
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (215, 40, 40),
    "green": (40, 160, 70),
    "blue": (45, 90, 210),
    "yellow": (235, 205, 40),
    "purple": (145, 60, 175),
    "orange": (240, 130, 30),
}
SIDES = ("left", "right", "top", "bottom")
NUMBERS = tuple(str(number) for number in range(7))
ANSWERS = (*SHAPES, *COLOURS, "yes", "no", *SIDES, *NUMBERS)
LANGUAGES = ("en", "zh")
MOST = 6  # things in a scene
MARGIN = 4.0  # pixels by which a thing must be left of, above or nearer than another
APART = 15.0  # least distance of two centres, in pixels

Rng = np.random.Generator


@dataclass(frozen=True, kw_only=True)
class Thing:
    shape: str
    colour: str
    x: float  # of its centre, pixels from the left
    y: float  # from the top
    radius: float
    turn: float = 0.0  # radians


@dataclass(frozen=True, kw_only=True)
class Scene:
    things: tuple[Thing, ...]
    ground: tuple[int, int, int]
    grain: int  # seed of the noise


@dataclass(frozen=True, kw_only=True)
class Question:
    text: str
    answer: str  # of `ANSWERS`
    kind: str  # of `KINDS`
    language: str
    about: tuple[int, ...] = ()  # indices of the things that it names
    found: tuple[int, ...] = ()  # indices of the things that the answer is read from

    @property
    def relational(self) -> bool:
        return self.kind in RELATIONAL


def make_scene(rng: Rng) -> Scene:
    """Three to six things that do not touch, no two with the same shape and colour."""
    count = int(rng.integers(3, MOST + 1))
    pairs = rng.permutation(len(SHAPES) * len(COLOURS))[:count]
    things: list[Thing] = []
    while len(things) < count:
        pair = int(pairs[len(things)])
        radius = float(rng.uniform(5.0, 7.5))
        x, y = (float(rng.uniform(radius + 1, SIZE - radius - 1)) for _ in range(2))
        if all(math.hypot(x - other.x, y - other.y) >= APART for other in things):
            shape, colour = SHAPES[pair % len(SHAPES)], tuple(COLOURS)[pair // len(SHAPES)]
            turn = float(rng.uniform(-0.3, 0.3))
            things.append(Thing(shape=shape, colour=colour, x=x, y=y, radius=radius, turn=turn))
    ground = tuple(int(value) for value in rng.integers(225, 256, 3))
    return Scene(things=tuple(things), ground=ground, grain=int(rng.integers(2**31)))  # type: ignore[arg-type]


def draw(scene: Scene) -> NDArray[np.uint8]:
    """The picture, (S, S, 3), with smooth edges and a little noise in colours and ground."""
    rng = np.random.default_rng(scene.grain)
    pixels = np.empty((SIZE, SIZE, 3), dtype=np.float32)
    pixels[:] = scene.ground
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.float32) + 0.5
    for thing in scene.things:
        inside = coverage(thing, columns - thing.x, rows - thing.y)[..., None]  # (S, S, 1)
        colour = np.float32(COLOURS[thing.colour]) + rng.uniform(-15, 15, 3).astype(np.float32)
        pixels += inside * (colour - pixels)
    pixels += rng.normal(0, 3, pixels.shape).astype(np.float32)
    return pixels.clip(0, 255).astype(np.uint8)  # type: ignore[no-any-return]


def coverage(thing: Thing, dx: NDArray[np.float32], dy: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much of each pixel a thing covers, 0 to 1. dx, dy: the pixels' distances from its centre."""
    cosine, sine = math.cos(thing.turn), math.sin(thing.turn)
    x, y = cosine * dx + sine * dy, cosine * dy - sine * dx
    if thing.shape == "circle":
        depth = thing.radius - np.hypot(x, y)
    elif thing.shape == "square":
        depth = 0.88 * thing.radius - np.maximum(np.abs(x), np.abs(y))
    else:  # a triangle that points up, whose sides have equal distances from the centre
        slope = math.sqrt(3) / 2
        depth = 0.62 * thing.radius - np.maximum(y, np.maximum(slope * x - y / 2, -slope * x - y / 2))
    return (depth + 0.5).clip(0, 1)  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """A question without its wording."""

    answer: str
    slots: dict[str, str]  # values for the wording: {"colour": "red", "side": "left"}
    about: tuple[int, ...] = ()
    found: tuple[int, ...] = ()


Finder = Callable[[Sequence[Thing], Rng], Iterator[Meaning]]


def unique(things: Sequence[Thing]) -> Iterator[tuple[int, dict[str, str]]]:
    """Each thing with every description that fits it alone: colour and shape, or one of them where that is enough."""
    for i, thing in enumerate(things):
        yield i, {"anchor_colour": thing.colour, "anchor_shape": thing.shape}
        if sum(other.shape == thing.shape for other in things) == 1:
            yield i, {"anchor_shape": thing.shape}
        if sum(other.colour == thing.colour for other in things) == 1:
            yield i, {"anchor_colour": thing.colour}


def on_side(thing: Thing, anchor: Thing, side: str) -> float:
    """By how many pixels a thing is on that side of another; negative if it is on the opposite side."""
    return {
        "left": anchor.x - thing.x,
        "right": thing.x - anchor.x,
        "top": anchor.y - thing.y,
        "bottom": thing.y - anchor.y,
    }[side]


def sides_of(things: Sequence[Thing], anchor: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Each side of a thing for which it is clear of all others whether they are there, and those that are."""
    for side in SIDES:
        by = [on_side(thing, things[anchor], side) for i, thing in enumerate(things) if i != anchor]
        if all(abs(pixels) >= MARGIN for pixels in by):
            others = [i for i in range(len(things)) if i != anchor]
            yield side, tuple(i for i, pixels in zip(others, by, strict=True) if pixels > 0)


def attribute_of_one(wanted: str, given: str) -> Finder:
    """What shape is the red thing? What colour is the circle?"""

    def find(things: Sequence[Thing], rng: Rng) -> Iterator[Meaning]:
        for i, thing in enumerate(things):
            value = getattr(thing, given)
            if sum(getattr(other, given) == value for other in things) == 1:
                yield Meaning(answer=getattr(thing, wanted), slots={given: value}, about=(i,), found=(i,))

    return find


def is_there(things: Sequence[Thing], rng: Rng) -> Iterator[Meaning]:
    """Is there a green square? Where the answer is no, the scene mostly has something green, or another square."""
    here = {(thing.colour, thing.shape): i for i, thing in enumerate(things)}
    for (colour, shape), i in here.items():
        yield Meaning(answer="yes", slots={"colour": colour, "shape": shape}, about=(i,), found=(i,))
    colours = [thing.colour for thing in things] + [str(rng.choice(tuple(COLOURS)))]
    for colour in colours:
        for shape in SHAPES:
            if (colour, shape) not in here:
                yield Meaning(answer="no", slots={"colour": colour, "shape": shape})


def how_many_with(attribute: str) -> Finder:
    """How many circles, how many red things are there?"""

    def find(things: Sequence[Thing], rng: Rng) -> Iterator[Meaning]:
        for value in SHAPES if attribute == "shape" else COLOURS:
            found = tuple(i for i, thing in enumerate(things) if getattr(thing, attribute) == value)
            yield Meaning(answer=str(len(found)), slots={attribute: value}, about=found, found=found)

    return find


def half(along: str) -> Finder:
    """Is the red circle in the left or in the right half?"""

    def find(things: Sequence[Thing], rng: Rng) -> Iterator[Meaning]:
        for i, names in unique(things):
            by = (things[i].x if along == "x" else things[i].y) - SIZE / 2
            if abs(by) >= MARGIN:
                low, high = SIDES[:2] if along == "x" else SIDES[2:]
                yield Meaning(answer=low if by < 0 else high, slots=names, about=(i,), found=(i,))

    return find


def attribute_beside(wanted: str) -> Finder:
    """What shape is the thing left of the red circle? Only where exactly one thing is there."""

    def find(things: Sequence[Thing], rng: Rng) -> Iterator[Meaning]:
        for i, names in unique(things):
            for side, there in sides_of(things, i):
                if len(there) == 1:
                    answer = getattr(things[there[0]], wanted)
                    yield Meaning(answer=answer, slots=names | {"side": side}, about=(i,), found=there)

    return find


def is_there_beside(things: Sequence[Thing], rng: Rng) -> Iterator[Meaning]:
    """Is there a green square above the triangle? Where the answer is no, it is somewhere else in the scene."""
    for i, names in unique(things):
        for side, there in sides_of(things, i):
            for j, thing in enumerate(things):
                if j != i:
                    slots = names | {"side": side, "colour": thing.colour, "shape": thing.shape}
                    found = (j,) if j in there else ()
                    yield Meaning(answer="yes" if found else "no", slots=slots, about=(i,), found=found)


def by_distance(things: Sequence[Thing], anchor: int) -> list[tuple[float, int]]:
    """(distance of the centres in pixels, index) of the other things, nearest first."""
    x, y = things[anchor].x, things[anchor].y
    return sorted((math.hypot(t.x - x, t.y - y), j) for j, t in enumerate(things) if j != anchor)


def attribute_by_distance(wanted: str, which: str) -> Finder:
    """What colour is the thing nearest to, furthest from the red circle?"""

    def find(things: Sequence[Thing], rng: Rng) -> Iterator[Meaning]:
        for i, names in unique(things):
            distances = by_distance(things, i)
            if which == "furthest":
                distances.reverse()
            if len(distances) >= 2 and abs(distances[0][0] - distances[1][0]) >= MARGIN:
                found = distances[0][1]
                yield Meaning(answer=getattr(things[found], wanted), slots=names, about=(i,), found=(found,))

    return find


def how_many_alike(attribute: str) -> Finder:
    """How many others have the shape of the red thing?"""

    def find(things: Sequence[Thing], rng: Rng) -> Iterator[Meaning]:
        for i, names in unique(things):
            if f"anchor_{attribute}" in names and len(names) == 1:
                continue  # its description says that no other thing is like it
            value = getattr(things[i], attribute)
            found = tuple(j for j, t in enumerate(things) if j != i and getattr(t, attribute) == value)
            yield Meaning(answer=str(len(found)), slots=names, about=(i,), found=found)

    return find


def how_many_beside(things: Sequence[Thing], rng: Rng) -> Iterator[Meaning]:
    """How many things are left of the red circle?"""
    for i, names in unique(things):
        for side, there in sides_of(things, i):
            yield Meaning(answer=str(len(there)), slots=names | {"side": side}, about=(i,), found=there)


KINDS: dict[str, Finder] = {
    "shape of a colour": attribute_of_one("shape", "colour"),
    "colour of a shape": attribute_of_one("colour", "shape"),
    "is there": is_there,
    "how many of a shape": how_many_with("shape"),
    "how many of a colour": how_many_with("colour"),
    "left or right half": half("x"),
    "upper or lower half": half("y"),
    "shape beside": attribute_beside("shape"),
    "colour beside": attribute_beside("colour"),
    "is there beside": is_there_beside,
    "shape of the nearest": attribute_by_distance("shape", "nearest"),
    "colour of the nearest": attribute_by_distance("colour", "nearest"),
    "shape of the furthest": attribute_by_distance("shape", "furthest"),
    "colour of the furthest": attribute_by_distance("colour", "furthest"),
    "how many of the same shape": how_many_alike("shape"),
    "how many of the same colour": how_many_alike("colour"),
    "how many beside": how_many_beside,
}
RELATIONAL = frozenset(tuple(KINDS)[7:])


def ask(scene: Scene, rng: Rng, *, kind: str | None = None, language: str | None = None) -> Question | None:
    """A question on a scene; `None` where the scene allows none of that kind.

    The answer is drawn first, uniformly among those that the kind can have here, then a question with that answer.
    """
    from demo_app_image_text_fusion.words import phrase

    kind = kind or str(rng.choice(tuple(KINDS)))
    language = language or str(rng.choice(LANGUAGES))
    by_answer: dict[str, list[Meaning]] = {}
    for meaning in KINDS[kind](scene.things, rng):
        by_answer.setdefault(meaning.answer, []).append(meaning)
    if not by_answer:
        return None
    same = by_answer[sorted(by_answer)[int(rng.integers(len(by_answer)))]]
    meaning = same[int(rng.integers(len(same)))]
    return Question(
        text=phrase(kind, meaning.slots, language, rng),
        answer=meaning.answer,
        kind=kind,
        language=language,
        about=meaning.about,
        found=meaning.found,
    )


def asked(seed: int, kind: str | None = None, language: str | None = None) -> Iterator[tuple[Scene, Question]]:
    """An endless stream of scenes, each with a question of that kind; the same for the same seed.

    Raises `RuntimeError` if `TRIES` scenes in a row allow none.
    """
    misses = 0
    for number in itertools.count():
        rng = np.random.default_rng((seed, number))
        scene = make_scene(rng)
        question = ask(scene, rng, kind=kind, language=language)
        if question is not None:
            misses = 0
            yield scene, question
        elif (misses := misses + 1) == TRIES:
            raise RuntimeError(f"no scene has a question of the kind {kind!r}")


def examples(
    seed: int, count: int, questions: int = 1, weights: Mapping[str, float] | None = None
) -> Iterator[tuple[Scene, Question]]:
    """`count` questions, `questions` on each scene; the same for the same seed.

    Not relational and relational ones alternate, with kinds drawn uniformly; or, with `weights`, kinds are drawn with
    those relative frequencies.
    """
    alone, related = (tuple(kind for kind in KINDS if (kind in RELATIONAL) == wanted) for wanted in (False, True))
    shares = np.array([*weights.values()]) / sum(weights.values()) if weights else None
    made, number = 0, 0
    while made < count:
        rng = np.random.default_rng((seed, number))
        number += 1
        scene = make_scene(rng)
        for _ in range(questions):
            question = None
            while question is None:
                kinds = tuple(weights) if weights else related if made % 2 else alone
                question = ask(scene, rng, kind=str(rng.choice(kinds, p=shares)))
            yield scene, question
            made += 1
            if made == count:
                return
