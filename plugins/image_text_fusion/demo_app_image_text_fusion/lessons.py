"""The examples to try: scenes with a question, each of which makes a point."""

from __future__ import annotations

from dataclasses import dataclass

from demo_app.page.lessons import Lesson


@dataclass(frozen=True, kw_only=True)
class SceneLesson(Lesson):
    """A scene with a question, and what to notice."""

    seed: int  # of the scene
    language: str = "en"  # of the question

    @property
    def kind(self) -> str:
        """The kind of question, of `scenes.KINDS`: its title."""
        return self.title


LESSONS = (
    SceneLesson(
        title="shape of a colour",
        seed=11,
        lesson="One thing alone: the word for the colour should find its patch.",
    ),
    SceneLesson(
        title="colour beside",
        seed=12,
        lesson="Two steps: find the thing that is named, then look on that side of it.",
    ),
    SceneLesson(
        title="is there beside",
        seed=13,
        lesson="Yes or no. Make it blind: what does it say then, and how surely?",
    ),
    SceneLesson(
        title="how many of the same shape",
        seed=14,
        lesson="Counting: nothing is named but one thing and 'the same'.",
    ),
    SceneLesson(
        title="colour of the nearest",
        seed=15,
        language="zh",
        lesson="离……最近: distances between all things, from positions alone.",
    ),
    SceneLesson(
        title="shape beside",
        seed=16,
        language="zh",
        lesson="The same network reads Chinese: do the same heads look at the same things?",
    ),
)
