"""The tab: layout and events. What is computed is in `explain` and `engine`, how it looks in `pictures`.

Text that is written comes from the checkpoint's one decode loop (`engine`). What a visitor looks at, token by token,
stays in the visitor's session (`Walk`): sliders and pickers only redraw from it. Nothing here imports torch: that
happens in the first event.
"""

from __future__ import annotations

import json
import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.context import Context

from demo_app import InputError, viz
from demo_app.api import display_name
from demo_app.inputs.text import clean
from demo_app.page.widgets import AVERAGE, drawing, index, numbers
from demo_app_decoder_generator import explain, pictures
from demo_app_decoder_generator.example import example
from demo_app_decoder_generator.how import HOW

if TYPE_CHECKING:
    from demo_app.page.handle import ModelHandle
    from demo_app_decoder_generator.engine import Text
    from demo_app_decoder_generator.sampling import Sampling
    from demo_app_decoder_generator.writer import Writer

FORMS = {"five": 5, "seven": 7, "free": 0}  # characters a line of a poem
AT_ONCE = 16  # visitors whose events reach the decode loop: 8 write, others see their place; the rest queue before it
WRITES: dict[str, Any] = {"concurrency_id": "write", "concurrency_limit": AT_ONCE}
PAUSE = 0.06  # seconds between two pictures of a text that grows: what an event costs must not slow the loop down
MOST = 1000  # tokens a visitor may ask for
LOOKED_AT = 256  # last tokens of a text that step mode reads
KEPT_SECONDS = 3 * 3600  # a session's walk is forgotten after so long


@dataclass(frozen=True)
class Lesson:
    """An example, and what to notice in it."""

    title: str
    prompt: str
    checkpoint: str
    lesson: str
    form: str = "five"


LESSONS = (
    Lesson(
        "Romeo speaks",
        "ROMEO:",
        "shakespeare",
        "It learned letters, not words: names, lines and speeches are its own idea of what comes next.",
    ),
    Lesson(
        "To be",
        "To be, or not to be",
        "shakespeare",
        "Does it know the line? Hamlet is not in what it was trained on. Set the temperature to 0 and see it loop.",
    ),
    Lesson("五言: 春夜", "春夜", "tang", "A poem of five characters a line for a title: “spring night”."),
    Lesson(
        "七言: 送友人", "送友人", "tang", "Seven characters a line: “seeing off a friend”. Count them.", form="seven"
    ),
    Lesson(
        "首句",
        "床前明月光，",
        "tang",
        "A first line without a title. The famous next one was in the training data: does it come?",
    ),
    Lesson(
        "A fact",
        "The capital of France is",
        "smollm2",
        "135 million parameters know capitals. Step by step: how sure was it, and in which layer did Paris appear?",
    ),
)


def build(handle: ModelHandle[Writer]) -> None:
    """Lay out the tab and wire its events. Called once, inside the host's `gr.Blocks`."""
    actions = Actions(handle)
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            given = input_panel(handle)
        with gr.Column(scale=6, min_width=300):
            shown = example().prompt + example().written
            written = gr.Textbox(shown, label="Text", lines=14, max_lines=22, buttons=["copy"])
            stats = drawing("Speed", opening_view())
            proceed = gr.Button("Go on from here", size="sm")
    gr.Markdown("### Stand inside the loop")
    with gr.Tabs(overflow_behavior="wrap"):
        with gr.Tab("Step by step"):
            walk, far = step_panel(actions, given)
        with gr.Tab("Look inside"):
            inside_panel(actions, given.picker, walk, far)
        with gr.Tab("Surprise"):
            surprise_panel(actions, given.picker, handle.settings.max_text)
        with gr.Tab("Greedy or sampled"):
            compare_panel(actions, given.asked)
        with gr.Tab("Chat"):
            chat_panel(actions, given)
        with gr.Tab("Why a cache"):
            cache_panel(actions, given.asked[:3])
        with gr.Tab("Why decoder-only"):
            drawing("Decoder-only", pictures.why_decoder_only())
        with gr.Tab("How it works"):
            gr.Markdown(HOW)
    write: dict[str, Any] = {"show_progress": "minimal", "show_progress_on": stats} | WRITES
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden"}
    private: dict[str, Any] = {"api_visibility": "private"}
    on, result = [given.generate.click, given.prompt.submit], [written, stats]
    gr.on(on, actions.generate, given.asked, result, api_name="generate", **write)
    given.stop.click(actions.stop, None, None, api_name="stop", **quick)
    lesson = [given.prompt, given.picker, given.form, given.lesson]
    chosen = given.lessons.click(actions.example, given.lessons, lesson, api_name="example", **quick)
    moved = proceed.click(actions.proceed, written, given.prompt, **private, **quick)
    for event in (chosen, moved):
        event.success(actions.generate, given.asked, result, **private, **write)
    assert Context.root_block is not None
    fitted = [given.picker.change, Context.root_block.load]
    gr.on(fitted, actions.fit, given.picker, [given.form, given.prompt], **private, **quick)


