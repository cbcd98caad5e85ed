"""One decode loop for all visitors of a checkpoint: texts join and leave a running batch between its steps.

A step reads all weights once, however many texts it goes on with, and reading weights is what a step costs: eight
visitors get nearly eight times the tokens of one (continuous batching: Yu et al. 2022, Orca, OSDI).
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
CHUNK = 128  # tokens of a prompt that are read between two steps of the batch, so that a long one holds up nobody
TRIES = 5  # passes by which a number of threads is judged
AGAIN = 40  # every so many-th pass is one with the other number of threads
IDLE = 5.0  # seconds without work after which the loop ends and gives its cache back


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """A thread that computes while the interpreter goes away takes the process down with it."""
    for engine in list(_engines):
        engine.close()


@dataclass(frozen=True, kw_only=True)
class Token:
    """What one step gave one text."""

    id: int
    waited: float  # seconds since it was asked for, of the first; since the one before, of others


@dataclass(eq=False)
class Text:
    """A text that is being written. Iterate over it for its tokens; `stop` from any thread."""

    prompt: tuple[int, ...]
    most: int  # tokens to write
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
        """Tokens as they come. Who leaves this loop early, in whatever way, leaves the batch too."""
        try:
            while (token := self._tokens.get()) is not None:
                if isinstance(token, BaseException):
                    raise token
                yield token
        finally:
            self.stop()

    def take(self, logits: Tensor) -> bool:
        """Draw the next token from logits (V,); whether the text goes on. Called by the engine.

        What cannot be drawn from ends this text and no other.
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
        """No more tokens, or none because of an error. Called by the engine."""
        self._tokens.put(error)


class Engine:
    """Writes the texts of all who ask: at most `rows` at once, at most `waiting` others in line."""

    def __init__(self, network: Decoder, *, rows: int = 8, waiting: int = 64, never: Sequence[int] = ()) -> None:
        """`never` are tokens that are not written, such as the one for what is unknown."""
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
        """Ask for a text of at most `most` tokens after `prompt`, which is cut from the left to fit the context.

        A text that fills the context goes on from its last half, which is read again. Raises `InputError` for an empty
        prompt or no tokens to write, `DemoError` where too many wait.
        """
        if not prompt:
            raise InputError("The prompt is empty; write at least one character.")
        if most < 1:
            raise InputError(f"{most} tokens cannot be written; ask for at least one.")
        text = Text(tuple(prompt[-self.room(most) :]), most, sampling, tuple(stop_ids))
        with self._changed:
            if len(self._line) >= self.waiting:
                raise DemoError(f"{self.waiting} others are waiting to write; please try again in a minute.")
            self._line.append(text)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, args=(torch.get_num_threads(),), name="decode", daemon=True
                )
                self._thread.start()
            self._changed.notify_all()
        return text

    def close(self) -> None:
        """End all texts and the loop, after the step that is under way; for the end of the process."""
        with self._changed:
            self._closed = True
            thread = self._thread
            self._changed.notify_all()
        if thread is not None:
            thread.join()

    def room(self, most: int) -> int:
        """Tokens of a prompt that are read where so many are to be written: at least half of the context."""
        return self.network.config.context - min(most, self.network.config.context // 2)

    @property
    def writing(self) -> int:
        """Texts that are being written now."""
        batch = self._batch
        return len(batch.texts) if batch is not None else 0

    @property
    def busy(self) -> bool:
        """Whether anybody's text is being written or waits."""
        with self._changed:
            return bool(self._line) or self.writing > 0

    def place(self, text: Text) -> int:
        """Its place in the line, from 1; 0 for one that is being written or has ended."""
        with self._changed:
            return self._line.index(text) + 1 if text in self._line else 0

    def waiting_for(self, text: Text) -> Iterator[int]:
        """This text's place in the line, from 1, whenever that changes, until it is being written.

        Who is let in at once never had a place: the first is told after a quarter of a second.
        """
        place, told = self._wait_until(lambda place: place == 0, text, 0.25), 0
        while place and not text.stopped:
            if place != told:
                told = place
                yield place
            place = self._wait_until(lambda place, told=told: place != told, text, 1.0)

    def _wait_until(self, good: Callable[[int], bool], text: Text, seconds: float) -> int:
        """The text's place in the line, once it is good or after so long."""
        with self._changed:
            self._changed.wait_for(lambda: good(self.place(text)), seconds)
            return self.place(text)

    def _run(self, threads: int) -> None:
        torch.set_num_threads(threads)  # each thread has a number of its own; this is that of whoever asked first
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
        """Let the next in line join where there is a row; `False` once nobody has asked for a while, or closed."""
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
    """How many threads a pass takes the least time with, one or all: found by trying, now and then again.

    A pass is hundreds of small products. Threads that wait passively, as they must beside a web server, have to be
    woken for each, and in int8 that takes longer than the half of a product that another thread computes.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._passes = 0
        self._seconds: defaultdict[tuple[int, int, int], deque[float]] = defaultdict(lambda: deque(maxlen=TRIES))

    def choose(self, rows: int, tokens: int = 1) -> int:
        """Threads for the next pass of so many rows and about so many tokens each."""
        if self.threads == 1:
            return 1
        self._passes += 1
        one, all_of_them = (self._seconds[rows, tokens.bit_length(), threads] for threads in (1, self.threads))
        if min(len(one), len(all_of_them)) < TRIES:
            return 1 if len(one) < len(all_of_them) else self.threads
        faster, slower = (1, self.threads) if median(one) < median(all_of_them) else (self.threads, 1)
        return faster if self._passes % AGAIN else slower

    @contextlib.contextmanager
    def step(self, rows: int, tokens: int = 1) -> Iterator[None]:
        """Compute with the threads that are chosen; afterwards with all again."""
        threads = self.choose(rows, tokens)
        torch.set_num_threads(threads)
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[rows, tokens.bit_length(), threads].append((time.perf_counter() - started) / tokens)
            torch.set_num_threads(self.threads)


class _Batch:
    """Texts that are written now; row i of the cache is that of text i, and the one that reads its prompt is last."""

    def __init__(self, network: Decoder, rows: int, never: list[int], pace: Pace) -> None:
        self.network = network
        self.rows = rows
        self.never = never
        self.pace = pace
        self.cache = network.new_cache(rows, PLACES)
        self.writing: list[Text] = []
        self.full: deque[Text] = deque()  # filled the context, and go on from their last half once that was read again
        self.reading: Text | None = None  # what it goes on from is read in pieces, in the row after those that write
        self.unread: tuple[int, ...] = ()  # all of that

    @property
    def texts(self) -> list[Text]:
        return [*self.writing, *self.full, *([self.reading] if self.reading is not None else [])]

    @property
    def free(self) -> bool:
        return self.reading is None and not self.full and len(self.writing) < self.rows

    def join(self, text: Text, last: int | None = None) -> None:
        """Read the text, or its `last` tokens, and then write on."""
        self.reading = text
        self.unread = (*text.prompt, *text.written)[-last if last else None :]
        self.cache.lengths[len(self.writing)] = 0

    def step(self) -> None:
        """A piece of one prompt, then one token for everybody."""
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
        """The next piece of what it goes on from, and a token where that was the last piece."""
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
        """Give the row to the last one that writes, and its row to the one that reads."""
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
