"""One decode loop for all visitors of a checkpoint: texts join and leave a running batch between its steps.

A step reads all weights once, however many texts are in the batch, and reading them is most of its cost: eight visitors
together get nearly eight times the tokens of one (continuous batching: Yu et al. 2022, Orca, OSDI).
"""

# B rows in the batch, V vocabulary

from __future__ import annotations

import atexit
import contextlib
import logging
import queue
import threading
import time
import weakref
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

import torch
from torch import Tensor

from demo_app import DemoError, InputError
from demo_app.nn.cache import KeyValueCache
from demo_app_decoder_generator.model import Decoder
from demo_app_decoder_generator.sampling import Sampling, draw

log = logging.getLogger(__name__)

PLACES = 256  # tokens a row has room for at first; doubled when a text needs more
CHUNK = 128  # tokens of a prompt that are read between two steps of the batch, so that a long one delays no other
TRIES = 5  # latest passes by which a number of threads is judged
RETRY = 40  # every 40th pass uses the slower number of threads, in case it is the faster one by now
IDLE = 5.0  # seconds without work after which the loop ends and frees its cache


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """A thread that still computes while the interpreter shuts down crashes the process."""
    for engine in list(_engines):
        engine.close()


@dataclass(frozen=True, kw_only=True)
class Token:
    """The result of one step for one text."""

    id: int
    waited: float  # seconds since the token before; for the first token, since the text was requested


@dataclass(eq=False)
class Text:
    """A text that is being written. Iterate over it for its tokens; `stop` may be called from any thread."""

    prompt: tuple[int, ...]
    most: int  # tokens to write, at most
    sampling: Sampling
    stop_ids: tuple[int, ...]
    written: list[int] = field(default_factory=list)
    stopped: bool = False
    _tokens: queue.SimpleQueue[Token | BaseException | None] = field(default_factory=queue.SimpleQueue)
    _generator: torch.Generator = field(default_factory=torch.Generator)
    _last: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        if self.sampling.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(self.sampling.seed)

    def stop(self) -> None:
        """Leave the batch within one step."""
        self.stopped = True

    def __iter__(self) -> Iterator[Token]:
        """Tokens as they come. The text leaves the batch when the iteration ends, for whatever reason."""
        try:
            while (token := self._tokens.get()) is not None:
                if isinstance(token, BaseException):
                    raise token
                yield token
        finally:
            self.stop()

    def take(self, logits: Tensor) -> bool:
        """Draw the next token from logits (V,). Returns whether the text goes on. Called by the engine.

        Logits that cannot be drawn from end this text and no other.
        """
        try:
            token = draw(logits, self.sampling, self._generator, (*self.prompt, *self.written))
        except (RuntimeError, IndexError) as error:
            self.end(error)
            return False
        now = time.perf_counter()
        self.written.append(token)
        self._tokens.put(Token(id=token, waited=now - self._last))
        self._last = now
        return token not in self.stop_ids and len(self.written) < self.most and not self.stopped

    def end(self, error: BaseException | None = None) -> None:
        """End the iteration, or raise `error` in it. Called by the engine."""
        self._tokens.put(error)


