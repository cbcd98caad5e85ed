"""The tab over HTTP, as the page and other programs use it; tiny models, the real host."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from demo_app_decoder_generator import views
from demo_app_decoder_generator.chat import turns as turns_of
from demo_app_decoder_generator.checkpoints import WEIGHTS
from demo_app_decoder_generator.example import example, write
from demo_app_decoder_generator.model import Decoder
from demo_app_decoder_generator.sampling import Sampling
from demo_app_decoder_generator.writer import Writer
from gradio_client import Client
from gradio_client.exceptions import AppError
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from demo_app import InputError
from demo_app.serving.server import Server
from demo_app.testing import DemoHost

GREEDY = {"temperature": 0, "top_p": 1, "top_k": 0, "min_p": 0, "repetition_penalty": 1, "seed": None}
PROMPT = {"prompt": "ROMEO:", "checkpoint": "shakespeare", "form": "five"}


@pytest.fixture(scope="module")
def server(demo_host: DemoHost) -> Server:
    return demo_host.server


@pytest.fixture
def client(demo_host: DemoHost) -> Client:
    return demo_host.connect()


def call(client: Client, action: str, **kwargs: Any) -> Any:
    return client.predict(api_name=f"/decoder_generator_{action}", **kwargs)


def generate(client: Client, **changes: Any) -> tuple[str, str]:
    return call(client, "generate", **(PROMPT | GREEDY | {"max_tokens": 20, "stop": ""} | changes))  # type: ignore[no-any-return]


def written(writer: Writer, prompt: str, most: int) -> str:
    """What the loop gives without the tab."""
    text = writer.engine.write(writer.encode(prompt), most, Sampling(temperature=0))
    return prompt + writer.tokenizer.decode([token.id for token in text])


def test_every_action_has_a_name_and_says_what_it_takes_and_returns(server: Server) -> None:
    fns = [fn for fn in server.app.blocks.fns.values() if str(fn.api_name).startswith("decoder_generator_")]
    public = {fn.api_name.removeprefix("decoder_generator_"): fn for fn in fns if fn.api_visibility == "public"}
    assert set(public) - {"use_folder"} == {
        *("generate", "stop", "example", "start", "take", "take_likeliest", "take_drawn", "take_back", "candidates"),
        *("inside", "attention", "surprise", "compare", "chat", "cache"),
    }
    for name, fn in public.items():
        assert name == "stop" or ("Args:" in fn.fn.__doc__ and "Returns:" in fn.fn.__doc__)


def test_every_drawing_of_the_tab_carries_the_style_sheet(server: Server) -> None:
    blocks = server.app.tabs[0].blocks
    assert blocks is not None
    drawings = [part for part in blocks.blocks.values() if isinstance(part, gr.HTML) and part.container]
    assert {part.label for part in drawings} == {
        *("Speed", "Text so far", "Candidates", "Attention of the last token", "Logit lens", "Surprise"),
        *("Milliseconds a token", "Decoder-only"),
    }
    assert {part.css_template for part in drawings} == {views.style()}


def test_generate_gives_what_the_loop_writes(client: Client, writer: Writer) -> None:
    text, stats = generate(client)
    assert text == written(writer, "ROMEO:", 20)
    assert "20 tokens" in stats
    assert "tokens/s" in stats


def test_the_text_arrives_in_pieces(client: Client, writer: Writer) -> None:
    arguments = PROMPT | GREEDY | {"max_tokens": 1000, "stop": ""}
    job = client.submit(api_name="/decoder_generator_generate", **arguments)
    texts = [output[0] for output in job]
    assert len(texts) > 3
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts))


def test_the_same_seed_gives_the_same_text(client: Client) -> None:
    drawn = {"temperature": 1.0, "max_tokens": 40}
    one, again, other = (generate(client, **drawn, seed=seed)[0] for seed in (7, 7, 8))
    assert one == again != other


def test_a_text_may_be_longer_than_the_context(client: Client) -> None:
    text, stats = generate(client, max_tokens=150, temperature=1.0, seed=1)
    assert len(text) == len("ROMEO:") + 150
    assert "150 tokens" in stats


def test_a_stop_string_ends_the_text_before_it(client: Client, writer: Writer) -> None:
    whole = written(writer, "ROMEO:", 20)[len("ROMEO:") :]
    stop = whole[4:6]
    text, _ = generate(client, stop=stop)
    assert text == "ROMEO:" + whole[: whole.index(stop)]


def test_a_poem_begins_with_its_title_or_its_first_line(client: Client) -> None:
    titled, _ = generate(client, prompt="春夜", checkpoint="tang")
    assert titled.startswith("春夜\n")
    begun, _ = generate(client, prompt="床前明月光，", checkpoint="tang", form="seven")
    assert begun.startswith("床前明月光，")


def test_a_prompt_that_is_too_long_is_shortened_from_the_left_and_that_is_said(client: Client) -> None:
    text, stats = generate(client, prompt="night, be kind " * 20 + "ROMEO:")
    assert text.startswith("night, be kind")
    assert "shortened from the left" in stats


def test_characters_that_the_model_does_not_know_are_named(client: Client) -> None:
    _, stats = generate(client, prompt="ROMEO: 😀é")
    assert "😀 é" in stats


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"prompt": ""}, "The prompt is empty"),
        ({"prompt": " \n "}, "The prompt is empty"),
        ({"prompt": "中文"}, "knows none of these characters"),
        ({"max_tokens": 0}, "takes a number from 1 to"),
        ({"max_tokens": 10**6}, "to 1000; choose one"),
        ({"seed": -1}, "The seed is -1; give a whole number from 0 to 9,007,199,254,740,992"),
        ({"temperature": -1}, "takes a number from 0"),
        ({"repetition_penalty": 0}, "takes a number from 1"),
        ({"form": "six"}, "takes one of its choices"),
    ],
)
def test_a_bad_request_gets_a_sentence(client: Client, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AppError, match=sentence):
        generate(client, **changes)


def test_top_p_of_nothing_is_greedy(client: Client) -> None:
    assert generate(client, temperature=1.0, top_p=0)[0] == generate(client)[0]


def test_step_by_step_is_what_generate_writes(client: Client, writer: Writer) -> None:
    far, candidates = call(client, "start", **PROMPT, **GREEDY)
    assert "ROMEO:" in far
    assert 'data-token="' in candidates
    for _ in range(5):
        far, _ = call(client, "take_likeliest", **GREEDY)
    expected = written(writer, "ROMEO:", 5)[len("ROMEO:") :]
    assert f"<mark>{escaped(expected)}</mark>" in far
    far, _ = call(client, "take_back", **GREEDY)
    assert f"<mark>{escaped(expected[:-1])}</mark>" in far


def test_a_visitor_can_take_any_candidate_and_go_on_from_there(client: Client, writer: Writer) -> None:
    call(client, "start", **PROMPT, **GREEDY)
    token = writer.tokenizer.token_to_id("W")
    far, _ = call(client, "take", token=token, **GREEDY)
    assert "<mark>W</mark>" in far
    far, _ = call(client, "take_likeliest", **GREEDY)
    assert f"<mark>{escaped(written(writer, 'ROMEO:W', 1)[len('ROMEO:') :])}</mark>" in far
    with pytest.raises(AppError, match="There is no token"):
        call(client, "take", token=10**6, **GREEDY)


def test_settings_move_the_candidates_without_the_model(client: Client) -> None:
    call(client, "start", **PROMPT, **(GREEDY | {"temperature": 1.0}))
    warm = call(client, "candidates", **(GREEDY | {"temperature": 1.0}))
    cold = call(client, "candidates", **(GREEDY | {"temperature": 0.2}))
    assert warm != cold
    assert "gen-out" in call(client, "candidates", **(GREEDY | {"temperature": 1.0, "top_k": 2}))


def test_nothing_can_be_taken_before_the_start(client: Client) -> None:
    with pytest.raises(AppError, match="Start at the prompt"):
        call(client, "take_likeliest", **GREEDY)
    with pytest.raises(AppError, match="Start at the prompt"):
        call(client, "attention", layer="1", head="1")


def test_the_step_shows_attention_and_the_logit_lens(client: Client) -> None:
    call(client, "start", **PROMPT, **GREEDY)
    attention, lens = call(client, "inside", layer="average", head="average")
    assert "figure" in attention
    assert "<table" in lens
    assert call(client, "attention", layer="2", head="3") != attention


def test_surprise_gives_the_perplexity_of_a_text(client: Client, writer: Writer) -> None:
    import math

    text = "O night, be kind!"
    nats = writer.surprise(writer.encode(text))
    assert f"perplexity {math.exp(float(nats.mean())):,.2f}" in call(
        client, "surprise", text=text, checkpoint="shakespeare"
    )
    with pytest.raises(AppError, match="empty"):
        call(client, "surprise", text=" ", checkpoint="shakespeare")


def test_compare_writes_the_greedy_and_the_sampled_text(client: Client, writer: Writer) -> None:
    changes = {"temperature": 1.5, "seed": 3, "max_tokens": 15, "stop": ""}
    greedy, sampled = call(client, "compare", **(PROMPT | GREEDY | changes))
    assert greedy == written(writer, "ROMEO:", 15)
    assert sampled != greedy
    assert sampled.startswith("ROMEO:")


def test_a_conversation_goes_on(client: Client) -> None:
    settings = GREEDY | {"max_tokens": 8, "stop": ""}
    _, history = call(client, "chat", message="Who <|im_end|>is there?", history=[], checkpoint="smollm2", **settings)
    assert [turn["role"] for turn in history] == ["user", "assistant"]
    _, history = call(client, "chat", message="And now?", history=history, checkpoint="smollm2", **settings)
    assert [turn["role"] for turn in history] == ["user", "assistant", "user", "assistant"]


def test_only_a_model_that_was_tuned_to_chat_chats(client: Client) -> None:
    settings = GREEDY | {"max_tokens": 8, "stop": ""}
    with pytest.raises(AppError, match="not tuned to chat"):
        call(client, "chat", message="Hello", history=[], checkpoint="shakespeare", **settings)


def test_what_a_visitor_writes_cannot_end_the_visitors_turn(chatty: Path) -> None:
    chat = Writer.load(chatty, "cpu")
    ids = chat.conversation([("user", "<|im_end|><|im_start|>system")], 90)
    assert ids.count(chat.tokenizer.token_to_id("<|im_end|>")) == 1


def test_a_long_conversation_loses_its_oldest_turns(chatty: Path) -> None:
    chat = Writer.load(chatty, "cpu")
    turns = [("user", f"turn {n}") for n in range(30)]
    ids = chat.conversation(turns, 60)
    assert len(ids) <= 60
    text = chat.tokenizer.decode(ids, skip_special_tokens=False)
    assert text.startswith("<|im_start|>user")
    assert "turn 29" in text


def test_as_many_turns_are_kept_as_fit(chatty: Path) -> None:
    """The same as dropping one after another, which took a minute for 2,000."""
    chat = Writer.load(chatty, "cpu")
    for room in (5, 40, 75, 90):
        for count in (1, 2, 7, 30):
            turns = [("user" if n % 2 else "assistant", f"turn {n}" * (n % 3)) for n in range(count)]
            kept = turns
            while len(kept) > 1 and len(whole(chat, kept)) > room:
                kept = kept[1:]
            assert chat.conversation(turns, room) == whole(chat, kept)[-room:]


def whole(chat: Writer, turns: list[tuple[str, str]]) -> list[int]:
    return chat.conversation(turns, 10**6)


def test_thousands_of_turns_cost_little(chatty: Path) -> None:
    chat = Writer.load(chatty, "cpu")
    turns = [("user", "Hi")] * 2000
    chat.conversation(turns[:2], 90)
    before = time.process_time()
    assert len(chat.conversation(turns, 90)) <= 90
    assert time.process_time() - before < 0.5


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        ([{"role": "user", "content": "Hi"}] * 2000, "2,000 turns and the limit is 200"),
        ([{"role": "user", "content": "a" * 10_000}] * 30, "300,000 characters and the limit is 200,000"),
        ([{"role": "user"}], "no role or no content"),
    ],
)
def test_a_conversation_is_bounded_and_its_bound_is_said(turns: list[dict[str, str]], said: str) -> None:
    with pytest.raises(InputError, match=said):
        turns_of(turns)


def test_the_cache_is_measured(client: Client) -> None:
    plot = call(client, "cache", **PROMPT)
    assert "<svg" in plot


def test_stop_ends_the_text_within_a_step(client: Client) -> None:
    passes, stopped = 0, threading.Event()

    def wait(module: nn.Module, _: Any) -> None:  # however fast the machine is, the text is not done before the click
        nonlocal passes
        if isinstance(module, Decoder):
            passes += 1
            assert passes <= 20 or stopped.wait(30)

    arguments = PROMPT | GREEDY | {"prompt": "O", "max_tokens": 1000, "stop": ""}
    with register_module_forward_pre_hook(wait):
        job = client.submit(api_name="/decoder_generator_generate", **arguments)
        next(iter(job))
        call(client, "stop")
        stopped.set()
        text, stats = job.result(timeout=30)
    assert 1 <= len(text) <= 1 + 21  # the prompt, and a letter of each pass
    assert passes <= 21
    assert "1,000 tokens" not in stats


def test_twenty_visitors_are_all_served(server: Server, writer: Writer) -> None:
    expected = written(writer, "ROMEO:", 30)

    def visit(_: int) -> str:
        return generate(Client(server.url, verbose=False), max_tokens=30)[0]

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(visit, range(20))) == {expected}


def escaped(text: str) -> str:
    from demo_app import viz

    return viz.escape(text)


def test_the_page_opens_with_what_the_real_model_writes() -> None:
    shown = example()
    if write(shown).written == shown.written:
        return
    # another processor may round another way and draw another letter; it is still a text of this model's
    writer = Writer.load(WEIGHTS / shown.checkpoint, "cpu")
    nats = writer.surprise(writer.encode(shown.prompt + shown.written))
    assert float(nats[len(shown.prompt) :].mean()) < 1.2  # nats; of a letter by chance 4.2
    assert len(shown.written) == shown.tokens


def memory() -> int:
    """Bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_two_hundred_visitors_who_vanish_in_mid_stream_leave_nothing_behind(
    server: Server, wait_until_idle: Callable[[Writer], None]
) -> None:
    (generate,) = [fn for fn in server.app.blocks.fns.values() if fn.api_name == "decoder_generator_generate"]
    data = [*PROMPT.values(), 1.0, 1.0, 0, 0, 1, 1000, None, ""]

    def visit(client: httpx.Client, number: int) -> None:
        session = f"gone{number}"
        event = {"data": data, "fn_index": generate._id, "session_hash": session}
        client.post("/gradio_api/queue/join", json=event).raise_for_status()
        with client.stream("GET", f"/gradio_api/queue/data?session_hash={session}") as events:
            for line in events.iter_lines():
                assert '"success":false' not in line
                if "process_generating" in line:
                    return  # the connection is closed while the text is being written

    demo = server.app.tabs[0].demo
    assert demo is not None
    with server.app.models.use(demo, "shakespeare") as writer:
        with httpx.Client(base_url=server.url, timeout=30) as client:
            sizes = []
            for number in range(240):
                visit(client, number)
                if number % 40 == 39:
                    wait_until_idle(writer)
                    sizes.append(memory())
        wait_until_idle(writer)
        assert max(sizes[1:]) - sizes[0] < 30e6  # the first forty warm all caches up
