"""Lines of facts and notes: which model, how fast, and what the visitor should know. HTML out, no gradio."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from demo_app import viz
from demo_app.api import display_name
from demo_app.i18n import say
from demo_app_decoder_generator.example import example

if TYPE_CHECKING:
    from demo_app_decoder_generator.writer import Writer
    from demo_app_decoder_generator.writing import Progress


def opening_view() -> str:
    """On the text that a freshly opened page shows."""
    facts = (
        example().checkpoint,
        say("temperature {value}", value=f"{example().temperature:g}"),
        say("seed {number}", number=example().seed),
    )
    return _facts(facts) + viz.note("Written beforehand. Press Generate for another; Stop ends it.")


def model_view(checkpoint: str, writer: Writer, *facts: str) -> str:
    """One line on the model, and further facts in the visitor's language."""
    parameters = say("{count} M parameters", count=f"{writer.parameters / 1e6:,.1f}")
    return _facts((display_name(checkpoint), parameters, writer.precision, *facts))


def notes_view(notes: Iterable[str]) -> str:
    """Each note as a sentence."""
    return "".join(viz.note(say("{note}.", note=note[0].upper() + note[1:])) for note in notes)


def speed(progress: Progress) -> tuple[str, ...]:
    """Tokens, time to the first, and tokens a second after it."""
    facts = [
        say("{count} tokens", count=f"{progress.tokens:,}"),
        say("first after {count} ms", count=f"{1000 * progress.first:,.0f}"),
    ]
    if progress.tokens > 1 and progress.seconds > 0:
        facts.append(say("{count} tokens/s", count=f"{(progress.tokens - 1) / progress.seconds:,.0f}"))
    return tuple(facts)


def _facts(facts: Iterable[str]) -> str:
    return viz.note(" · ".join(facts), kind="card")
