"""Many visitors, one loop: everybody gets the text that they would get alone, and leaves when they like."""

from __future__ import annotations

import copy
import gc
import itertools
import random
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from demo_app_decoder_generator import engine as engines
from demo_app_decoder_generator.engine import RETRY, TRIES, Engine, Pace, Text
from demo_app_decoder_generator.model import Config, Decoder
from demo_app_decoder_generator.sampling import Sampling, draw

from demo_app import DemoError, InputError

GREEDY = Sampling(temperature=0)


@pytest.fixture(scope="module")
def network() -> Decoder:
    torch.manual_seed(0)
    network = Decoder(Config(vocab_size=50, context=600, width=24, layers=2, heads=4, kv_heads=2, feed_forward=32))
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape) * 0.3
    return network.eval().requires_grad_(False)


@torch.inference_mode()
def alone(network: Decoder, prompt: list[int], most: int, sampling: Sampling, stop: tuple[int, ...] = ()) -> list[int]:
    """Without a cache and without others: the whole text is read again for every token."""
    ids = list(prompt)
    generator = torch.Generator().manual_seed(sampling.seed or 0)
    for _ in range(most):
        ids.append(draw(network(torch.tensor([ids])).logits[0, -1], sampling, generator, ids))
        if ids[-1] in stop:
            break
    return ids[len(prompt) :]


def test_a_text_is_what_it_would_be_without_a_cache(network: Decoder) -> None:
    text = Engine(network).write([1, 2, 3], 20, GREEDY)
    assert [token.id for token in text] == alone(network, [1, 2, 3], 20, GREEDY)


def test_everybody_gets_the_text_that_they_would_get_alone(network: Decoder) -> None:
    engine, chance = Engine(network, rows=3), random.Random(0)
    asked = []
    for number in range(12):
        prompt = [chance.randrange(50) for _ in range(chance.choice([1, 5, 150, 300]))]
        sampling = GREEDY if number % 3 else Sampling(temperature=1.0, top_k=10, repetition_penalty=1.2, seed=number)
        asked.append((prompt, chance.choice([1, 7, 30]), sampling, (7,)))
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda ask: [token.id for token in engine.write(*ask)], asked))
    assert found == [alone(network, *ask) for ask in asked]


def test_a_stop_token_ends_the_text_and_is_its_last(network: Decoder) -> None:
    whole = alone(network, [4], 30, GREEDY)
    stop = whole[5]
    found = [token.id for token in Engine(network).write([4], 30, GREEDY, (stop,))]
    assert found == whole[: whole.index(stop) + 1]


def test_who_leaves_makes_room_for_the_next(network: Decoder) -> None:
    engine = Engine(network, rows=1)
    first, second = engine.write([1], 590, GREEDY), engine.write([2], 5, GREEDY)
    tokens = iter(first)
    next(tokens)
    assert engine.place(second) == 1
    third = engine.write([3], 5, GREEDY)
    assert engine.place(third) == 2
    tokens.close()  # as Gradio does when the visitor presses Stop or is gone
    assert [token.id for token in second] == alone(network, [2], 5, GREEDY)
    assert [token.id for token in third] == alone(network, [3], 5, GREEDY)
    assert len(first.written) < 590


def test_who_is_gone_before_the_turn_comes_is_passed_over(network: Decoder) -> None:
    engine = Engine(network, rows=1)
    first, second, third = (engine.write([n], 40, GREEDY) for n in (1, 2, 3))
    second.stop()
    assert len(list(first)) == len(list(third)) == 40
    assert list(second) == []


def test_two_hundred_visitors_who_leave_early_leave_nothing_behind(network: Decoder) -> None:
    engine = Engine(network, rows=4, waiting=300)

    def visit(number: int) -> None:
        for token in engine.write([number % 50], 500, GREEDY):
            if token.id >= 0:
                break

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(visit, range(200)))
    assert [token.id for token in engine.write([1], 5, GREEDY)] == alone(network, [1], 5, GREEDY)
    assert engine.place(engine.write([1], 1, GREEDY)) <= 1  # nobody is before it


