"""The components of the tab, panel by panel. Each function lays out one panel and returns its components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from demo_app import viz
from demo_app.finetune.recipe import STRATEGIES, Recipe
from demo_app.inputs.pictures import SUFFIXES
from demo_app.page.finetune_tab.results import TOP
from demo_app.page.finetune_tab.views import NO_EXAMPLES
from demo_app.page.finetune_tab.workshop import FILES, Workshop
from demo_app.page.widgets import drawing

INTRODUCTION = """
Teach a checkpoint classes of your own. What you upload and train stays yours and is deleted when you leave.

### 1. Your examples
"""
STRATEGY_LABELS = {
    "freeze": "freeze: only the last layer learns; the quickest",
    "layers": "layers: those that you choose learn",
    "layerwise": "layerwise: all learn, the first layers slowly; a good start",
    "lora": "lora: small additions learn, the weights stay",
    "full": "full: everything learns at one rate",
    "gradual": "gradual: one layer more each epoch, from the last",
    "scratch": "scratch: random weights, to see what the checkpoint is worth",
}


@dataclass(frozen=True, kw_only=True)
class ExamplesPanel:
    """Where a visitor brings examples."""

    files: gr.File
    sample: gr.Button
    data: gr.HTML
    same: gr.Radio


def examples_panel(workshop: Workshop) -> ExamplesPanel:
    """Upload on the left, what was read on the right."""
    gr.Markdown(INTRODUCTION)
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            kinds = [".csv", ".gz", *((".zip", ".tar", ".tgz", *SUFFIXES) if "image" in workshop.reads else ())]
            files = gr.File(
                label="Your examples", file_count="multiple", file_types=kinds, height=150, elem_classes="viz-file"
            )
            sample = gr.Button("Use an example")
        with gr.Column(scale=6, min_width=300):
            data = drawing("Your data", viz.note(FILES[workshop.reads], kind="hint"))
            answers = [("Yes, one class", "yes"), ("No, different classes", "no")]
            same = gr.Radio(answers, value=None, label="Are they the same?", visible=False)
    return ExamplesPanel(files=files, sample=sample, data=data, same=same)


@dataclass(frozen=True, kw_only=True)
class SettingsPanel:
    """The checkpoint to start from, the strategies and their settings, and the plan that follows from them."""

    base: gr.Dropdown
    strategies: gr.CheckboxGroup
    layers: gr.Dropdown
    epochs: gr.Slider
    learning_rate: gr.Number
    decay: gr.Slider
    rank: gr.Slider
    plan: gr.HTML

    @property
    def inputs(self) -> list[Any]:
        """The settings, in the order in which actions take them."""
        return [self.base, self.strategies, self.layers, self.epochs, self.learning_rate, self.decay, self.rank]


def settings_panel(workshop: Workshop, picked: Any) -> SettingsPanel:
    """Settings on the left, the plan on the right. `picked` is the value of the tab's picker."""
    gr.Markdown("### 2. Who learns")
    default, bases = Recipe(), workshop.bases(None)
    names = [name for _, name in bases]
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            base = gr.Dropdown(
                bases,
                value=picked if picked in names else next(iter(names), None),
                label="Begin with",
                info="Checkpoints on this disk.",
                allow_custom_value=True,
                elem_classes="demo-picker",
            )
            strategies = gr.CheckboxGroup(
                [(STRATEGY_LABELS[name], name) for name in STRATEGIES],
                value=[default.strategy],
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
            epochs = gr.Slider(1, 100, default.epochs, step=1, label="Epochs", info="Fewer if it gets no better.")
            with gr.Accordion("More settings", open=False):
                rate = gr.Number(0, minimum=0, label="Learning rate", info="0: what suits the strategy")
                decay = gr.Slider(
                    0.1,
                    1,
                    default.decay,
                    step=0.05,
                    label="Decay",
                    info="Of layerwise and gradual: a layer's rate, in shares of that of the layer after it",
                )
                rank = gr.Slider(1, 64, default.rank, step=1, label="Rank", info="Of lora: the size of the additions")
        with gr.Column(scale=6, min_width=300):
            plan = drawing("Plan", viz.note(NO_EXAMPLES, kind="hint"))
    return SettingsPanel(
        base=base,
        strategies=strategies,
        layers=layers,
        epochs=epochs,
        learning_rate=rate,
        decay=decay,
        rank=rank,
        plan=plan,
    )


@dataclass(frozen=True, kw_only=True)
class TrainingPanel:
    """The buttons of a training, and how far it is."""

    start: gr.Button
    stop: gr.Button
    progress: gr.HTML


def training_panel() -> TrainingPanel:
    """Start and Stop above the progress."""
    gr.Markdown("### 3. Train")
    with gr.Row():
        start = gr.Button("Start", variant="primary", min_width=120)
        stop = gr.Button("Stop", interactive=False, min_width=120)
    progress = drawing("Progress", viz.note("Not started yet.", kind="hint"))
    return TrainingPanel(start=start, stop=stop, progress=progress)


@dataclass(frozen=True, kw_only=True)
class TrialPanel:
    """What both models, the one before and the one after, are asked and answer."""

    inputs: list[Any]
    asks: list[Any]  # triggers of the question
    before: gr.Label
    after: gr.Label


@dataclass(frozen=True, kw_only=True)
class PublishingPanel:
    """Where the checkpoint goes on the Hub."""

    name: gr.Textbox
    token: gr.Textbox
    private: gr.Checkbox
    publish: gr.Button


@dataclass(frozen=True, kw_only=True)
class ResultsPanel:
    """What was trained; hidden until something was."""

    column: gr.Column
    table: gr.HTML
    which: gr.Dropdown
    scores: gr.HTML
    numbers: gr.JSON
    trial: TrialPanel
    use: gr.Button
    download: gr.Button
    line: gr.HTML
    archive: gr.File
    publishing: PublishingPanel


def results_panel(workshop: Workshop) -> ResultsPanel:
    """All trials, one of them in detail, and what can be done with it."""
    with gr.Column(visible=False) as column:
        gr.Markdown("### 4. What came of it")
        table = drawing("All that you tried", "")
        which = gr.Dropdown([("1", "1")], value=None, label="Look at", allow_custom_value=True)
        scores = drawing("By class", "")
        numbers = gr.JSON(label="All numbers", visible=False)  # for programs
        trial = _trial_panel(workshop)
        with gr.Row():
            use = gr.Button("Use it in this tab", min_width=160)
            download = gr.Button("Download as ZIP", min_width=160)
        line = gr.HTML("", label="What became of it", padding=False, container=False)
        archive = gr.File(label="Checkpoint", interactive=False, visible=False, elem_classes="viz-file", height=96)
        with gr.Accordion("Publish to the Hub", open=False):
            publishing = _publishing_panel()
    return ResultsPanel(
        column=column,
        table=table,
        which=which,
        scores=scores,
        numbers=numbers,
        trial=trial,
        use=use,
        download=download,
        line=line,
        archive=archive,
        publishing=publishing,
    )


def _trial_panel(workshop: Workshop) -> TrialPanel:
    inputs: list[Any] = []
    submits = []
    with gr.Row():
        if "image" in workshop.reads:
            inputs.append(gr.Image(label="Your picture", type="filepath", sources=["upload", "clipboard"], height=240))
        if "text" in workshop.reads:
            most = workshop.settings.max_text
            text = gr.Textbox(label="Your text", placeholder="A sentence of your own", max_lines=4, max_length=most)
            inputs.append(text)
            submits.append(text.submit)
    button = gr.Button("Ask both")
    with gr.Row():
        before = gr.Label(label="Before", num_top_classes=TOP, min_width=240)
        after = gr.Label(label="After", num_top_classes=TOP, min_width=240)
    return TrialPanel(inputs=inputs, asks=[button.click, *submits], before=before, after=after)


def _publishing_panel() -> PublishingPanel:
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
    return PublishingPanel(name=name, token=token, private=private, publish=publish)
