"""The tab: components and wiring. What a click does is in `actions`, how it looks in `views`, `charts` and `cards`.

Nothing here imports torch: that happens in the first event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from demo_app import viz
from demo_app.page.widgets import AVERAGE, drawing, lesson_buttons, numbers, session_state
from demo_app_decoder_generator import charts, views
from demo_app_decoder_generator.actions import Actions
from demo_app_decoder_generator.cards import opening_view
from demo_app_decoder_generator.example import example
from demo_app_decoder_generator.how import HOW
from demo_app_decoder_generator.lessons import LESSONS
from demo_app_decoder_generator.prompts import MAX_TOKENS
from demo_app_decoder_generator.settings import DRAWING, WRITING
from demo_app_decoder_generator.shape import Shape

if TYPE_CHECKING:
    from demo_app import ModelHandle
    from demo_app_decoder_generator.writer import Writer

AT_ONCE = 16  # visitors whose events reach the decode loop: 8 write, others see their place; the rest queue before it
WRITE: dict[str, Any] = {"concurrency_id": "write", "concurrency_limit": AT_ONCE}
LOOK: dict[str, Any] = {"show_progress": "hidden", "concurrency_id": "look", "concurrency_limit": 4}
QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden"}
PRIVATE: dict[str, Any] = {"api_visibility": "private"}


def card(label: str, value: str, js_on_load: str | None = None) -> gr.HTML:
    """A card for one of this plugin's views, with their style sheet."""
    return drawing(label, value, js_on_load, css=views.style())


def build(handle: ModelHandle[Writer]) -> None:
    """Lay out the tab and wire its events. Called once, inside the host's `gr.Blocks`."""
    actions = Actions(handle)
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            given = input_panel(handle)
        with gr.Column(scale=6, min_width=300):
            shown = example().prompt + example().written
            written = gr.Textbox(shown, label="Text", lines=14, max_lines=22, buttons=["copy"])
            stats = card("Speed", opening_view())
            proceed = gr.Button("Go on from here", size="sm")
    gr.Markdown("### Stand inside the loop")
    with gr.Tabs(overflow_behavior="wrap"):
        with gr.Tab("Step by step"):
            walk, far = step_panel(actions, given)
        with gr.Tab("Look inside"):
            inside_panel(handle, actions, given.picker, walk, far)
        with gr.Tab("Surprise"):
            surprise_panel(actions, given.picker, handle.settings.max_text)
        with gr.Tab("Greedy or sampled"):
            compare_panel(actions, given.asked)
        with gr.Tab("Chat"):
            chat_panel(actions, given)
        with gr.Tab("Why a cache"):
            cache_panel(actions, given.asked[:3])
        with gr.Tab("Why decoder-only"):
            card("Decoder-only", charts.decoder_only_view())
        with gr.Tab("How it works"):
            gr.Markdown(HOW)
    write: dict[str, Any] = {"show_progress": "minimal", "show_progress_on": stats} | WRITE
    generate, result = [given.generate.click, given.prompt.submit], [written, stats]
    gr.on(generate, actions.generate, given.asked, result, api_name="generate", **write)
    given.stop.click(actions.stop, None, None, api_name="stop", **QUICK)
    lesson = [given.prompt, given.picker, given.form, given.lesson]
    chosen = given.lessons.click(actions.example, given.lessons, lesson, api_name="example", **QUICK)
    moved = proceed.click(actions.proceed, written, given.prompt, **PRIVATE, **QUICK)
    for event in (chosen, moved):
        event.success(actions.generate, given.asked, result, **PRIVATE, **write)
    given.picker.change(actions.fit, given.picker, [given.form, given.prompt], **PRIVATE, **QUICK)
    handle.on_open(actions.fit, given.picker, [given.form, given.prompt])


@dataclass(frozen=True)
class Inputs:
    """What a visitor gives, from top to bottom."""

    picker: gr.Dropdown
    prompt: gr.Textbox
    form: gr.Radio
    settings: dict[str, Any]  # a component for each name in `WRITING`
    generate: gr.Button
    stop: gr.Button
    lessons: gr.Dataset
    lesson: gr.HTML

    @property
    def asked(self) -> list[Any]:
        """What the endpoints that write a text take."""
        return [self.prompt, self.picker, self.form, *self.writing]

    @property
    def writing(self) -> list[Any]:
        return [self.settings[name] for name in WRITING]

    @property
    def drawing(self) -> list[Any]:
        return [self.settings[name] for name in DRAWING]


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
        settings = settings_panel()
    lessons = lesson_buttons(LESSONS, [[lesson.prompt] for lesson in LESSONS])
    lesson = gr.HTML("", label="Lesson", padding=False)
    return Inputs(picker, prompt, form, settings, generate, stop, lessons, lesson)


def settings_panel() -> dict[str, Any]:
    """The generation settings, by name."""
    temperature = gr.Slider(0, 2, 0.8, step=0.05, label="Temperature", info="0 is greedy: the likeliest token, always.")
    top_p = gr.Slider(0, 1, 0.95, step=0.01, label="Top-p", info="The likeliest tokens that together reach p.")
    with gr.Row():
        top_k = gr.Slider(0, 100, 0, step=1, label="Top-k (0: all)", min_width=140)
        min_p = gr.Slider(0, 1, 0, step=0.01, label="Min-p", min_width=140)
    with gr.Row():
        penalty = gr.Slider(1, 2, 1, step=0.05, label="Repetition penalty", min_width=140)
        max_tokens = gr.Slider(1, MAX_TOKENS, 300, step=1, label="Tokens at most", min_width=140)
    with gr.Row():
        seed = gr.Number(None, label="Seed (none: random)", precision=0, min_width=140)
        stop = gr.Textbox("", label="Stop at (one text a line)", lines=1, max_lines=4, min_width=140)
    return {
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "min_p": min_p,
        "repetition_penalty": penalty,
        "max_tokens": max_tokens,
        "seed": seed,
        "stop": stop,
    }