def test_the_memory_of_two_hundred_visits_is_given_back(network: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "IDLE", None)  # else a busy machine's engine ends between two visits
    engine = Engine(network, rows=4)
    texts: weakref.WeakSet[Text] = weakref.WeakSet()

    def visit(number: int) -> None:
        text = engine.write([number % 50], 500, GREEDY)
        texts.add(text)
        tokens = iter(text)
        next(tokens)
        tokens.close()

    visit(0)
    assert engine._batch is not None
    store = engine._batch.cache.keys
    for number in range(200):
        visit(number)
    list(engine.write([1], 5, GREEDY))  # after this all others have left the batch
    gc.collect()
    assert len(texts) == 0
    assert engine._batch.cache.keys is store  # two hundred visits needed no more room than the first
    engine.close()
    thread = engine._thread
    if thread is not None:
        thread.join()
    assert engine._batch is None


def test_a_long_prompt_holds_up_nobody(network: Decoder) -> None:
    """While it is read in pieces, each piece is followed by a token for everybody else."""
    engine = Engine(network, rows=3)
    others = [engine.write([n], 200, GREEDY) for n in (1, 2)]
    started = [iter(text) for text in others]
    for tokens in started:
        next(tokens)
    pieces: list[tuple[int, int]] = []
    real = network.forward

    def noted(ids: torch.Tensor, *args: object, **kwargs: object) -> object:
        pieces.append((ids.shape[0], ids.shape[1]))
        return real(ids, *args, **kwargs)

    network.forward = noted  # type: ignore[method-assign]
    try:
        next(iter(engine.write([number % 50 for number in range(590)], 5, GREEDY)))
    finally:
        network.forward = real  # type: ignore[method-assign]
    for text in others:
        text.stop()
    reads = [i for i, (_, tokens) in enumerate(pieces) if tokens > 1]
    assert len(reads) == 5  # of 128 tokens each
    assert all(pieces[i] == (2, 1) for first, second in itertools.pairwise(reads) for i in range(first + 1, second))
    assert all(second - first >= 2 for first, second in itertools.pairwise(reads))


