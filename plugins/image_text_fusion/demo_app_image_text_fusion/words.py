"""The wordings of questions in English and Chinese, from templates and parts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

Rng = np.random.Generator

SHAPES = {
    "en": {"circle": ("circle", "disc"), "square": ("square", "box"), "triangle": ("triangle",)},
    "zh": {
        "circle": ("圆形", "圆", "圆圈"),
        "square": ("正方形", "方块", "方形"),
        "triangle": ("三角形", "三角"),
    },
}
COLOURS = {
    "en": {
        "red": ("red",),
        "green": ("green",),
        "blue": ("blue",),
        "yellow": ("yellow",),
        "purple": ("purple", "violet"),
        "orange": ("orange",),
    },
    "zh": {
        "red": ("红色", "红"),
        "green": ("绿色", "绿"),
        "blue": ("蓝色", "蓝"),
        "yellow": ("黄色", "黄"),
        "purple": ("紫色", "紫"),
        "orange": ("橙色", "橙"),
    },
}
SIDES = {
    "en": {
        "left": ("left of", "to the left of", "on the left side of", "on the left of"),
        "right": ("right of", "to the right of", "on the right side of", "on the right of"),
        "top": ("above", "higher than", "over"),
        "bottom": ("below", "lower than", "under", "beneath"),
    },
    "zh": {
        "left": ("左边", "左侧", "左面"),
        "right": ("右边", "右侧", "右面"),
        "top": ("上面", "上方", "上边"),
        "bottom": ("下面", "下方", "下边"),
    },
}

# {thing}: thing, object, ...   {anchor}: the red circle, the circle, the red thing   {side}: left of, above, ...
# {a}: a green square   {colour}, {shape}: words   [x|y]: x or y   [x|]: x or nothing
TEMPLATES: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "shape of a colour": (
            "[what|which] shape is the {colour} {thing}?",
            "what is the shape of the {colour} {thing}?",
            "what shape does the {colour} {thing} have?",
            "the {colour} {thing}: what shape is it?",
        ),
        "colour of a shape": (
            "[what|which] {color} is the {shape}?",
            "what is the {color} of the {shape}?",
            "what {color} does the {shape} have?",
            "the {shape}: what {color} is it?",
        ),
        "is there": (
            "is there {a}[| here| in the picture]?",
            "do you see {a}[| here| in the picture]?",
            "can {a} be seen[| here]?",
            "does the picture show {a}?",
        ),
        "how many of a shape": (
            "how many {shapes} are there[| here| in the picture]?",
            "how many {shapes} do you see?",
            "what is the number of {shapes}?",
            "count the {shapes}[.|]",
        ),
        "how many of a colour": (
            "how many {things} are {colour}?",
            "how many {colour} {things} are there[| here| in the picture]?",
            "what is the number of {colour} {things}?",
            "count the {colour} {things}[.|]",
        ),
        "left or right half": (
            "is {anchor} [on|in] the left or [on |in |]the right[| half| side]?",
            "which half is {anchor} in, left or right?",
            "{anchor}: left or right?",
        ),
        "upper or lower half": (
            "is {anchor} [at|in] the top or [at |in |]the bottom[| half]?",
            "which half is {anchor} in, top or bottom?",
            "{anchor}: top or bottom?",
        ),
        "shape beside": (
            "[what|which] shape is the {one} {side} {anchor}?",
            "what is the shape of the {one} {side} {anchor}?",
            "{side} {anchor} there is one {thing}: what shape is it?",
            "what shape does the {one} {side} {anchor} have?",
        ),
        "colour beside": (
            "[what|which] {color} is the {one} {side} {anchor}?",
            "what is the {color} of the {one} {side} {anchor}?",
            "{side} {anchor} there is one {thing}: what {color} is it?",
            "what {color} does the {one} {side} {anchor} have?",
        ),
        "is there beside": (
            "is there {a} {side} {anchor}?",
            "do you see {a} {side} {anchor}?",
            "{side} {anchor}, is there {a}?",
            "is {a} {side} {anchor}?",
        ),
        "shape of the nearest": (
            "[what|which] shape is the {thing} {nearest} {anchor}?",
            "what is the shape of the {thing} [that is |]{nearest} {anchor}?",
            "what shape is {nearest} {anchor}?",
        ),
        "colour of the nearest": (
            "[what|which] {color} is the {thing} {nearest} {anchor}?",
            "what is the {color} of the {thing} [that is |]{nearest} {anchor}?",
            "what {color} is {nearest} {anchor}?",
        ),
        "shape of the furthest": (
            "[what|which] shape is the {thing} {furthest} {anchor}?",
            "what is the shape of the {thing} [that is |]{furthest} {anchor}?",
            "what shape is {furthest} {anchor}?",
        ),
        "colour of the furthest": (
            "[what|which] {color} is the {thing} {furthest} {anchor}?",
            "what is the {color} of the {thing} [that is |]{furthest} {anchor}?",
            "what {color} is {furthest} {anchor}?",
        ),
        "how many of the same shape": (
            "how many other {things} have the same shape as {anchor}?",
            "how many others are shaped like {anchor}?",
            "[besides|apart from] {anchor}, how many have its shape?",
        ),
        "how many of the same colour": (
            "how many other {things} have the same {color} as {anchor}?",
            "how many others are coloured like {anchor}?",
            "[besides|apart from] {anchor}, how many have its {color}?",
        ),
        "how many beside": (
            "how many {things} are {side} {anchor}?",
            "how many {things} [do you see|can be seen] {side} {anchor}?",
            "what is the number of {things} {side} {anchor}?",
            "count the {things} {side} {anchor}[.|]",
        ),
    },
    "zh": {
        "shape of a colour": (
            "{colour}的{thing}是什么形状[的|]？",
            "{colour}的[那个|]{thing}的形状是什么？",
            "{colour}的是什么形状？",
        ),
        "colour of a shape": ("{shape}是什么颜色[的|]？", "[那个|]{shape}的颜色是什么？", "{shape}是哪种颜色？"),
        "is there": ("[图中|图里|这里|]有{a}吗？", "[图中|图里|]有没有{a}？", "能看到{a}吗？"),
        "how many of a shape": ("[图中|图里|]有[几|多少]个{shape}？", "{shape}有[几|多少]个？", "数一数{shape}有几个"),
        "how many of a colour": (
            "[图中|图里|]有[几|多少]个{colour}的{thing}？",
            "{colour}的{thing}有[几|多少]个？",
            "数一数{colour}的有几个",
        ),
        "left or right half": ("{anchor}在左边还是右边？", "{anchor}在[图的|]左半边还是右半边？"),
        "upper or lower half": ("{anchor}在上面还是下面？", "{anchor}在[图的|]上半部分还是下半部分？"),
        "shape beside": (
            "{anchor}{side}的{thing}是什么形状[的|]？",
            "在{anchor}{side}的[那个|]是什么形状？",
            "{anchor}{side}那个{thing}的形状是什么？",
        ),
        "colour beside": (
            "{anchor}{side}的{thing}是什么颜色[的|]？",
            "在{anchor}{side}的[那个|]是什么颜色？",
            "{anchor}{side}那个{thing}的颜色是什么？",
        ),
        "is there beside": (
            "{anchor}[的|]{side}有{a}吗？",
            "{anchor}[的|]{side}有没有{a}？",
            "{a}在{anchor}[的|]{side}吗？",
        ),
        "shape of the nearest": (
            "[离|距离]{anchor}最近的[{thing}|]是什么形状[的|]？",
            "最靠近{anchor}的[{thing}|]是什么形状？",
        ),
        "colour of the nearest": (
            "[离|距离]{anchor}最近的[{thing}|]是什么颜色[的|]？",
            "最靠近{anchor}的[{thing}|]是什么颜色？",
        ),
        "shape of the furthest": (
            "[离|距离]{anchor}最远的[{thing}|]是什么形状[的|]？",
            "{anchor}[离|]哪个{thing}最远，它是什么形状？",
        ),
        "colour of the furthest": (
            "[离|距离]{anchor}最远的[{thing}|]是什么颜色[的|]？",
            "{anchor}[离|]哪个{thing}最远，它是什么颜色？",
        ),
        "how many of the same shape": (
            "[还有|另外有|]几个{thing}和{anchor}形状[相同|一样]？",
            "跟{anchor}形状[相同|一样]的[其他{thing}|]还有几个？",
        ),
        "how many of the same colour": (
            "[还有|另外有|]几个{thing}和{anchor}颜色[相同|一样]？",
            "跟{anchor}颜色[相同|一样]的[其他{thing}|]还有几个？",
        ),
        "how many beside": (
            "{anchor}[的|]{side}有[几|多少]个{thing}？",
            "在{anchor}{side}的{thing}有[几|多少]个？",
            "数一数{anchor}{side}有几个{thing}",
        ),
    },
}
PARTS: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "thing": ("thing", "object", "shape", "figure"),
        "things": ("things", "objects", "figures"),
        "one": ("one", "thing", "object"),
        "color": ("colour", "color"),
        "nearest": ("nearest to", "closest to", "nearest", "least far from"),
        "furthest": ("furthest from", "farthest from", "most distant from"),
    },
    "zh": {"thing": ("东西", "图形", "物体")},
}
ANSWERS_ZH = {
    "circle": "圆形",
    "square": "正方形",
    "triangle": "三角形",
    "red": "红色",
    "green": "绿色",
    "blue": "蓝色",
    "yellow": "黄色",
    "purple": "紫色",
    "orange": "橙色",
    "yes": "是",
    "no": "否",
    "left": "左",
    "right": "右",
    "top": "上",
    "bottom": "下",
}


def phrase(kind: str, slots: Mapping[str, str], language: str, rng: Rng, templates: Sequence[str] = ()) -> str:
    """One wording of a question of that kind, drawn at random from `templates` or those of the kind."""
    parts = {name: pick(choices, rng) for name, choices in PARTS[language].items()}
    shapes, colours = SHAPES[language], COLOURS[language]
    if "shape" in slots:
        parts["shape"] = pick(shapes[slots["shape"]], rng)
        parts["shapes"] = plural(parts["shape"])
    if "colour" in slots:
        parts["colour"] = pick(colours[slots["colour"]], rng)
    if "shape" in slots and "colour" in slots:
        parts["a"] = one_such(parts["colour"], parts["shape"], language)
    if "side" in slots:
        parts["side"] = pick(SIDES[language][slots["side"]], rng)
    colour = pick(colours[slots["anchor_colour"]], rng) if "anchor_colour" in slots else ""
    shape = pick(shapes[slots["anchor_shape"]], rng) if "anchor_shape" in slots else ""
    if colour or shape:
        parts["anchor"] = named(colour, shape, parts["thing"], language)
    template = pick(templates or TEMPLATES[language][kind], rng)
    template = re.sub(r"\[([^\]]*)\]", lambda found: pick(found[1].split("|"), rng), template)
    return template.format(**parts)


def pick(choices: Sequence[str], rng: Rng) -> str:
    return choices[int(rng.integers(len(choices)))]


def plural(noun: str) -> str:
    return noun + ("es" if noun.endswith("x") else "s")


def one_such(colour: str, shape: str, language: str) -> str:
    """'a green square', '绿色的正方形'."""
    if language == "zh":
        return f"{colour}的{shape}" if colour.endswith("色") else f"{colour}{shape}"
    return f"{'an' if colour[0] in 'aeiou' else 'a'} {colour} {shape}"


def named(colour: str, shape: str, thing: str, language: str) -> str:
    """'the red circle', 'the red thing' or 'the circle'; '红色的圆形'."""
    if language == "zh":
        if not colour:
            return shape
        return one_such(colour, shape or thing, language)
    return " ".join(word for word in ("the", colour, shape or thing) if word)
