"""Scenes and questions: an independent parser, which knows the words but not the generator, checks each answer."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict

import numpy as np
import pytest
from demo_app_image_text_fusion import scenes
from demo_app_image_text_fusion.scenes import (
    ANSWERS,
    COLOURS,
    KINDS,
    RELATIONAL,
    Question,
    Scene,
    Thing,
    draw,
    examples,
)
from demo_app_image_text_fusion.words import TEMPLATES

EXAMPLES = list(examples(20, 3000, 3))

SHAPE_WORDS = {
    "circle": ("circles", "circle", "discs", "disc", "圆形", "圆圈", "圆"),
    "square": ("squares", "square", "boxes", "box", "正方形", "方块", "方形"),
    "triangle": ("triangles", "triangle", "三角形", "三角"),
}
COLOUR_WORDS = {
    "red": ("red", "红"),
    "green": ("green", "绿"),
    "blue": ("blue", "蓝"),
    "yellow": ("yellow", "黄"),
    "purple": ("purple", "violet", "紫"),
    "orange": ("orange", "橙"),
}
SIDE_WORDS = {
    "left": ("left", "左"),
    "right": ("right", "右"),
    "top": ("above", "higher", "over", "上"),
    "bottom": ("below", "lower", "under", "beneath", "下"),
}


def first_word(text: str, words: dict[str, tuple[str, ...]]) -> tuple[int, str] | None:
    """The position of the first of the words in a text, and its meaning."""
    found = [
        (text.index(form), -len(form), meaning) for meaning, forms in words.items() for form in forms if form in text
    ]
    return None if not found else (min(found)[0], min(found)[2])


def description(text: str) -> dict[str, str]:
    """The colour and the shape in a phrase."""
    found = {"colour": first_word(text, COLOUR_WORDS), "shape": first_word(text, SHAPE_WORDS)}
    return {name: hit[1] for name, hit in found.items() if hit}


def fitting(scene: Scene, wanted: dict[str, str]) -> list[Thing]:
    return [t for t in scene.things if all(getattr(t, name) == value for name, value in wanted.items())]


def parts(question: Question) -> tuple[str, str]:
    """A question split into what it asks for and the thing it names, by the grammar of its language."""
    text = question.text
    if question.language == "en":
        text = re.sub(
            r"(the|what|same|its) (shape|colour|color|number|thing|object|one|figure)\b(?! (left|right))", r"", text
        )
        match = re.search(r"\ban? (\w+ \w+)", question.text)
        asked = match[1] if match else ""
        rest = question.text.replace(asked, "") if asked else question.text
        anchors = re.findall(r"the ((?:red|green|blue|yellow|purple|violet|orange)? ?\w+)", rest)
        anchors = [a for a in anchors if description(a)]
        return asked, anchors[0] if anchors else ""
    if question.kind == "is there beside":
        if text.endswith("吗？") and "有" not in text:
            asked, anchor = text.split("在", 1)
            return asked, anchor
        anchor, asked = re.split("有没有|有", text, maxsplit=1)
        return asked, anchor
    return "", text


def answer(scene: Scene, question: Question) -> str:
    """The right answer, from the words of the question."""
    kind, text = question.kind, question.text
    asked, anchor_text = parts(question)
    if kind in ("shape of a colour", "colour of a shape"):
        (thing,) = fitting(scene, {k: v for k, v in description(text).items() if k != kind.split()[0]})
        return thing.shape if kind.startswith("shape") else thing.colour
    if kind == "is there":
        return "yes" if fitting(scene, description(text)) else "no"
    if kind in ("how many of a shape", "how many of a colour"):
        name = kind.split()[-1]
        return str(len(fitting(scene, {name: description(text)[name]})))
    wanted = description(anchor_text)
    (anchor,) = fitting(scene, wanted)
    others = [thing for thing in scene.things if thing is not anchor]
    if kind == "left or right half":
        return "left" if anchor.x < scenes.SIZE / 2 else "right"
    if kind == "upper or lower half":
        return "top" if anchor.y < scenes.SIZE / 2 else "bottom"
    if "nearest" in kind or "furthest" in kind:
        ordered = sorted(others, key=lambda thing: math.dist((thing.x, thing.y), (anchor.x, anchor.y)))
        return getattr(ordered[0 if "nearest" in kind else -1], kind.split()[0])
    if "same" in kind:
        name = kind.split()[-1]
        return str(sum(getattr(thing, name) == getattr(anchor, name) for thing in others))
    found = first_word(text, SIDE_WORDS)
    assert found is not None
    there = [
        thing
        for thing in others
        if {
            "left": thing.x < anchor.x,
            "right": thing.x > anchor.x,
            "top": thing.y < anchor.y,
            "bottom": thing.y > anchor.y,
        }[found[1]]
    ]
    if kind == "how many beside":
        return str(len(there))
    if kind == "is there beside":
        return "yes" if any(thing in there for thing in fitting(scene, description(asked))) else "no"
    (thing,) = there
    return thing.shape if kind.startswith("shape") else thing.colour


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_answer_is_what_an_independent_reader_finds(kind: str, language: str) -> None:
    checked = 0
    for number in range(250):
        rng = np.random.default_rng((7, number))
        scene = scenes.make_scene(rng)
        question = scenes.ask(scene, rng, kind=kind, language=language)
        if question is not None:
            assert answer(scene, question) == question.answer, (question, scene.things)
            checked += 1
    assert checked > 20


def test_the_same_seed_gives_the_same_and_another_seed_others() -> None:
    again = list(examples(20, 3000, 3))
    assert again == EXAMPLES
    assert all((draw(a) == draw(b)).all() for (a, _), (b, _) in zip(EXAMPLES[:9], again[:9], strict=True))
    assert [question for _, question in examples(21, 50)] != [question for _, question in EXAMPLES[:50]]


def test_half_of_the_questions_are_relational_and_every_kind_comes_up() -> None:
    kinds = Counter(question.kind for _, question in EXAMPLES)
    assert set(kinds) == set(KINDS)
    assert sum(kinds[kind] for kind in RELATIONAL) == len(EXAMPLES) / 2
    assert {question.language for _, question in EXAMPLES} == {"en", "zh"}


def test_the_question_alone_tells_little() -> None:
    """The most frequent answer to a kind is right in less than half of the cases."""
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    for _, question in EXAMPLES:
        by_kind[question.kind][question.answer] += 1
    right = sum(counter.most_common(1)[0][1] for counter in by_kind.values())
    assert right / len(EXAMPLES) < 0.45


def test_wordings_hardly_repeat() -> None:
    assert len({question.text for _, question in EXAMPLES}) > 0.7 * len(EXAMPLES)
    assert all(len(wordings) >= 2 for kinds in TEMPLATES.values() for wordings in kinds.values())
    assert all("{" not in question.text and "[" not in question.text for _, question in EXAMPLES)


def test_answers_are_known_and_what_is_pointed_at_is_there() -> None:
    for scene, question in EXAMPLES:
        assert question.answer in ANSWERS
        assert all(0 <= i < len(scene.things) for i in (*question.about, *question.found))


def test_things_do_not_touch_and_look_as_they_are_called() -> None:
    for scene, _ in EXAMPLES[:300:3]:
        pixels = draw(scene).astype(float)
        for i, thing in enumerate(scene.things):
            middle = pixels[int(thing.y), int(thing.x)]
            nearest = min(COLOURS, key=lambda name: float(np.abs(middle - COLOURS[name]).sum()))
            assert nearest == thing.colour
            for other in scene.things[:i]:
                assert math.dist((thing.x, thing.y), (other.x, other.y)) >= scenes.APART
                assert (thing.shape, thing.colour) != (other.shape, other.colour)


def test_areas_tell_the_shapes_apart() -> None:
    """For one radius: the circle's, the square's and the triangle's pixels are those of geometry."""
    expected = {"circle": math.pi * 49, "square": (2 * 0.88 * 7) ** 2, "triangle": 3 * math.sqrt(3) * (0.62 * 7) ** 2}
    for shape, area in expected.items():
        thing = Thing(shape=shape, colour="red", x=32, y=32, radius=7.0)
        rows, columns = np.mgrid[:64, :64].astype(np.float32) + 0.5
        found = float(scenes.coverage(thing, columns - 32, rows - 32).sum())
        assert found == pytest.approx(area, rel=0.06)
