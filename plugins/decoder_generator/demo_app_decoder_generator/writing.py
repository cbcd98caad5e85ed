"""Texts while they are being written: whom Stop stops, and how often the page sees progress. Imports no torch."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from demo_app_decoder_generator.engine import Text
    from demo_app_decoder_generator.writer import Writer

PAUSE = 0.06  # seconds between two updates of the page: what an event costs must not slow the decode loop down


class Sessions:
    """The texts that are being written, by session."""

    def __init__(self) -> None:
        self._texts: dict[str, list[Text]] = {}
        self._lock = threading.Lock()  # guards `_texts`

    @contextmanager
    def writing(self, session: str, *texts: Text) -> Iterator[None]:
        """Inside, `stop` finds these texts. They are stopped on the way out, also when the visitor is gone."""
        with self._lock:
            self._texts.setdefault(session, []).extend(texts)
        try:
            yield
        finally:
            with self._lock:
                others = [text for text in self._texts[session] if text not in texts]
                if others:
                    self._texts[session] = others
                else:
                    del self._texts[session]
            for text in texts:
                text.stop()

    def stop(self, session: str) -> None:
        """Stop all texts of that session; what is written stays."""
        with self._lock:
            for text in self._texts.get(session, ()):
                text.stop()


class Progress(NamedTuple):
    """What was written so far, and how fast."""

    written: str
    tokens: int
    first: float  # seconds until the first token
    seconds: float  # since the first token


def paced(writer: Writer, text: Text, stop: Sequence[str]) -> Iterator[Progress]:
    """The progress of a text, up to the first of the `stop` strings: every `PAUSE` seconds, and at the end.

    The pause grows with the number of texts in the batch, so that updates for many cost what those for one do.
    """
    from demo_app_decoder_generator.stream import TextStream

    stream = TextStream(writer.tokenizer, stop=stop, prompt_ids=text.prompt)
    written, tokens, first, started, updated = "", 0, 0.0, time.perf_counter(), 0.0
    for token in text:
        if token.id in text.stop_ids:
            break
        tokens += 1
        if tokens == 1:
            first, started = token.waited, time.perf_counter()
        written += stream.push(token.id)
        now = time.perf_counter()
        if now - updated >= PAUSE * max(1, writer.engine.writing / 2):
            updated = now
            yield Progress(writer.printed(written), tokens, first, now - started)
        if stream.stopped:
            break
    seconds = time.perf_counter() - started
    yield Progress(writer.printed(written + stream.flush()), tokens, first, seconds)