@dataclass(frozen=True)
class Inputs:
    """What a visitor gives, from top to bottom."""

    picker: gr.Dropdown
    prompt: gr.Textbox
    form: gr.Radio
    settings: list[Any]  # temperature, top-p, top-k, min-p, repetition penalty, tokens at most, seed, stop
    generate: gr.Button
    stop: gr.Button
    lessons: gr.Dataset
    lesson: gr.HTML

    @property
    def asked(self) -> list[Any]:
        return [self.prompt, self.picker, self.form, *self.settings]

    @property
    def drawing(self) -> list[Any]:
        """The settings by which one token is drawn."""
        return [*self.settings[:5], self.settings[6]]


def input_panel(handle: ModelHandle[Writer]) -> Inputs:
    """Checkpoint, prompt, settings and buttons."""
    picker = handle.picker()
    prompt = gr.Textbox(
        LESSONS[0].prompt,
        label="Prompt",
        info="The text to go on with. Shift+Enter generates.",
        lines=2,
        max_lines=8,
        max_length=handle.settings.max_text,
    )
    form = gr.Radio(
        [("Five characters a line", "five"), ("Seven", "seven"), ("Free", "free")],
        value="five",
        label="Form of the poem",
        info="The first line is the title; what follows it, or a first line with its comma, begins the poem.",
        visible=False,
    )
    with gr.Row():
        generate = gr.Button("Generate", variant="primary", min_width=120)
        stop = gr.Button("Stop", min_width=80)
    with gr.Accordion("Settings", open=False):
        temperature = gr.Slider(
            0, 2, 0.8, step=0.05, label="Temperature", info="0 is greedy: the likeliest token, always."
        )
        top_p = gr.Slider(0, 1, 0.95, step=0.01, label="Top-p", info="The likeliest tokens that together reach p.")
        with gr.Row():
            top_k = gr.Slider(0, 100, 0, step=1, label="Top-k (0: all)", min_width=140)
            min_p = gr.Slider(0, 1, 0, step=0.01, label="Min-p", min_width=140)
        with gr.Row():
            penalty = gr.Slider(1, 2, 1, step=0.05, label="Repetition penalty", min_width=140)
            most = gr.Slider(1, MOST, 300, step=1, label="Tokens at most", min_width=140)
        with gr.Row():
            seed = gr.Number(None, label="Seed (none: random)", precision=0, min_width=140)
            stops = gr.Textbox("", label="Stop at (one text a line)", lines=1, max_lines=4, min_width=140)
    lessons = gr.Dataset(
        components=["textbox"],
        samples=[[lesson.prompt] for lesson in LESSONS],
        sample_labels=[lesson.title for lesson in LESSONS],
        label="Try one: each teaches something",
        type="index",
    )
    lesson = gr.HTML("", label="Lesson", padding=False)
    settings = [temperature, top_p, top_k, min_p, penalty, most, seed, stops]
    return Inputs(picker, prompt, form, settings, generate, stop, lessons, lesson)


def step_panel(actions: Actions, given: Inputs) -> tuple[gr.State, gr.HTML]:
    """One token at a time: what was considered, and the way on that the visitor chooses."""
    walk = gr.State(None, time_to_live=KEPT_SECONDS)
    with gr.Row():
        start = gr.Button("Start at the prompt", variant="primary", min_width=160)
        likeliest = gr.Button("Take the likeliest", min_width=140)
        drawn = gr.Button("Draw one", min_width=100)
        back = gr.Button("Take back", min_width=100)
    far = drawing("Text so far", viz.note("Start, then choose each next token yourself.", kind="hint"))
    candidates = drawing("Candidates", "", js_on_load=pictures.script())
    step: dict[str, Any] = {"show_progress": "hidden", "concurrency_id": "look", "concurrency_limit": 4}
    shown = [walk, far, candidates]
    start.click(actions.start, [*given.asked[:3], *given.drawing], shown, api_name="start", **step)
    likeliest.click(actions.take_likeliest, [walk, *given.drawing], shown, api_name="take_likeliest", **step)
    drawn.click(actions.take_drawn, [walk, *given.drawing], shown, api_name="take_drawn", **step)
    back.click(actions.take_back, [walk, *given.drawing], shown, api_name="take_back", **step)
    candidates.click(actions.take_clicked, [walk, *given.drawing], shown, api_visibility="private", **step)
    number = gr.Number(0, visible=False, precision=0)
    taken = gr.Button("take", visible=False)
    taken.click(actions.take, [walk, number, *given.drawing], shown, api_name="take", **step)
    moved = [setting.input for setting in given.settings[:5]]
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden"}
    gr.on(moved, actions.candidates, [walk, *given.drawing], candidates, api_name="candidates", **quick)
    return walk, far