class Engine:
    """Writes the texts of all visitors: at most `rows` at a time, with at most `waiting` others in line."""

    def __init__(self, network: Decoder, *, rows: int = 8, waiting: int = 64, never: Sequence[int] = ()) -> None:
        """`never` are ids that are not written, such as that of the token for unknown characters."""
        self.network = network
        self.never = list(never)
        self.rows = rows
        self.waiting = waiting
        self._line: deque[Text] = deque()
        self._changed = threading.Condition()  # guards the line and `_thread`
        self._thread: threading.Thread | None = None
        self._batch: _Batch | None = None  # of that thread
        self._closed = False
        self._pace = Pace(1)
        _engines.add(self)

    def write(self, prompt: Sequence[int], most: int, sampling: Sampling, stop_ids: Sequence[int] = ()) -> Text:
        """Queue a text of at most `most` tokens after `prompt`, which is cut from the left to fit the context.

        A text that fills the context goes on from its last half, which is read again. Raises `InputError` for an empty
        prompt or no tokens to write, `DemoError` if the line is full.
        """
        if not prompt:
            raise InputError("The prompt is empty; write at least one character.")
        if most < 1:
            raise InputError("{count} tokens cannot be written; ask for at least one.", count=most)
        text = Text(tuple(prompt[-self.room(most) :]), most, sampling, tuple(stop_ids))
        with self._changed:
            if len(self._line) >= self.waiting:
                raise DemoError(
                    "{count} others are waiting to write; please try again in a minute.", count=self.waiting
                )
            self._line.append(text)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, args=(torch.get_num_threads(),), name="decode", daemon=True
                )
                self._thread.start()
            self._changed.notify_all()
        return text

    def close(self) -> None:
        """End all texts and the loop after the current step; for the end of the process."""
        with self._changed:
            self._closed = True
            thread = self._thread
            self._changed.notify_all()
        if thread is not None:
            thread.join()

    def room(self, most: int) -> int:
        """Tokens of a prompt that are read if `most` are to be written: at least half of the context."""
        return self.network.config.context - min(most, self.network.config.context // 2)

    @property
    def writing(self) -> int:
        """Texts that are being written now."""
        batch = self._batch
        return len(batch.texts) if batch is not None else 0

    @property
    def busy(self) -> bool:
        """Whether any text is being written or waits."""
        with self._changed:
            return bool(self._line) or self.writing > 0

    def place(self, text: Text) -> int:
        """Its place in the line, from 1; 0 for one that is being written or has ended."""
        with self._changed:
            return self._line.index(text) + 1 if text in self._line else 0

    def waiting_for(self, text: Text) -> Iterator[int]:
        """This text's place in the line, from 1, whenever that changes, until it is being written.

        Yields nothing for a text that joins the batch within a quarter of a second.
        """
        place, last = self._wait_until(lambda place: place == 0, text, 0.25), 0
        while place and not text.stopped:
            if place != last:
                last = place
                yield place
            place = self._wait_until(lambda place, last=last: place != last, text, 1.0)

    def _wait_until(self, good: Callable[[int], bool], text: Text, seconds: float) -> int:
        """The text's place in the line, once `good` accepts it or after that many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: good(self.place(text)), seconds)
            return self.place(text)

    def _run(self, threads: int) -> None:
        torch.set_num_threads(threads)  # the number is per thread; this one takes over that of the requesting thread
        if self._pace.threads != threads:
            self._pace = Pace(threads)
        batch = self._batch = _Batch(self.network, self.rows, self.never, self._pace)
        try:
            with torch.inference_mode():
                while self._admit(batch):
                    batch.step()
        except BaseException as error:
            log.exception("the decode loop failed")
            with self._changed:
                self._thread = self._batch = None
                texts = [*batch.texts, *self._line]
                self._line.clear()
            for text in texts:
                text.end(error)

    def _admit(self, batch: _Batch) -> bool:
        """Move the next in line to a free row. Returns `False` after `IDLE` seconds without work, or once closed."""
        with self._changed:
            if not batch.texts:
                self._changed.wait_for(lambda: self._line or self._closed, IDLE)
            if self._closed or not (batch.texts or self._line):
                for text in (*batch.texts, *self._line):
                    text.end()
                self._line.clear()
                self._thread = self._batch = None
                return False
            for text in [text for text in self._line if text.stopped]:
                self._line.remove(text)
                text.end()
            while self._line and batch.free:
                batch.join(self._line.popleft())
            self._changed.notify_all()
            return True


class Pace:
    """Whether a pass is faster with one thread or with all, found by trying, and tried again now and then.

    A pass is hundreds of small products. Threads that wait passively, as they must beside a web server, are woken for
    each, and in int8 that takes longer than the share of a product that another thread would compute.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._passes = 0
        self._seconds: defaultdict[tuple[int, int, int], deque[float]] = defaultdict(lambda: deque(maxlen=TRIES))

    def choose(self, rows: int, tokens: int = 1) -> int:
        """Threads for the next pass of `rows` rows with about `tokens` tokens each."""
        if self.threads == 1:
            return 1
        self._passes += 1
        single, parallel = (self._seconds[rows, tokens.bit_length(), threads] for threads in (1, self.threads))
        if min(len(single), len(parallel)) < TRIES:
            return 1 if len(single) < len(parallel) else self.threads
        faster, slower = (1, self.threads) if median(single) < median(parallel) else (self.threads, 1)
        return faster if self._passes % RETRY else slower

    @contextlib.contextmanager
    def step(self, rows: int, tokens: int = 1) -> Iterator[None]:
        """Inside, compute with the chosen number of threads; afterwards with all again."""
        threads = self.choose(rows, tokens)
        torch.set_num_threads(threads)
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[rows, tokens.bit_length(), threads].append((time.perf_counter() - started) / tokens)
            torch.set_num_threads(self.threads)


class _Batch:
    """The texts in the batch. Row i of the cache belongs to text i; the text whose prompt is being read comes last."""

    def __init__(self, network: Decoder, rows: int, never: list[int], pace: Pace) -> None:
        self.network = network
        self.rows = rows
        self.never = never
        self.pace = pace
        self.cache = network.new_cache(rows, PLACES)
        self.writing: list[Text] = []
        self.full: deque[Text] = deque()  # texts that filled the context: their last half has to be read again
        self.reading: Text | None = None  # its prompt is read in pieces, in the row after those of `writing`
        self.unread: tuple[int, ...] = ()  # that prompt

    @property
    def texts(self) -> list[Text]:
        return [*self.writing, *self.full, *([self.reading] if self.reading is not None else [])]

    @property
    def free(self) -> bool:
        return self.reading is None and not self.full and len(self.writing) < self.rows

    def join(self, text: Text, last: int | None = None) -> None:
        """Start to read the text, or its `last` tokens, to go on from there."""
        self.reading = text
        self.unread = (*text.prompt, *text.written)[-last if last else None :]
        self.cache.lengths[len(self.writing)] = 0

    def step(self) -> None:
        """Read a piece of one prompt, then write one token of each text."""
        for row in reversed(range(len(self.writing))):
            if self.writing[row].stopped:
                self._leave(row)
        context = self.network.config.context
        for row in reversed(range(len(self.writing))):
            if int(self.cache.lengths[row]) == context:
                self.full.append(self._take_out(row))
        if self.reading is None and self.full:
            self.join(self.full.popleft(), max(1, context // 2))
        if self.reading is not None:
            self._read(self.reading)
        if self.writing:
            self._write()

    def _read(self, text: Text) -> None:
        """Read the next piece of the prompt; after the last piece, draw the first token."""
        row = len(self.writing)
        begin = int(self.cache.lengths[row])
        piece = self.unread[begin : begin + CHUNK]
        self._make_room(begin + len(piece))
        ids = torch.tensor([piece], device=self.cache.keys.device)  # (1, T)
        with self.pace.step(1, len(piece)):
            (logits,) = self._logits(ids, self.cache.view(row, row + 1))  # (V,)
        if not text.stopped and begin + len(piece) < len(self.unread):
            return
        self.reading = None
        if not text.stopped and text.take(logits):
            self.writing.append(text)
        else:
            text.end()

    def _write(self) -> None:
        rows = len(self.writing)
        self._make_room(int(self.cache.lengths[:rows].max()) + 1)
        last = [[text.written[-1]] for text in self.writing]
        ids = torch.tensor(last, device=self.cache.keys.device)  # (B, 1)
        with self.pace.step(rows):
            logits = self._logits(ids, self.cache.view(0, rows))  # (B, V)
        for row in reversed(range(rows)):
            if not self.writing[row].take(logits[row]):
                self._leave(row)

    def _logits(self, ids: Tensor, cache: KeyValueCache) -> Tensor:
        """(B, T) to (B, V), of each row's next token."""
        logits = self.network(ids, cache, last_only=True).logits.cpu()
        logits[:, self.never] = -torch.inf
        return logits

    def _leave(self, row: int) -> None:
        self._take_out(row).end()

    def _take_out(self, row: int) -> Text:
        """Remove the text of that row, close the gap with the last row, and return the text."""
        last = len(self.writing) - 1
        text = self.writing[row]
        if row != last:
            self.cache.move(last, row)
            self.writing[row] = self.writing[last]
        self.writing.pop()
        if self.reading is not None:
            self.cache.move(last + 1, last)
        return text

    def _make_room(self, places: int) -> None:
        if places > self.cache.max_tokens:
            self.cache.grow(min(max(places, 2 * self.cache.max_tokens), self.network.config.context))
