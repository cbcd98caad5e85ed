"""The tab: its components and their wiring. `actions` handles the events, `views` draws.

A click on Classify costs one forward and one backward pass; what they showed stays in the visitor's session (`Seen`),
and the pickers only redraw from it. Nothing here imports torch: the first event does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from demo_app import viz
from demo_app.i18n import say
from demo_app.page.widgets import AVERAGE, drawing, lesson_buttons, numbers, session_state
from demo_app_text_classifier.actions import Actions
from demo_app_text_classifier.example import TEXT, example
from demo_app_text_classifier.how import HOW
from demo_app_text_classifier.lessons import LESSONS, PAIR
from demo_app_text_classifier.shape import Shape
from demo_app_text_classifier.views import heads_view, words_view

if TYPE_CHECKING:
    from demo_app import ModelHandle
    from demo_app_text_classifier.classifier import Classifier

IMMEDIATE: dict[str, Any] = {"queue": False, "show_progress": "hidden"}  # fast and bounded: need not wait in the queue


def build(handle: ModelHandle[Classifier]) -> None:
    """Lay out the tab and wire its events. Called once, inside the host's `gr.Blocks`."""
    actions, limit = Actions(handle), handle.settings.max_text
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            picker, text, button, lessons = input_panel(handle)
        with gr.Column(scale=6, min_width=300):
            answer, method, words = answer_panel()
    gr.Markdown("### Look inside")
    with gr.Tabs(overflow_behavior="wrap"):
        with gr.Tab("Attention heads"):
            layer, head, attention = attention_panel()
        with gr.Tab("Take a word away"):
            occlusion_panel(actions, text, picker)
        with gr.Tab("Compare two"):
            compare_panel(actions, picker, limit)
        with gr.Tab("Label a file"):
            file_panel(actions, picker, handle.settings.max_rows)
        with gr.Tab("Fine-tune"):
            handle.finetune(picker, ("text",))
        with gr.Tab("How it works"):
            gr.Markdown(HOW)
    seen = session_state()
    options, answered = [method, layer, head], [answer, words, attention, seen]
    # Gradio gives each component of an event a turn in its thread pool, twice: a quarter of the time of an answer.
    # So `classify` takes and returns plain JSON, and checks it itself
    plain: dict[str, Any] = {"preprocess": False, "postprocess": False, **IMMEDIATE}
    asks = [button.click, text.submit]
    gr.on(asks, actions.classify, [text, picker, *options], answered, api_name="classify", **plain)
    lessons.click(actions.example, [lessons, *options], [text, picker, *answered], api_name="example", **IMMEDIATE)
    method.input(actions.colour, [seen, *options], words, api_name="colour", **IMMEDIATE)
    chooses = [layer.input, head.input]
    gr.on(chooses, actions.attention, [seen, *options], [words, attention], api_name="attention", **IMMEDIATE)
    opened = [layer, head, words, attention]
    attention.click(actions.open_head, [seen, method], opened, api_visibility="private", **IMMEDIATE)
    fitted = [picker, layer, head], [layer, head, text]  # checkpoints have different numbers of layers and heads
    picker.change(actions.fit, *fitted, api_visibility="private", **IMMEDIATE)
    handle.on_open(actions.fit, *fitted)


def input_panel(handle: ModelHandle[Classifier]) -> tuple[gr.Dropdown, gr.Textbox, gr.Button, gr.Dataset]:
    """The picker of checkpoints, the text, the button and the lessons."""
    limit = handle.settings.max_text
    picker = handle.picker()
    info = Shape.of(handle.folder(str(picker.value))).info(limit)
    text = gr.Textbox(TEXT, label="Text", info=info, max_lines=6, max_length=limit)
    button = gr.Button("Classify", variant="primary")
    return picker, text, button, lesson_buttons(LESSONS, [[lesson.text] for lesson in LESSONS])


def answer_panel() -> tuple[gr.Label, gr.Radio, gr.HTML]:
    """The answer; it opens with the example's, so that a page just opened is not blank."""
    answer = gr.Label(example().scores(), label="Answer")
    methods = [("Gradient × input", "gradient"), ("Attention", "attention")]
    method = gr.Radio(methods, value="gradient", label="Colour the words by")
    return answer, method, drawing("Words", words_view(example(), "gradient", None, None))


def attention_panel() -> tuple[gr.Radio, gr.Radio, gr.HTML]:
    """The pickers of layer and head, and all heads.

    The pickers are built with what the largest checkpoint has, for API clients; when a page opens, `fit` leaves what
    the chosen checkpoint has.
    """
    with gr.Row():
        layer = gr.Radio(numbers(Shape().layers), value=AVERAGE, label="Layer", min_width=300)
        head = gr.Radio(numbers(Shape().heads), value=AVERAGE, label="Head", min_width=300)
    return layer, head, drawing("Heads", heads_view(example(), None, None), js_on_load=viz.script())


def occlusion_panel(actions: Actions, text: gr.Textbox, picker: gr.Dropdown) -> None:
    """One button: the answer without each word of the text above."""
    button = gr.Button("Take each word of the text away, one at a time")
    view = drawing("Occlusion", viz.note("Which word carries the answer? Press the button.", kind="hint"))
    button.click(actions.occlude, [text, picker], view, api_name="occlude", show_progress="minimal")


def compare_panel(actions: Actions, picker: gr.Dropdown, limit: int) -> None:
    """Two texts, the answer to each, and the difference."""
    with gr.Row():
        a, b = (
            gr.Textbox(text, label=label, max_lines=6, max_length=limit, min_width=300)
            for label, text in zip(("Text A", "Text B"), PAIR, strict=True)
        )
    button = gr.Button("Compare")
    with gr.Row():
        answers = [gr.Label(label=label, min_width=240) for label in ("Answer to A", "Answer to B")]
    view = drawing("Difference", viz.note("Change one word in B and see what it moves.", kind="hint"))
    gr.on(
        [button.click, a.submit, b.submit],
        actions.compare,
        [a, b, picker],
        [*answers, view],
        api_name="compare",
        show_progress="minimal",
    )


def file_panel(actions: Actions, picker: gr.Dropdown, max_rows: int) -> None:
    """A CSV file in, the same with answers out."""
    gr.Markdown(
        say(
            "A CSV file (also `.csv.gz`) with a column `text` and at most {rows} rows comes back with the columns "
            "`label` and `probability` (`predicted_label` where it has labels: they are compared with the answers). "
            "Cells that a spreadsheet would run as a formula get a leading apostrophe.",
            rows=f"{max_rows:,}",
        )
    )
    with gr.Row():
        with gr.Column(min_width=300):
            file = gr.File(label="Your file", file_types=[".csv", ".gz"], height=160)
            button = gr.Button("Label every row")
        with gr.Column(min_width=300):
            result = gr.File(label="The same with answers", interactive=False, height=96, elem_classes="viz-file")
            view = drawing("Summary", viz.note("No file yet.", kind="hint"))
    button.click(actions.classify_file, [file, picker], [result, view], api_name="classify_file", show_progress_on=view)