def inside_panel(actions: Actions, picker: gr.Dropdown, walk: gr.State, far: gr.HTML) -> None:
    """Attention and logit lens of the step that is looked at."""
    with gr.Row():
        layer = gr.Dropdown(numbers(Shape().layers), value=AVERAGE, label="Layer", min_width=140)
        head = gr.Dropdown(numbers(Shape().heads), value=AVERAGE, label="Head", min_width=140)
    hint = viz.note("Start at the prompt in 'Step by step'; the pictures follow each token.", kind="hint")
    attention = drawing("Attention of the last token", hint, js_on_load=pictures.script())
    lens = drawing("Logit lens", "")
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden"}
    where = [walk, layer, head]
    far.change(actions.inside, where, [attention, lens], api_name="inside", **quick)
    gr.on([layer.input, head.input], actions.attention, where, attention, api_name="attention", **quick)
    attention.click(actions.open_head, walk, [layer, head, attention], api_visibility="private", **quick)
    assert Context.root_block is not None
    fitted = [picker.change, Context.root_block.load]
    gr.on(fitted, actions.fit_heads, [picker, layer, head], [layer, head], api_visibility="private", **quick)


def surprise_panel(actions: Actions, picker: gr.Dropdown, limit: int) -> None:
    text = gr.Textbox(
        "First Citizen:\nWe are accounted poor citizens, the patricians good.",
        label="Any text",
        info="Each token is coloured by how little the model expected it: -log p.",
        lines=3,
        max_lines=10,
        max_length=limit,
    )
    button = gr.Button("How surprising is it?")
    view = drawing("Surprise", viz.note("Paste a poem, a headline, nonsense; misspell a word.", kind="hint"))
    button.click(actions.surprise, [text, picker], view, api_name="surprise", show_progress="minimal")


def compare_panel(actions: Actions, asked: list[Any]) -> None:
    gr.Markdown("The prompt above, twice in the same batch: the likeliest token always, and drawn with the settings.")
    button = gr.Button("Write both")
    with gr.Row():
        greedy = gr.Textbox(label="Greedy", lines=8, max_lines=16, min_width=280)
        sampled = gr.Textbox(label="Sampled", lines=8, max_lines=16, min_width=280)
    button.click(
        actions.compare,
        asked,
        [greedy, sampled],
        api_name="compare",
        show_progress="minimal",
        **WRITES,
    )


def chat_panel(actions: Actions, given: Inputs) -> None:
    chatbot = gr.Chatbot(label="Conversation", height=380, buttons=["copy"])
    with gr.Row():
        message = gr.Textbox(
            label="Your message", show_label=False, placeholder="Say something; Enter sends.", scale=5, min_width=200
        )
        send = gr.Button("Send", variant="primary", scale=1, min_width=80)
        clear = gr.Button("Clear", scale=1, min_width=80)
    gr.Markdown(
        "For checkpoints that were tuned to chat (SmolLM2, Qwen2.5), with their own template. They are small: fluent, "
        "often wrong."
    )
    gr.on(
        [send.click, message.submit],
        actions.chat,
        [message, chatbot, given.picker, *given.settings],
        [message, chatbot],
        api_name="chat",
        show_progress="minimal",
        **WRITES,
    )
    clear.click(lambda: [], None, chatbot, queue=False, api_visibility="private")


def cache_panel(actions: Actions, asked: list[Any]) -> None:
    gr.Markdown(
        "Each new token needs the keys and values of all before it. Kept, a step reads one token; thrown away, it "
        "reads the whole text again."
    )
    button = gr.Button("Measure both")
    view = drawing("Milliseconds a token", viz.note("Takes about ten seconds; the plot grows.", kind="hint"))
    button.click(
        actions.cache,
        asked,
        view,
        api_name="cache",
        show_progress="hidden",
        concurrency_id="measure",
        concurrency_limit=1,
    )


@dataclass(frozen=True)
class Shape:
    """What the page must know of a checkpoint before it is loaded."""

    layers: int = 30  # the most that any checkpoint has
    heads: int = 14
    poems: bool = False

    @classmethod
    def of(cls, folder: Path | None) -> Shape:
        """By config.json, ours or a published one; the largest where the files are away."""
        if folder is None:
            return cls()
        config = json.loads((folder / "config.json").read_text("utf-8"))
        layers = config.get("layers") or config.get("n_layer") or config.get("num_hidden_layers") or cls.layers
        heads = config.get("heads") or config.get("n_head") or config.get("num_attention_heads") or cls.heads
        ours = "layers" in config
        return cls(layers, heads, ours and '"[FIVE]"' in (folder / "tokenizer.json").read_text("utf-8"))


@dataclass(frozen=True, kw_only=True, eq=False)
class Walk:
    """Where a visitor stands inside the loop. Small: every session keeps one."""

    checkpoint: str
    prompt: tuple[int, ...]
    taken: tuple[int, ...]  # tokens that were chosen after the prompt
    text: str  # of the prompt
    written: str  # of what was chosen
    look: explain.Look
    notes: tuple[str, ...] = ()