def test_what_cannot_be_drawn_from_ends_one_text_alone(network: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(logits: torch.Tensor, sampling: Sampling, *others: Any) -> int:
        if sampling.seed == 13:
            raise RuntimeError("no probabilities")
        return draw(logits, sampling, *others)

    monkeypatch.setattr("demo_app_decoder_generator.engine.draw", fails)
    engine = Engine(network, rows=2)
    well, ill = engine.write([1], 30, GREEDY), engine.write([2], 30, Sampling(seed=13))
    with pytest.raises(RuntimeError, match="no probabilities"):
        list(ill)
    assert [token.id for token in well] == alone(network, [1], 30, GREEDY)


def test_the_line_has_an_end(network: Decoder) -> None:
    engine = Engine(network, rows=1, waiting=2)
    texts = [engine.write([1], 500, GREEDY)]
    next(iter(texts[0].__iter__()))
    texts = [*texts, engine.write([1], 5, GREEDY), engine.write([1], 5, GREEDY)]
    with pytest.raises(DemoError, match="2 others are waiting"):
        engine.write([1], 5, GREEDY)
    for text in texts:
        text.stop()


def test_a_prompt_that_is_too_long_loses_its_beginning(network: Decoder) -> None:
    prompt = [number % 50 for number in range(900)]
    text = Engine(network).write(prompt, 10, GREEDY)
    assert text.prompt == tuple(prompt[-590:])
    assert len(list(text)) == 10
    assert len(Engine(network).write(prompt, 10_000, GREEDY).prompt) == 300  # half is left to write in


@pytest.mark.parametrize(("prompt", "most", "said"), [([], 5, "prompt is empty"), ([1], 0, "at least one")])
def test_nothing_to_do_is_refused(network: Decoder, prompt: list[int], most: int, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Engine(network).write(prompt, most, GREEDY)


def test_an_error_in_the_loop_reaches_everybody_and_the_next_request_starts_it_again(network: Decoder) -> None:
    engine = Engine(network)
    started = threading.Event()
    real = network.forward

    def fails(*args: object, **kwargs: object) -> object:
        started.wait(5)
        raise MemoryError("no room")

    network.forward = fails  # type: ignore[method-assign]
    try:
        texts = [engine.write([1], 5, GREEDY) for _ in range(3)]
        started.set()
        for text in texts:
            with pytest.raises(MemoryError, match="no room"):
                list(text)
    finally:
        network.forward = real  # type: ignore[method-assign]
    assert len(list(engine.write([1], 5, GREEDY))) == 5


def test_a_text_longer_than_the_context_goes_on_from_its_last_half(network: Decoder) -> None:
    context = network.config.context
    engine = Engine(network, rows=2)
    beside = engine.write([3], 30, GREEDY)
    long = engine.write([1, 2], 2 * context, GREEDY)
    found = [token.id for token in long]
    assert len(found) == 2 * context
    fits = context - 1  # tokens that are written while the network sees all before them
    assert found[:fits] == alone(network, [1, 2], fits, GREEDY)
    half = [1, 2, *found[:fits]][-context // 2 :]
    assert found[fits : fits + 5] == alone(network, half, 5, GREEDY)
    assert [token.id for token in beside] == alone(network, [3], 30, GREEDY)
    assert not engine.busy


def test_a_token_that_must_not_be_written_is_not(network: Decoder) -> None:
    first = alone(network, [1], 1, GREEDY)[0]
    found = [token.id for token in Engine(network, never=[first]).write([1], 50, GREEDY)]
    assert first not in found


def test_ten_thousand_who_ask_at_once_are_served_or_told(network: Decoder) -> None:
    engine = Engine(network, rows=2, waiting=24)
    first = engine.write([1], 400, GREEDY)
    next(iter_first := iter(first))
    accepted, told = [], []
    for number in range(10_000):
        try:
            accepted.append(engine.write([number % 50], 2, GREEDY))
        except DemoError as error:
            told.append(str(error))
    iter_first.close()
    assert len(told) > 9_000
    assert all("24 others are waiting" in said for said in told)
    assert all(len(list(text)) == 2 for text in accepted)
    assert len(accepted) + len(told) == 10_000


def test_steps_are_taken_with_the_threads_that_are_faster_now(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("demo_app_decoder_generator.engine.time.perf_counter", lambda: now)
    before, pace = torch.get_num_threads(), Pace(2)

    def steps(count: int, seconds: dict[int, float]) -> int:
        """The number of steps, of those given, that used one thread."""
        nonlocal now
        alone = 0
        for _ in range(count):
            with pace.step(3):
                now += seconds[torch.get_num_threads()]
                alone += torch.get_num_threads() == 1
            assert torch.get_num_threads() == 2
        return alone

    try:
        assert steps(2 * TRIES, {1: 1.0, 2: 2.0}) == TRIES
        assert steps(10 * RETRY, {1: 1.0, 2: 2.0}) == 10 * RETRY - 10
        steps(2 * TRIES * RETRY, {1: 9.0, 2: 2.0})  # another process has come, or gone
        assert steps(10 * RETRY, {1: 9.0, 2: 2.0}) == 10
        assert Pace(1).choose(3) == 1
    finally:
        torch.set_num_threads(before)


def test_who_waits_sees_the_place_in_line_and_who_does_not_is_not_held_up(network: Decoder) -> None:
    gate, held = threading.Event(), copy.deepcopy(network)

    def wait(*_: Any) -> None:  # however fast the machine is, the first is not done before it is stopped
        assert gate.wait(30)

    held.register_forward_pre_hook(wait)
    engine = Engine(held, rows=1)
    first = engine.write([1], 400, GREEDY)
    begun = time.perf_counter()
    assert list(engine.waiting_for(first)) == []
    assert time.perf_counter() - begun < 0.2
    second, third = engine.write([2], 3, GREEDY), engine.write([3], 3, GREEDY)
    places = engine.waiting_for(third)
    assert next(places) == 2
    first.stop()
    gate.set()
    assert set(places) <= {1}
    assert len(list(second)) == len(list(third)) == 3
