"""Whether an answer is the expected one: the same words, and the same numbers up to rounding."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

NUMBER = re.compile(r"(?<![\w.#])-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?(?![\w])")
DURATION = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?=(?:</\w+>)?\s?(?:ms|µs|s|seconds?|minutes?|tokens/s|/s|times|x|×)\b)")
PICTURE = re.compile(r"data:image/[a-z+]+;base64,([A-Za-z0-9+/=]+)")
FILE = re.compile(r"[^\s\"'=]*/([0-9a-f]{40,64})/([^\s\"'?]+)")
ID = re.compile(r"\b(?:id|for|href|aria-[a-z]+)=\\?\"[^\"]*\"|url\(#[^)]*\)")
RELATIVE = 5e-3


@dataclass(frozen=True)
class Shown:
    """An answer taken apart: words, and the numbers between them, one more word than numbers."""

    words: tuple[str, ...]
    numbers: tuple[str, ...]

    @classmethod
    def of(cls, data: Sequence[Any], download: Callable[[str], bytes]) -> Shown:
        """Of an action's data: files and pictures by what they show, durations and ids left out."""
        text = json.dumps([_plain(value, download) for value in data], ensure_ascii=False, sort_keys=True)
        text = ID.sub("", FILE.sub(r"\2", DURATION.sub("N", text)))
        return cls(tuple(NUMBER.split(text)), tuple(NUMBER.findall(text)))


@dataclass(frozen=True)
class Expected:
    """What an action answers, from several runs: where they differ, nothing is expected."""

    shown: Shown
    loose: frozenset[int]  # places of numbers that differed
    words: bool  # whether the words were the same each time

    @classmethod
    def of(cls, runs: Sequence[Shown]) -> Expected:
        first, *others = runs
        if any(one.words != first.words for one in others):
            return cls(first, frozenset(), False)
        loose = {
            n for one in others for n, pair in enumerate(zip(first.numbers, one.numbers, strict=True)) if far(*pair)
        }
        return cls(first, frozenset(loose), True)

    def difference(self, shown: Shown) -> str | None:
        """Where the answer differs, in a few words; `None` if it does not."""
        if not self.words:
            return None if shown.words[0][:20] == self.shown.words[0][:20] else "it begins otherwise"
        for number, (mine, other) in enumerate(zip(self.shown.words, shown.words, strict=False)):
            if mine != other:
                place = next((n for n, pair in enumerate(zip(mine, other, strict=False)) if pair[0] != pair[1]), 0)
                return f"words {number}: expected {mine[place:][:80]!r}, got {other[place:][:80]!r}"
        if len(self.shown.words) != len(shown.words):
            return f"{len(shown.words)} pieces instead of {len(self.shown.words)}"
        for number, (one, two) in enumerate(zip(self.shown.numbers, shown.numbers, strict=True)):
            if number not in self.loose and far(one, two):
                return f"expected {one}, got {two}, after {self.shown.words[number][-60:]!r}"
        return None


def far(one: str, two: str) -> bool:
    """Whether two numbers differ by more than rounding and the order of sums explain."""
    a, b = float(one.replace(",", "")), float(two.replace(",", ""))
    decimals = max(len(n.partition(".")[2]) for n in (one, two))
    step = 2.0 * 10.0 ** -min(decimals, 4) if decimals else float(abs(a) >= 10)  # a rounded percentage; no index
    return abs(a - b) > max(step, RELATIVE * abs(a))


def _plain(value: Any, download: Callable[[str], bytes]) -> Any:
    if isinstance(value, dict):
        if isinstance(value.get("path"), str) and "url" in value:
            return _content(value["path"], download)
        return {key: _plain(one, download) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one, download) for one in value]
    if isinstance(value, str):
        return PICTURE.sub(lambda found: _picture(base64.b64decode(found[1])), value)
    return value


def _content(path: str, download: Callable[[str], bytes]) -> str:
    data, kind = download(path), path.rpartition(".")[2].lower()
    if kind in {"png", "jpg", "jpeg", "webp", "gif"}:
        return _picture(data)
    return data.decode(errors="replace") if kind in {"csv", "txt", "json", "md"} else f"a {kind} file"


def _picture(data: bytes) -> str:
    """A picture as its size and the mean of each colour in each quarter."""
    with Image.open(io.BytesIO(data)) as opened:
        pixels = np.asarray(opened.convert("RGB"), dtype=np.float64)
    middle = [max(1, length // 2) for length in pixels.shape[:2]]
    quarters = [
        quarter.mean((0, 1)) if quarter.size else np.zeros(3)
        for half in (pixels[: middle[0]], pixels[middle[0] :])
        for quarter in (half[:, : middle[1]], half[:, middle[1] :])
    ]
    means = " ".join(f"{mean:.1f}" for quarter in quarters for mean in quarter)
    return f"picture {pixels.shape[1]} x {pixels.shape[0]}: {means}"