def step_panel(actions: Actions, given: Inputs) -> tuple[gr.State, gr.HTML]:
    """One token at a time: what was considered, and the way on that the visitor chooses."""
    walk = session_state()
    with gr.Row():
        start = gr.Button("Start at the prompt", variant="primary", min_width=160)
        likeliest = gr.Button("Take the likeliest", min_width=140)
        drawn = gr.Button("Draw one", min_width=100)
        back = gr.Button("Take back", min_width=100)
    far = card("Text so far", viz.note("Start, then choose each next token yourself.", kind="hint"))
    candidates = card("Candidates", "", views.script())
    shown = [walk, far, candidates]
    start.click(actions.start, [*given.asked[:3], *given.drawing], shown, api_name="start", **LOOK)
    likeliest.click(actions.take_likeliest, [walk, *given.drawing], shown, api_name="take_likeliest", **LOOK)
    drawn.click(actions.take_drawn, [walk, *given.drawing], shown, api_name="take_drawn", **LOOK)
    back.click(actions.take_back, [walk, *given.drawing], shown, api_name="take_back", **LOOK)
    candidates.click(actions.take_clicked, [walk, *given.drawing], shown, **PRIVATE, **LOOK)
    number = gr.Number(0, visible=False, precision=0)
    taken = gr.Button("take", visible=False)
    taken.click(actions.take, [walk, number, *given.drawing], shown, api_name="take", **LOOK)
    moved = [setting.input for setting in given.drawing[:5]]  # the seed does not move the candidates
    gr.on(moved, actions.candidates, [walk, *given.drawing], candidates, api_name="candidates", **QUICK)
    return walk, far


def inside_panel(
    handle: ModelHandle[Writer], actions: Actions, picker: gr.Dropdown, walk: gr.State, far: gr.HTML
) -> None:
    """Attention and logit lens at the step where the visitor stands."""
    with gr.Row():
        layer = gr.Dropdown(numbers(Shape().layers), value=AVERAGE, label="Layer", min_width=140)
        head = gr.Dropdown(numbers(Shape().heads), value=AVERAGE, label="Head", min_width=140)
    hint = viz.note("Start at the prompt in 'Step by step'; the pictures follow each token.", kind="hint")
    attention = card("Attention of the last token", hint, views.script())
    lens = card("Logit lens", "")
    where = [walk, layer, head]
    far.change(actions.inside, where, [attention, lens], api_name="inside", **QUICK)
    gr.on([layer.input, head.input], actions.attention, where, attention, api_name="attention", **QUICK)
    attention.click(actions.open_head, walk, [layer, head, attention], **PRIVATE, **QUICK)
    picker.change(actions.fit_heads, [picker, layer, head], [layer, head], **PRIVATE, **QUICK)
    handle.on_open(actions.fit_heads, [picker, layer, head], [layer, head])


def surprise_panel(actions: Actions, picker: gr.Dropdown, limit: int) -> None:
    """A text of at most `limit` characters, coloured by how little the model expected it."""
    text = gr.Textbox(
        "First Citizen:\nWe are accounted poor citizens, the patricians good.",
        label="Any text",
        info="Each token is coloured by how little the model expected it: -log p.",
        lines=3,
        max_lines=10,
        max_length=limit,
    )
    button = gr.Button("How surprising is it?")
    view = card("Surprise", viz.note("Paste a poem, a headline, nonsense; misspell a word.", kind="hint"))
    button.click(actions.surprise, [text, picker], view, api_name="surprise", show_progress="minimal")


def compare_panel(actions: Actions, asked: list[Any]) -> None:
    """The greedy text beside a drawn one."""
    gr.Markdown("The prompt above, twice in the same batch: the likeliest token always, and drawn with the settings.")
    button = gr.Button("Write both")
    with gr.Row():
        greedy = gr.Textbox(label="Greedy", lines=8, max_lines=16, min_width=280)
        sampled = gr.Textbox(label="Sampled", lines=8, max_lines=16, min_width=280)
    button.click(actions.compare, asked, [greedy, sampled], api_name="compare", show_progress="minimal", **WRITE)


def chat_panel(actions: Actions, given: Inputs) -> None:
    """A conversation with a checkpoint that was tuned to chat."""
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
        [message, chatbot, given.picker, *given.writing],
        [message, chatbot],
        api_name="chat",
        show_progress="minimal",
        **WRITE,
    )
    clear.click(lambda: [], None, chatbot, queue=False, api_visibility="private")


def cache_panel(actions: Actions, asked: list[Any]) -> None:
    """The cost of a token with and without the key-value cache."""
    gr.Markdown(
        "Each new token needs the keys and values of all before it. Kept, a step reads one token; thrown away, it "
        "reads the whole text again."
    )
    button = gr.Button("Measure both")
    view = card("Milliseconds a token", viz.note("Takes about ten seconds; the plot grows.", kind="hint"))
    button.click(
        actions.cache,
        asked,
        view,
        api_name="cache",
        show_progress="hidden",
        concurrency_id="measure",
        concurrency_limit=1,
    )