class Actions:
    """What a visitor or a client can do: one method an event."""

    def __init__(self, handle: ModelHandle[Writer]) -> None:
        self.handle = handle
        self._writing: dict[str, list[Text]] = {}  # by session, so that Stop finds them
        self._changing = threading.Lock()  # guards `_writing`

    def generate(
        self,
        prompt: str,
        checkpoint: str,
        form: str,
        temperature: float,
        top_p: float,
        top_k: int,
        min_p: float,
        repetition_penalty: float,
        max_tokens: int,
        seed: int | None,
        stop: str,
        request: gr.Request,
    ) -> Iterator[tuple[str, str]]:
        """Go on with a text, token by token.

        Args:
            prompt: the text to go on with; for poems the title, or a first line with its punctuation.
            checkpoint: its name, such as shakespeare, tang or smollm2.
            form: of a poem: five, seven or free.
            temperature: 0 is greedy, 1 draws from the model's own probabilities.
            top_p: keep the likeliest tokens that together have this probability.
            top_k: keep so many of the likeliest tokens; 0 keeps all.
            min_p: drop tokens with less than this share of the likeliest one's probability.
            repetition_penalty: above 1, tokens that are in the text become less likely.
            max_tokens: tokens to write at most.
            seed: the same seed gives the same text; none draws one.
            stop: texts that end it, one a line.

        Returns:
            The prompt and what was written so far; speed and notes as HTML.
        """
        sampling = sampling_of(temperature, top_p, top_k, min_p, repetition_penalty, seed)
        with self.handle.use(checkpoint) as writer:
            asked = Asked.of(writer, prompt, form, max_tokens)
            text = writer.engine.write(asked.ids, asked.most, sampling, writer.config.stop_ids)
            with self._stoppable(request, text):
                yield asked.shown, card(checkpoint, writer, asked.notes, "waits for its turn")
                for place in writer.engine.waiting_for(text):
                    yield asked.shown, card(checkpoint, writer, asked.notes, f"place {place} in line")
                for piece, progress in paced(writer, text, stops(stop)):
                    notes = (*asked.notes, *([f"seed {sampling.seed}"] if sampling.temperature else []))
                    yield asked.shown + piece, card(checkpoint, writer, notes, *progress)

    def stop(self, request: gr.Request) -> None:
        """End the texts that are being written for this session; what is written stays."""
        with self._changing:
            for text in self._writing.get(session(request), ()):
                text.stop()

    def _stoppable(self, request: gr.Request, *texts: Text) -> Stoppable:
        return Stoppable(self._writing, self._changing, session(request), texts)

    def example(self, number: int) -> tuple[Any, ...]:
        """Choose one of the examples.

        Args:
            number: which example, from 0.

        Returns:
            Its prompt; its checkpoint; the form of a poem; what to notice, as HTML.
        """
        if number not in range(len(LESSONS)):  # a number, or nothing at all
            raise InputError(f"There is no example {number}; choose one from 0 to {len(LESSONS) - 1}.")
        lesson = LESSONS[number]
        return lesson.prompt, lesson.checkpoint, lesson.form, viz.note(lesson.lesson, kind="lesson")

    def proceed(self, written: str) -> str:
        """What was written becomes the prompt."""
        if not written:
            raise InputError("Nothing is written yet; press Generate first.")
        return written

    def fit(self, checkpoint: str) -> tuple[Any, Any]:
        """The form of a poem is asked for where the checkpoint writes poems."""
        poems = Shape.of(self.handle.folder(checkpoint)).poems
        label = "Title or first line" if poems else "Prompt"
        return gr.update(visible=poems), gr.update(label=label)

    def fit_heads(self, checkpoint: str, layer: str, head: str) -> tuple[Any, Any]:
        """The pickers of layers and heads for the chosen checkpoint; what it does not have becomes the average."""
        shape = Shape.of(self.handle.folder(checkpoint))
        layers, heads = numbers(shape.layers), numbers(shape.heads)
        return (
            gr.update(choices=layers, value=layer if layer in layers else AVERAGE),
            gr.update(choices=heads, value=head if head in heads else AVERAGE),
        )

    def start(
        self,
        prompt: str,
        checkpoint: str,
        form: str,
        temperature: float,
        top_p: float,
        top_k: int,
        min_p: float,
        repetition_penalty: float,
        seed: int | None,
    ) -> tuple[Walk, str, str]:
        """Read the prompt and show what the model considers as its next token.

        Args:
            prompt: the text to go on with; for poems the title, or a first line with its punctuation.
            checkpoint: its name, such as shakespeare, tang or smollm2.
            form: of a poem: five, seven or free.
            temperature: of the probabilities that are shown; 0 is greedy.
            top_p: as in generate.
            top_k: as in generate.
            min_p: as in generate.
            repetition_penalty: as in generate.
            seed: of the token that is drawn; none draws one.

        Returns:
            The text so far as HTML; the candidates as HTML.
        """
        sampling = sampling_of(temperature, top_p, top_k, min_p, repetition_penalty, seed)
        with self.handle.use(checkpoint) as writer:
            asked = Asked.of(writer, prompt, form, LOOKED_AT // 4)
            look = explain.look(writer.network, writer.tokenizer, asked.ids[-LOOKED_AT:])
            walk = Walk(
                checkpoint=checkpoint,
                prompt=tuple(asked.ids),
                taken=(),
                text=asked.shown,
                written="",
                look=look,
                notes=asked.notes,
            )
            return walk, walk_view(walk), self._considered(walk, writer, sampling)

    def take(
        self,
        walk: Walk | None,
        token: int,
        temperature: float,
        top_p: float,
        top_k: int,
        min_p: float,
        repetition_penalty: float,
        seed: int | None,
    ) -> tuple[Walk, str, str]:
        """Take a token, whichever it is, and look at what comes next.

        Args:
            walk: kept by the session.
            token: its id, from the candidates' buttons.
            temperature: of the probabilities that are shown; 0 is greedy.
            top_p: as in generate.
            top_k: as in generate.
            min_p: as in generate.
            repetition_penalty: as in generate.
            seed: of the token that is drawn; none draws one.

        Returns:
            The text so far as HTML; the candidates as HTML.
        """
        sampling = sampling_of(temperature, top_p, top_k, min_p, repetition_penalty, seed)
        return self._take(walk, sampling, lambda walk: int(token))

    def take_likeliest(
        self,
        walk: Walk | None,
        temperature: float,
        top_p: float,
        top_k: int,
        min_p: float,
        repetition_penalty: float,
        seed: int | None,
    ) -> tuple[Walk, str, str]:
        """Take the token that the model holds likeliest, and look at what comes next.

        Args:
            walk: kept by the session.
            temperature: of the probabilities that are shown; 0 is greedy.
            top_p: as in generate.
            top_k: as in generate.
            min_p: as in generate.
            repetition_penalty: as in generate.
            seed: of the token that is drawn; none draws one.

        Returns:
            The text so far as HTML; the candidates as HTML.
        """
        sampling = sampling_of(temperature, top_p, top_k, min_p, repetition_penalty, seed)
        return self._take(walk, sampling, lambda walk: int(walk.look.logits.argmax()))

    def take_drawn(
        self,
        walk: Walk | None,
        temperature: float,
        top_p: float,
        top_k: int,
        min_p: float,
        repetition_penalty: float,
        seed: int | None,
    ) -> tuple[Walk, str, str]:
        """Draw a token with the settings, and look at what comes next.

        Args:
            walk: kept by the session.
            temperature: of the probabilities that are shown; 0 is greedy.
            top_p: as in generate.
            top_k: as in generate.
            min_p: as in generate.
            repetition_penalty: as in generate.
            seed: of the token that is drawn; none draws one.

        Returns:
            The text so far as HTML; the candidates as HTML.
        """

        def drawn(walk: Walk) -> int:
            import torch

            from demo_app_decoder_generator.sampling import draw

            generator = torch.Generator().manual_seed((sampling.seed or 0) + len(walk.taken))
            seen = (*walk.prompt, *walk.taken)
            return draw(torch.from_numpy(walk.look.logits), sampling, generator, seen)

        sampling = sampling_of(temperature, top_p, top_k, min_p, repetition_penalty, seed)
        return self._take(walk, sampling, drawn)

    def take_clicked(
        self,
        walk: Walk | None,
        temperature: float,
        top_p: float,
        top_k: int,
        min_p: float,
        repetition_penalty: float,
        seed: int | None,
        event: gr.EventData,
    ) -> tuple[Walk, str, str]:
        """A click on a candidate: `take` it."""
        sampling = sampling_of(temperature, top_p, top_k, min_p, repetition_penalty, seed)
        return self._take(walk, sampling, lambda walk: int(event.token))

    def take_back(
        self,
        walk: Walk | None,
        temperature: float,
        top_p: float,
        top_k: int,
        min_p: float,
        repetition_penalty: float,
        seed: int | None,
    ) -> tuple[Walk, str, str]:
        """Go back by one token.

        Args:
            walk: kept by the session.
            temperature: of the probabilities that are shown; 0 is greedy.
            top_p: as in generate.
            top_k: as in generate.
            min_p: as in generate.
            repetition_penalty: as in generate.
            seed: of the token that is drawn; none draws one.

        Returns:
            The text so far as HTML; the candidates as HTML.
        """
        if walk is None or not walk.taken:
            raise InputError("Nothing was taken yet; start, and choose a token.")
        sampling = sampling_of(temperature, top_p, top_k, min_p, repetition_penalty, seed)
        return self._go(walk, walk.taken[:-1], sampling)

    def _take(self, walk: Walk | None, sampling: Sampling, choose: Callable[[Walk], int]) -> tuple[Walk, str, str]:
        if walk is None:
            raise InputError("Nothing is looked at yet; press 'Start at the prompt' first.")
        token = choose(walk)
        if not 0 <= token < len(walk.look.logits):
            raise InputError(f"There is no token {token}; choose one from 0 to {len(walk.look.logits) - 1}.")
        return self._go(walk, (*walk.taken, token), sampling)

    def _go(self, walk: Walk, taken: tuple[int, ...], sampling: Sampling) -> tuple[Walk, str, str]:
        with self.handle.use(walk.checkpoint) as writer:
            ids = [*walk.prompt, *taken][-min(LOOKED_AT, writer.config.context) :]
            walk = Walk(
                checkpoint=walk.checkpoint,
                prompt=walk.prompt,
                taken=taken,
                text=walk.text,
                written=whole(writer, walk.prompt, taken),
                look=explain.look(writer.network, writer.tokenizer, ids),
                notes=walk.notes,
            )
            return walk, walk_view(walk), self._considered(walk, writer, sampling)

    def candidates(
        self,
        walk: Walk | None,
        temperature: float,
        top_p: float,
        top_k: int,
        min_p: float,
        repetition_penalty: float,
        seed: int | None,
    ) -> str:
        """Draw the candidates again with other settings, from the scores that are kept: the model does not run.

        Args:
            walk: kept by the session.
            temperature: of the probabilities that are shown; 0 is greedy.
            top_p: as in generate.
            top_k: as in generate.
            min_p: as in generate.
            repetition_penalty: as in generate.
            seed: of the token that is drawn; none draws one.

        Returns:
            The candidates as HTML.
        """
        if walk is None:
            return ""
        sampling = sampling_of(temperature, top_p, top_k, min_p, repetition_penalty, seed)
        with self.handle.use(walk.checkpoint) as writer:
            return self._considered(walk, writer, sampling)

    def _considered(self, walk: Walk, writer: Writer, sampling: Sampling) -> str:
        seen = (*walk.prompt, *walk.taken)
        return pictures.candidates_picture(
            explain.candidates(walk.look.logits, writer.tokenizer, sampling, seen=seen)
        ) + viz.note(
            card_line(walk.checkpoint, writer, (f"step {walk.look.milliseconds:.0f} ms", *walk.notes)), kind="card"
        )

    def inside(self, walk: Walk | None, layer: str, head: str) -> tuple[str, str]:
        """Attention of the last token, and the logit lens, of the step that is looked at.

        Args:
            walk: kept by the session.
            layer: whose attention is drawn: average, or the layer's number from 1.
            head: average, or the head's number from 1.

        Returns:
            The attention as HTML; the logit lens as HTML.
        """
        if walk is None:
            return gr.skip(), gr.skip()
        return self.attention(walk, layer, head), pictures.lens_table(walk.look)

    def attention(self, walk: Walk | None, layer: str, head: str) -> str:
        """Attention of the last token in one head, or an average.

        Args:
            walk: kept by the session.
            layer: average, or the layer's number from 1.
            head: average, or the head's number from 1.

        Returns:
            The tokens, coloured, and all heads, as HTML.
        """
        if walk is None:
            raise InputError("Nothing is looked at yet; press 'Start at the prompt' first.")
        layers, heads = walk.look.attention.shape[:2]
        return pictures.attention_of_last(walk.look, index(layer, layers), index(head, heads))

    def open_head(self, walk: Walk | None, event: gr.EventData) -> tuple[Any, Any, str]:
        """A click on a thumbnail: `attention` with that layer and head, which the pickers then offer."""
        if walk is None:
            raise InputError("Nothing is looked at yet; press 'Start at the prompt' first.")
        layers, heads = walk.look.attention.shape[:2]
        layer, head = str(int(event.layer) + 1), str(int(event.head) + 1)
        chosen = gr.update(choices=numbers(layers), value=layer), gr.update(choices=numbers(heads), value=head)
        return *chosen, self.attention(walk, layer, head)

    def surprise(self, text: str, checkpoint: str) -> str:
        """Colour a text by how little the model expected each token, and give its perplexity.

        Args:
            text: any text.
            checkpoint: its name, such as shakespeare, tang or smollm2.

        Returns:
            The tokens, coloured by -log p, as HTML.
        """
        if not text or not text.strip():
            raise InputError("The text is empty; paste or write one.")
        with self.handle.use(checkpoint) as writer:
            text = clean(text)
            return pictures.surprise_strip(explain.surprise(writer, text))

    def compare(
        self,
        prompt: str,
        checkpoint: str,
        form: str,
        temperature: float,
        top_p: float,
        top_k: int,
        min_p: float,
        repetition_penalty: float,
        max_tokens: int,
        seed: int | None,
        stop: str,
        request: gr.Request,
    ) -> Iterator[tuple[str, str]]:
        """Go on with a text twice: with the likeliest token always, and drawn.

        Args:
            prompt: the text to go on with; for poems the title, or a first line with its punctuation.
            checkpoint: its name, such as shakespeare, tang or smollm2.
            form: of a poem: five, seven or free.
            temperature: as in generate, for the second text.
            top_p: as in generate, for the second text.
            top_k: as in generate, for the second text.
            min_p: as in generate, for the second text.
            repetition_penalty: as in generate, for the second text.
            max_tokens: tokens to write at most.
            seed: as in generate, for the second text.
            stop: texts that end either, one a line.

        Returns:
            The greedy text so far; the sampled text so far.
        """
        sampled = sampling_of(temperature, top_p, top_k, min_p, repetition_penalty, seed)
        greedy = sampling_of(0, 1, 0, 0, 1, 0)
        with self.handle.use(checkpoint) as writer:
            asked = Asked.of(writer, prompt, form, max_tokens)
            texts = [
                writer.engine.write(asked.ids, asked.most, sampling, writer.config.stop_ids)
                for sampling in (greedy, sampled)
            ]
            with self._stoppable(request, *texts):
                last = ("", "")
                for pair in zip_longest(*(paced(writer, text, stops(stop)) for text in texts)):
                    last = tuple(new[0] if new else old for new, old in zip(pair, last, strict=True))
                    yield asked.shown + last[0], asked.shown + last[1]

    def chat(
        self,
        message: str,
        history: list[dict[str, Any]],
        checkpoint: str,
        temperature: float,
        top_p: float,
        top_k: int,
        min_p: float,
        repetition_penalty: float,
        max_tokens: int,
        seed: int | None,
        stop: str,
        request: gr.Request,
    ) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Answer in a conversation; for checkpoints that were tuned to chat.

        Args:
            message: what to answer.
            history: the conversation so far: role and content of each turn.
            checkpoint: its name: smollm2 or qwen2_5.
            temperature: as in generate.
            top_p: as in generate.
            top_k: as in generate.
            min_p: as in generate.
            repetition_penalty: as in generate.
            max_tokens: tokens to write at most.
            seed: as in generate.
            stop: texts that end the answer, one a line.

        Returns:
            An empty message; the conversation with the answer so far.
        """
        if not message or not message.strip():
            raise InputError("The message is empty; write something to answer.")
        sampling = sampling_of(temperature, top_p, top_k, min_p, repetition_penalty, seed)
        with self.handle.use(checkpoint) as writer:
            if writer.template is None:
                name = display_name(checkpoint)
                raise InputError(f"{name} was not tuned to chat; choose SmolLM2 or Qwen2.5 in the picker.")
            turns = [*said(history), ("user", clean(message))]
            most = whole_number(max_tokens, "Tokens at most", MOST)
            ids = writer.conversation(turns, writer.engine.room(most))
            text = writer.engine.write(ids, most, sampling, writer.config.stop_ids)
            shown = [{"role": role, "content": content} for role, content in turns]
            with self._stoppable(request, text):
                yield "", [*shown, {"role": "assistant", "content": "…"}]
                for piece, _ in paced(writer, text, stops(stop)):
                    yield "", [*shown, {"role": "assistant", "content": piece}]

    def cache(self, prompt: str, checkpoint: str, form: str) -> Iterator[str]:
        """Measure milliseconds a token with and without the key-value cache, as the text grows.

        Args:
            prompt: the text to go on with.
            checkpoint: its name, such as shakespeare, tang or smollm2.
            form: of a poem: five, seven or free.

        Returns:
            Milliseconds a token over the length of the text, as HTML.
        """
        with self.handle.use(checkpoint) as writer:
            asked = Asked.of(writer, prompt, form, 64)
            for timing in explain.cache_timing(writer.network, asked.ids):
                yield pictures.timing_plot(timing)


@dataclass(frozen=True)
class Asked:
    """A prompt as the network reads it, and what a visitor is told about it."""

    ids: list[int]
    shown: str  # of the prompt, before what is written
    most: int  # tokens to write
    notes: tuple[str, ...]

    @classmethod
    def of(cls, writer: Writer, prompt: str, form: str, most: float) -> Asked:
        """Raises `InputError` for an empty prompt, one of unknown characters alone, an unknown form, no tokens."""
        if form not in FORMS:
            raise InputError(f"There is no form {form!r}; choose one of: {', '.join(FORMS)}.")
        prompt = clean(prompt or "")
        if not prompt.strip():
            raise InputError("The prompt is empty; write at least one character.")
        ids, shown = writer.prompt(prompt, FORMS[form])
        if not ids:
            raise InputError(f"The model knows none of these characters: {viz.escape(prompt[:20])}; write others.")
        wanted = whole_number(most, "Tokens at most", MOST)
        notes = unknown_note(writer, prompt)
        room = writer.engine.room(wanted)
        if len(ids) > room:
            notes = (*notes, f"the prompt was shortened from the left to its last {room:,} of {len(ids):,} tokens")
        return cls(ids[-room:], shown, wanted, notes)


class Stoppable:
    """While it is entered, Stop finds these texts; afterwards they are stopped, however it was left."""

    def __init__(
        self, writing: dict[str, list[Text]], changing: threading.Lock, key: str, texts: Sequence[Text]
    ) -> None:
        self.writing, self.changing, self.key, self.texts = writing, changing, key, texts

    def __enter__(self) -> None:
        with self.changing:
            self.writing.setdefault(self.key, []).extend(self.texts)

    def __exit__(self, *_: object) -> None:
        with self.changing:
            left = [text for text in self.writing.get(self.key, ()) if text not in self.texts]
            if left:
                self.writing[self.key] = left
            else:
                self.writing.pop(self.key, None)
        for text in self.texts:
            text.stop()


def paced(writer: Writer, text: Text, stop: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """All that was written so far, and its speed: every `PAUSE` seconds, less often in a crowd, and at the end."""
    from demo_app_decoder_generator.stream import TextStream

    stream = TextStream(writer.tokenizer, stop=stop, prompt_ids=text.prompt)
    so_far, count, first, started, shown = "", 0, 0.0, time.perf_counter(), 0.0
    for token in text:
        if token.id in text.stop_ids:
            break
        count += 1
        first = first or token.waited
        started = started if count > 1 else time.perf_counter()
        so_far += stream.push(token.id)
        now = time.perf_counter()
        if now - shown >= PAUSE * max(1, writer.engine.writing / 2):  # a crowd's pictures cost what one's do, each
            shown = now
            yield writer.printed(so_far), speed(count, first, now - started)
        if stream.stopped:
            break
    ended = time.perf_counter() - started
    yield writer.printed(so_far + stream.flush()), speed(count, first, ended)


def speed(count: int, first: float, seconds: float) -> tuple[str, ...]:
    """Tokens, time to the first, and how many a second after it."""
    parts = [f"{count:,} tokens", f"first after {1000 * first:,.0f} ms"]
    if count > 1 and seconds > 0:
        parts.append(f"{(count - 1) / seconds:,.0f} tokens/s")
    return tuple(parts)


def sampling_of(
    temperature: float, top_p: float, top_k: float, min_p: float, repetition_penalty: float, seed: float | None
) -> Sampling:
    """The settings as the sampler takes them. Raises `InputError` for what is no number or out of its range."""
    from demo_app_decoder_generator.sampling import Sampling

    values = {"temperature": temperature, "top_p": top_p, "min_p": min_p, "repetition_penalty": repetition_penalty}
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"{name} is {value!r}; give a number.")
    seed = random.randrange(2**31) if seed is None else whole_number(seed, "The seed", 2**53, least=None)
    return Sampling(**values, top_k=whole_number(top_k, "top_k", 10**9, least=None), seed=seed)


def whole_number(value: Any, name: str, most: int, least: int | None = 1) -> int:
    """Raises `InputError` for what is no whole number from `least` to `most`."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or value != int(value) or value > most or (least is not None and value < least):
        raise InputError(f"{name} is {value}; give a whole number from {least or 0} to {most:,}.")
    return int(value)


def stops(text: str | None) -> list[str]:
    """The texts that end what is written, one a line."""
    return [line for line in (text or "").splitlines() if line]


def said(history: Sequence[dict[str, Any]] | None) -> list[tuple[str, str]]:
    """(role, text) of each turn as Gradio keeps them."""
    turns = []
    for turn in history or ():
        content = turn["content"]
        if not isinstance(content, str):  # Gradio sends a list of parts
            content = "".join(part.get("text", "") for part in content if isinstance(part, dict))
        turns.append((str(turn["role"]), content))
    return turns


def session(request: gr.Request) -> str:
    return str(request.session_hash or id(request))


def unknown_note(writer: Writer, text: str) -> tuple[str, ...]:
    """Which characters the model has no token for."""
    unknown = writer.unknown(text)
    if not unknown:
        return ()
    shown = " ".join(unknown[:12]) + (" …" if len(unknown) > 12 else "")
    return (f"left out, since the model does not know them: {shown}",)


def whole(writer: Writer, prompt: Sequence[int], taken: Sequence[int]) -> str:
    """The text of the tokens that were taken, with half characters at its end marked."""
    before = writer.tokenizer.decode(list(prompt), skip_special_tokens=False)
    return writer.tokenizer.decode([*prompt, *taken], skip_special_tokens=False)[len(before) :]


def walk_view(walk: Walk) -> str:
    """The prompt, and after it what was chosen."""
    return (
        f'<pre class="gen-walk"><span>{viz.escape(walk.text)}</span><mark>{viz.escape(walk.written)}</mark></pre></div>'
    )


def opening_view() -> str:
    """What is said of the text that a freshly opened page shows."""
    said = f"{example().checkpoint} · temperature {example().temperature:g} · seed {example().seed}"
    return viz.note(said, kind="card") + viz.note("Written beforehand. Press Generate for another; Stop ends it.")


def card(checkpoint: str, writer: Writer, notes: Sequence[str], *parts: str) -> str:
    """One line on the model and its speed, then what must be said."""
    return viz.note(card_line(checkpoint, writer, parts), kind="card") + notes_view(notes)


def card_line(checkpoint: str, writer: Writer, parts: Sequence[str]) -> str:
    return " · ".join(
        [display_name(checkpoint), f"{writer.parameters / 1e6:,.1f} M parameters", writer.precision, *parts]
    )


def notes_view(notes: Sequence[str]) -> str:
    return "".join(viz.note(note[0].upper() + note[1:] + ".") for note in notes)
