"""Prompts to try, and what to notice in each."""

from __future__ import annotations

from dataclasses import dataclass

from demo_app.page import lessons


@dataclass(frozen=True, kw_only=True)
class Lesson(lessons.Lesson):
    """A prompt, the checkpoint that continues it, and the form of a poem."""

    prompt: str
    checkpoint: str
    form: str = "five"


LESSONS = (
    Lesson(
        title="Romeo speaks",
        prompt="ROMEO:",
        checkpoint="shakespeare",
        lesson="It learned letters, not words: names, lines and speeches are its own idea of what comes next.",
    ),
    Lesson(
        title="To be",
        prompt="To be, or not to be",
        checkpoint="shakespeare",
        lesson="Does it know the line? Hamlet is not in what it was trained on. Set the temperature to 0 and see it "
        "loop.",
    ),
    Lesson(
        title="五言: 春夜",
        prompt="春夜",
        checkpoint="tang",
        lesson="A poem of five characters a line for a title: “spring night”.",
    ),
    Lesson(
        title="七言: 送友人",
        prompt="送友人",
        checkpoint="tang",
        form="seven",
        lesson="Seven characters a line: “seeing off a friend”. Count them.",
    ),
    Lesson(
        title="首句",
        prompt="床前明月光，",
        checkpoint="tang",
        lesson="A first line without a title. The famous next one was in the training data: does it come?",
    ),
    Lesson(
        title="A fact",
        prompt="The capital of France is",
        checkpoint="smollm2",
        lesson="135 million parameters know capitals. Step by step: how sure was it, and in which layer did Paris "
        "appear?",
    ),
)
