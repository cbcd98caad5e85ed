"""The tab: its components and their wiring. `actions` handles the events, `views` draws.

A click on Translate costs the search; what was seen stays in the visitor's session (`Seen`, one per sentence), and the
pickers below only redraw from it. Nothing here imports torch: the first event does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from demo_app import viz
from demo_app.page.widgets import AVERAGE, drawing, numbers, session_state
from demo_app_translator import views
from demo_app_translator.actions import MAX_BEAMS, MAX_PENALTY, Actions, sentence_choices
from demo_app_translator.example import SENTENCE, example
from demo_app_translator.explain import alignment
from demo_app_translator.how import HOW
from demo_app_translator.lessons import EXAMPLES

if TYPE_CHECKING:
    from demo_app import ModelHandle
    from demo_app_translator.translator import Translator

IMMEDIATE: dict[str, Any] = {"queue": False, "show_progress": "hidden"}  # fast and bounded: need not wait in the queue
LAYERS, HEADS = 6, 8  # of OPUS-MT, the largest checkpoint


def build(handle: ModelHandle[Translator]) -> None:
    """Lay out the tab and wire its events. Called once, inside the host's `gr.Blocks`."""
    actions = Actions(handle)
    seen = session_state()
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            picker, text, beams, penalty = input_panel(handle)
            with gr.Row():
                button = gr.Button("Translate", variant="primary", min_width=100)
                stop = gr.Button("Stop", min_width=100)
            examples = gr.Dataset(
                components=["textbox"], samples=[[one] for one in EXAMPLES], label="Try one", type="index"
            )
        with gr.Column(scale=6, min_width=300):
            translation, card, sentence, layer, head, lines = answer_panel()
    words = alignment(example(), None, None)
    with gr.Tabs(overflow_behavior="wrap"):
        with gr.Tab("Beam search"):
            tree = drawing("Beams", views.beam_tree(example()), css=views.style())
        with gr.Tab("Attention map"):
            chart = drawing("Attention map", views.alignment_map(*words), viz.script())
        with gr.Tab("Your own translation"):
            forced_panel(actions, text, picker)
        with gr.Tab("Encoder-decoder or decoder-only?"):
            designs = drawing("Two designs", views.two_designs(example()), viz.script())
        with gr.Tab("How it works"):
            gr.Markdown(HOW)
    drawings = [lines, chart, tree, designs]
    asked: dict[str, Any] = {
        "inputs": [text, picker, beams, penalty],
        "outputs": [translation, card, sentence, *drawings, seen],
        "show_progress": "hidden",
    }
    running = gr.on([button.click, text.submit], actions.translate, **asked, api_name="translate")
    chosen = examples.click(actions.example, examples, text, api_name="example", **IMMEDIATE)
    then = chosen.then(actions.translate, **asked, api_visibility="private")
    stop.click(None, None, None, cancels=[running, then])
    looked = [seen, sentence, layer, head]
    looks = [sentence.input, layer.input, head.input]
    gr.on(looks, actions.look, looked, drawings, api_name="look", **IMMEDIATE)


def input_panel(handle: ModelHandle[Translator]) -> tuple[gr.Dropdown, gr.Textbox, gr.Slider, gr.Slider]:
    """The picker of checkpoints, the text, and how to search."""
    picker = handle.picker()
    text = gr.Textbox(
        SENTENCE,
        label="Text",
        info="In the language that the checkpoint reads. Each sentence is translated by itself.",
        lines=4,
        max_lines=12,
        max_length=handle.settings.max_text,
    )
    with gr.Row():
        beams = gr.Slider(1, MAX_BEAMS, 4, step=1, label="Beams", info="1 is greedy.", min_width=200)
        penalty = gr.Slider(
            0, MAX_PENALTY, 1, step=0.1, label="Length penalty", info="Higher: longer translations.", min_width=200
        )
    return picker, text, beams, penalty


def answer_panel() -> tuple[gr.Textbox, gr.HTML, gr.Dropdown, gr.Dropdown, gr.Dropdown, gr.HTML]:
    """The translation and its alignment; it opens with the example's, so that a page just opened is not blank."""
    translation = gr.Textbox(
        example().text, label="Translation", lines=4, max_lines=12, interactive=False, buttons=["copy"]
    )
    card = drawing("About the translation", views.about([example()]))
    sentence = gr.Dropdown(
        sentence_choices([example()]), value=0, label="Sentence to look into", visible=False, min_width=200
    )
    with gr.Row():
        layer = gr.Dropdown(numbers(LAYERS), value=AVERAGE, label="Layer", min_width=120)
        head = gr.Dropdown(numbers(HEADS), value=AVERAGE, label="Head", min_width=120)
    lines = drawing("Alignment", views.alignment_lines(*alignment(example(), None, None)), css=views.style())
    return translation, card, sentence, layer, head, lines


def forced_panel(actions: Actions, text: gr.Textbox, picker: gr.Dropdown) -> None:
    """The visitor's own translation of the text above, and what the network thinks of it."""
    gr.Markdown(
        "Write your own translation of the text above (one sentence). The network reads it token by token, as it does "
        "in training, and says how much it expected each: *teacher forcing*."
    )
    with gr.Row():
        with gr.Column(min_width=300):
            own = gr.Textbox(example().text, label="Your translation", lines=2, max_lines=6)
            button = gr.Button("What does the network think of it?")
        with gr.Column(min_width=300):
            view = drawing("Surprise", viz.note("Change a word, and see which ones surprise it.", kind="hint"))
    button.click(actions.force, [text, own, picker], view, api_name="force", **IMMEDIATE)
