"""What a visitor or a client can do: one method per event. Imports no torch before the first event."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from demo_app import InputError
from demo_app.inputs.numbers import number_between, whole_number
from demo_app.page.lessons import pick
from demo_app.page.widgets import AVERAGE, index
from demo_app_translator.example import example
from demo_app_translator.explain import Seen, alignment, force, watch
from demo_app_translator.lessons import EXAMPLES
from demo_app_translator.texts import joined, sentences
from demo_app_translator.views import (
    about,
    alignment_lines,
    alignment_map,
    beam_tree,
    forced_strip,
    time_is_over,
    two_designs,
)

if TYPE_CHECKING:
    from demo_app import ModelHandle
    from demo_app_translator.translator import Translator

MAX_BEAMS = 8
MAX_PENALTY = 2
MAX_SENTENCES = 100
MAX_TOKENS = 2_000  # of all sentences together, as the encoder reads them
MAX_SECONDS = 60.0  # of one translation; what is not done by then is left out, and that is said
MAX_KEPT = 64 * 2**20  # bytes of attention that a session keeps; the sentences after that cannot be looked into
PAUSE = 0.5  # seconds after which the translation is shown again, grown or not: only then can Stop end it
MAX_CHOICE = 60  # characters of a sentence in the picker of sentences


class Actions:
    """The handlers of the tab's events. They draw from `Seen`, one per sentence, which the visitor's session keeps."""

    def __init__(self, handle: ModelHandle[Translator]) -> None:
        self.handle = handle

    def translate(self, text: str, checkpoint: str, beams: float, length_penalty: float) -> Iterator[tuple[Any, ...]]:
        """Translate a text, sentence by sentence; the translation is streamed as it grows.

        Args:
            text: in the language that the checkpoint reads.
            checkpoint: its name, such as en_de, en_zh or opus_mt_zh_en.
            beams: how many beginnings the search keeps, from 1 (greedy) to 8.
            length_penalty: finished translations are compared by log-probability over length to this power, 0 to 2.

        Returns:
            The translation; the model and its time, as HTML; the sentences that can be looked into; then, of the first
            sentence, as HTML: alignment of words, attention map, tree of beams, encoder-decoder beside decoder-only.
        """
        from demo_app_translator.search import Beam

        started = shown_at = time.monotonic()
        parts = sentences(text)
        check_count(len(parts))
        beams = whole_number(beams, "Beams", least=1, most=MAX_BEAMS)
        length_penalty = number_between(length_penalty, "Length penalty", 0, MAX_PENALTY)
        unchanged = (gr.skip(),) * 7
        with self.handle.use(checkpoint) as translator:
            settings = Beam(beams=beams, length_penalty=length_penalty, max_tokens=translator.config.max_tokens)
            translator.check(text)
            check_tokens(sum(translator.encode(parts)[1].sum(dim=1).tolist()))
            done: list[Seen] = []
            for part in parts:
                if done and time.monotonic() - started > MAX_SECONDS:
                    break
                shown = ""
                for step in watch(translator, part, settings, checkpoint, until=started + MAX_SECONDS):
                    if isinstance(step, Seen):
                        done.append(step)
                    elif step != shown or time.monotonic() - shown_at > PAUSE:
                        shown, shown_at = step, time.monotonic()
                        yield joined([*(one.text for one in done), shown], translator.config.target), *unchanged
        kept = within(done, MAX_KEPT)
        picker = gr.update(choices=sentence_choices(kept), value=0, visible=len(kept) > 1)
        whole = joined([one.text for one in done], done[0].target_language)
        late = time.monotonic() - started > MAX_SECONDS
        card = time_is_over(len(done), len(parts), MAX_SECONDS) + about(done) if late else about(done)
        yield whole, card, picker, *_drawings(done[0], AVERAGE, AVERAGE), kept

    def example(self, number: int) -> str:
        """One of the texts to try.

        Args:
            number: which one, from 0.

        Returns:
            The text.
        """
        return pick(EXAMPLES, number)

    def look(self, seen: list[Seen] | None, sentence: int, layer: str, head: str) -> tuple[str, ...]:
        """Look into a sentence of the last translation of this session (before that: the page's example).

        Args:
            seen: kept by the session.
            sentence: which one, from 0.
            layer: whose attention is drawn: average, or the layer's number from 1.
            head: average, or the head's number from 1.

        Returns:
            As HTML: alignment of words, attention map, tree of beams, encoder-decoder beside decoder-only.
        """
        seen = seen or [example()]
        if not isinstance(sentence, int) or not 0 <= sentence < len(seen):
            raise InputError(
                "There is no sentence {number}; choose one from 0 to {last}.", number=sentence, last=len(seen) - 1
            )
        return _drawings(seen[sentence], str(layer), str(head))

    def force(self, text: str, translation: str, checkpoint: str) -> str:
        """Teacher forcing: what the network thinks of a translation that is given, token by token.

        Args:
            text: one sentence in the language that the checkpoint reads.
            translation: what is to be judged.
            checkpoint: its name, such as en_de.

        Returns:
            Each token on a ground as strong as its surprise, and what the network would have written, as HTML.
        """
        first = sentences(str(text or ""))[0]
        if not str(translation or "").strip():
            raise InputError("There is no translation to judge; write one.")
        with self.handle.use(checkpoint) as translator:
            translator.check(first)
            return forced_strip(force(translator, first, translation.strip()))


def check_count(count: int) -> None:
    """Raise `InputError` for a text of too many sentences."""
    if count > MAX_SENTENCES:
        raise InputError(
            "The text has {count} sentences and the limit is {limit}; shorten it.", count=count, limit=MAX_SENTENCES
        )


def check_tokens(count: int) -> None:
    """Raise `InputError` for a text of too many tokens."""
    if count > MAX_TOKENS:
        raise InputError(
            "The text has {count} tokens and the limit is {limit}; shorten it.",
            count=f"{count:,}",
            limit=f"{MAX_TOKENS:,}",
        )


def within(seen: Sequence[Seen], most: int) -> list[Seen]:
    """The first of the sentences, as many as take that many bytes; one at least."""
    kept = list(seen[:1])
    left = most - seen[0].bytes
    for one in seen[1:]:
        left -= one.bytes
        if left < 0:
            break
        kept.append(one)
    return kept


def sentence_choices(seen: Sequence[Seen]) -> list[tuple[str, int]]:
    """What the picker of sentences offers: (label, number from 0)."""
    return [(f"{n + 1}. {''.join(one.target[:-1]).strip()[:MAX_CHOICE]}", n) for n, one in enumerate(seen)]


def _drawings(seen: Seen, layer: str, head: str) -> tuple[str, ...]:
    """What the pickers of sentence, layer and head change."""
    layers, heads = seen.cross.shape[:2]
    words = alignment(seen, index(layer, layers), index(head, heads))
    return alignment_lines(*words), alignment_map(*words), beam_tree(seen), two_designs(seen)
