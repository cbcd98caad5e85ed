"""The examples to try: pictures, each of which makes a point."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from demo_app.page.lessons import Lesson

ASSETS = Path(__file__).parent / "assets"


@dataclass(frozen=True, kw_only=True)
class PictureLesson(Lesson):
    """A picture to try, and what to notice in it."""

    path: Path


def lessons() -> tuple[PictureLesson, ...]:
    """The lessons whose picture exists: some are files of the gradio package, which may move them."""
    package = importlib.util.find_spec("gradio")
    gradio = Path(package.origin or "").parent / "media_assets" / "images" if package else ASSETS
    known = (
        PictureLesson(
            title="Cat",
            path=ASSETS / "cat.jpg",
            lesson="Where did it look: at the ears, the eyes, the fur?",
        ),
        PictureLesson(
            title="Horse",
            path=ASSETS / "horse.png",
            lesson="A silhouette: no colour, no texture. What is left of a horse for a network that learned from "
            "photographs?",
        ),
        PictureLesson(
            title="Bus",
            path=gradio / "bus.png",
            lesson="A drawing, and a class that the ten do not have. Truck or automobile would be near.",
        ),
        PictureLesson(
            title="Lion",
            path=gradio / "lion.jpg",
            lesson="None of the ten classes. It cannot say “none”: it shares its certainty among what it knows.",
        ),
        PictureLesson(
            title="Rocket",
            path=ASSETS / "rocket.jpg",
            lesson="Ten classes have no rocket; with 1,000 it is a missile. Where it looks tells.",
        ),
        PictureLesson(
            title="Espresso",
            path=ASSETS / "coffee.jpg",
            lesson="Choose MobileNet in the picker: espresso, cup and saucer are classes of their own there.",
        ),
    )
    return tuple(lesson for lesson in known if lesson.path.is_file())
