"""The tab "Fine-tune" of a demo: one's own examples, how to learn from them, and what came of it.

A plugin calls `handle.finetune(picker, reads)`; nothing here knows which demo it is. Nothing here imports torch: that
happens in the first event, and the training itself in a process of its own (`demo_app.finetune.jobs`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import gradio as gr

from demo_app import viz
from demo_app.finetune.jobs import KEPT_SECONDS, Trainings
from demo_app.finetune.recipe import STRATEGIES, Recipe
from demo_app.gradio_internals import enclosing_tab
from demo_app.inputs.pictures import SUFFIXES
from demo_app.models.demo_models import DemoModels
from demo_app.page.finetune_tab.actions import TOP, WANTED, Actions
from demo_app.page.finetune_tab.session import drop_examples, drop_results
from demo_app.page.widgets import drawing

log = logging.getLogger(__name__)

INTRODUCTION = """
Teach a checkpoint classes of your own. What you upload and train stays yours and is deleted when you leave.

### 1. Your examples
"""
SAID = {
    "freeze": "freeze: only the last layer learns; the quickest",
    "layers": "layers: those that you choose learn",
    "layerwise": "layerwise: all learn, the first layers slowly; a good start",
    "lora": "lora: small additions learn, the weights stay",
    "full": "full: everything learns at one rate",
    "gradual": "gradual: one layer more each epoch, from the last",
    "scratch": "scratch: random weights, to see what the checkpoint is worth",
}
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden"}
PRIVATE: dict[str, Any] = {"api_visibility": "private", **QUIET}


def build(handle: DemoModels[Any], trainings: Trainings, picker: gr.Dropdown, reads: Sequence[str]) -> None:
    """Lay out the tab and wire its events."""
    actions = Actions(handle, trainings, tuple(reads))
    mine = gr.State(None, time_to_live=KEPT_SECONDS, delete_callback=drop_examples)
    tried = gr.State((), time_to_live=KEPT_SECONDS, delete_callback=drop_results)
    gr.Markdown(INTRODUCTION)
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            kinds = [".csv", ".gz", *((".zip", ".tar", ".tgz", *SUFFIXES) if "image" in actions.reads else ())]
            files = gr.File(
                label="Your examples", file_count="multiple", file_types=kinds, height=150, elem_classes="viz-file"
            )
            sample = gr.Button("Use an example")
        with gr.Column(scale=6, min_width=300):
            data = drawing("Your data", viz.note(WANTED[actions.reads], kind="hint"))
            answers = [("Yes, one class", "yes"), ("No, different classes", "no")]
            same = gr.Radio(answers, value=None, label="Are they the same?", visible=False)
    gr.Markdown("### 2. Who learns")
    usual = Recipe()
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            base = gr.Dropdown(
                actions.bases(None),
                value=actions.on_disk(picker.value, None),
                label="Begin with",
                info="Checkpoints on this disk.",
                allow_custom_value=True,
                elem_classes="demo-picker",
            )
            strategies = gr.CheckboxGroup(
                [(SAID[name], name) for name in STRATEGIES],
                value=[usual.strategy],
                label="Strategies",
                info="Several are tried one after the other, and compared.",
            )
            layers = gr.Dropdown(
                [],
                value=[],
                multiselect=True,
                allow_custom_value=True,
                visible=False,
                label="Layers that learn",
                info="Names, or patterns such as `layers.2.*`",
            )
            epochs = gr.Slider(1, 100, usual.epochs, step=1, label="Epochs", info="Fewer if it gets no better.")
            with gr.Accordion("More settings", open=False):
                rate = gr.Number(0, minimum=0, label="Learning rate", info="0: what suits the strategy")
                decay = gr.Slider(
                    0.1,
                    1,
                    usual.decay,
                    step=0.05,
                    label="Decay",
                    info="Of layerwise and gradual: a layer's rate, in shares of that of the layer after it",
                )
                rank = gr.Slider(1, 64, usual.rank, step=1, label="Rank", info="Of lora: the size of the additions")
        with gr.Column(scale=6, min_width=300):
            plan = drawing("Plan", viz.note("Add examples, and you see here which layers will learn.", kind="hint"))
    gr.Markdown("### 3. Train")
    with gr.Row():
        start = gr.Button("Start", variant="primary", min_width=120)
        stop = gr.Button("Stop", interactive=False, min_width=120)
    progress = drawing("Progress", viz.note("Not started yet.", kind="hint"))
    with gr.Column(visible=False) as after:
        gr.Markdown("### 4. What came of it")
        table = drawing("All that you tried", "")
        which = gr.Dropdown([("1", "1")], value=None, label="Look at", allow_custom_value=True)
        scores = drawing("By class", "")
        numbers = gr.JSON(label="All numbers", visible=False)  # for programs
        given, ask = _try_panel(actions)
        with gr.Row():
            before = gr.Label(label="Before", num_top_classes=TOP, min_width=240)
            tuned = gr.Label(label="After", num_top_classes=TOP, min_width=240)
        with gr.Row():
            use = gr.Button("Use it in this tab", min_width=160)
            pack = gr.Button("Download as ZIP", min_width=160)
        line = gr.HTML("", label="What became of it", padding=False, container=False)
        archive = gr.File(label="Checkpoint", interactive=False, visible=False, elem_classes="viz-file", height=96)
        with gr.Accordion("Publish to the Hub", open=False):
            name = gr.Textbox(label="Repository", placeholder="you/my-model", max_length=200, max_lines=1)
            token = gr.Textbox(
                label="Your access token",
                info="One that may write. It is used once and kept nowhere.",
                type="password",
                max_length=200,
                max_lines=1,
            )
            private = gr.Checkbox(True, label="Private")
            publish = gr.Button("Publish")

    settings = [base, strategies, layers, epochs, rate, decay, rank]
    # what is no number is told here: of a slider whose box is empty Gradio says nothing
    planned = {"inputs": [*settings, mine], "outputs": [plan, layers], "preprocess": False}
    plan_anew: dict[str, Any] = {"fn": actions.plan, **planned, **PRIVATE}
    read = [mine, data, same]
    uploads = files.upload(actions.data, files, read, api_name="finetune_data")
    example = sample.click(actions.example, None, [*read, files], api_name="finetune_example", show_progress_on=data)
    answered = same.input(actions.answer, [same, mine], read, api_name="finetune_same", show_progress="hidden")
    fewer = gr.on([files.clear, files.delete], actions.taken_away, files, read, api_visibility="private")
    for event in (uploads, example, answered, fewer):
        event.then(**plan_anew)
        event.failure(**plan_anew)  # on the page `then` is not called after an error
    changed = [part.input for part in (base, strategies, layers, epochs, rate, decay, rank)]
    gr.on(changed, actions.plan, **planned, api_name="finetune_plan", trigger_mode="always_last", **QUIET)
    follow = [gr.on([picker.change], actions.follow, [picker, base], base, **PRIVATE)]
    if tab := enclosing_tab():
        follow.append(tab.select(actions.follow, [picker, base], base, **PRIVATE))
    for event in follow:
        event.then(**plan_anew)

    trained = [progress, tried, table, which, after]
    toggled, waiting = [start, stop], (gr.update(interactive=False), gr.update(interactive=True))
    # one after the other: Gradio begins with a click's next event when the one before it is through
    running = start.click(lambda: waiting, None, toggled, **PRIVATE).then(
        actions.train,
        [*settings, mine, tried],
        trained,
        api_name="finetune",
        preprocess=False,
        show_progress="hidden",
        concurrency_id="finetune",  # whoever waits takes nobody's place
        concurrency_limit=16,
    )
    running.then(lambda: waiting[::-1], None, toggled, **PRIVATE)
    running.failure(lambda: waiting[::-1], None, toggled, **PRIVATE)
    stop.click(actions.stop, None, None, api_name="finetune_stop", **QUIET)
    looked = [which, tried]
    which.change(actions.result, looked, [scores, numbers], api_name="finetune_result", **QUIET)
    which.change(lambda: gr.update(visible=False), None, archive, **PRIVATE)
    gr.on(
        ask,
        actions.asks[actions.reads],
        [*given, *looked],
        [before, tuned],
        api_name="finetune_try",
        show_progress="minimal",
        preprocess="image" not in actions.reads,  # a picture is checked and opened here
    )
    use.click(actions.use, looked, [picker, line], api_name="finetune_use", **QUIET)
    packed = pack.click(actions.zip, looked, archive, api_name="finetune_zip")
    packed.success(lambda: gr.update(visible=True), None, archive, **PRIVATE)
    publish.click(
        actions.publish,
        [name, token, private, *looked],
        [line, token],
        api_name="finetune_publish",
        show_progress="hidden",  # else an error lies over the box of the token
    )


def _try_panel(actions: Actions) -> tuple[list[Any], list[Any]]:
    """What the two models are asked, and what asks them."""
    given: list[Any] = []
    events = []
    with gr.Row():
        if "image" in actions.reads:
            given.append(gr.Image(label="Your picture", type="filepath", sources=["upload", "clipboard"], height=240))
        if "text" in actions.reads:
            most = actions.handle.settings.max_text
            text = gr.Textbox(label="Your text", placeholder="A sentence of your own", max_lines=4, max_length=most)
            given.append(text)
            events.append(text.submit)
    button = gr.Button("Ask both")
    return given, [button.click, *events]
