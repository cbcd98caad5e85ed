"""The tab "Fine-tune" of a demo: a visitor's own examples, how to learn from them, and the results.

A plugin calls `handle.finetune(picker, reads)`; nothing here knows which demo it is. Nothing here imports torch either:
that happens in the first event, and the training itself runs in a process of its own (`demo_app.finetune.jobs`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from demo_app.finetune.jobs import Trainings
from demo_app.gradio_internals import enclosing_tab
from demo_app.models.demo_models import DemoModels
from demo_app.page.finetune_tab.examples import ExampleActions
from demo_app.page.finetune_tab.panels import (
    ExamplesPanel,
    ResultsPanel,
    SettingsPanel,
    TrainingPanel,
    examples_panel,
    results_panel,
    settings_panel,
    training_panel,
)
from demo_app.page.finetune_tab.results import ResultActions
from demo_app.page.finetune_tab.session import delete_examples, delete_trials
from demo_app.page.finetune_tab.training import TrainingActions
from demo_app.page.finetune_tab.workshop import Workshop
from demo_app.page.widgets import session_state

QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden"}
PRIVATE: dict[str, Any] = {"api_visibility": "private", **QUIET}


def build(handle: DemoModels[Any], trainings: Trainings, picker: gr.Dropdown, reads: Sequence[str]) -> None:
    """Lay out the tab and wire its events; inside a `gr.Tab`. The arguments are those of `ModelHandle.finetune`."""
    workshop = Workshop(handle=handle, trainings=trainings, reads=tuple(reads))
    own = session_state(None, delete_callback=delete_examples)
    trials = session_state((), delete_callback=delete_trials)
    examples, settings = examples_panel(workshop), settings_panel(workshop, picker.value)
    training, results = training_panel(), results_panel(workshop)
    actions = TrainingActions(workshop)
    planned: dict[str, Any] = {
        "fn": actions.plan,
        "inputs": [*settings.inputs, own],
        "outputs": [settings.plan, settings.layers],
        "preprocess": False,  # `Form` checks numbers: for a slider whose box is empty Gradio reports nothing
    }
    _wire_examples(ExampleActions(workshop), examples, own, planned)
    opened = _wire_plan(actions, settings, picker, planned)
    _wire_training(actions, training, settings, results, own, trials, opened)
    _wire_results(ResultActions(workshop), workshop, results, trials, picker)


def _wire_examples(actions: ExampleActions, panel: ExamplesPanel, own: gr.State, planned: dict[str, Any]) -> None:
    read = [own, panel.data, panel.same]
    uploaded = panel.files.upload(actions.data, panel.files, read, api_name="finetune_data")
    sampled = panel.sample.click(
        actions.example, None, [*read, panel.files], api_name="finetune_example", show_progress_on=panel.data
    )
    answered = panel.same.input(
        actions.answer, [panel.same, own], read, api_name="finetune_same", show_progress="hidden"
    )
    removed = gr.on(
        [panel.files.clear, panel.files.delete], actions.files_removed, panel.files, read, api_visibility="private"
    )
    for event in (uploaded, sampled, answered, removed):
        event.then(**planned, **PRIVATE)
        event.failure(**planned, **PRIVATE)  # in the browser, `then` is not called after an error


def _wire_plan(
    actions: TrainingActions, panel: SettingsPanel, picker: gr.Dropdown, planned: dict[str, Any]
) -> list[Any]:
    changed = [part.input for part in panel.inputs]
    gr.on(changed, **planned, api_name="finetune_plan", trigger_mode="always_last", **QUIET)
    follow: dict[str, Any] = {"fn": actions.follow, "inputs": [picker, panel.base], "outputs": panel.base, **PRIVATE}
    followed = [gr.on([picker.change], **follow)]
    if tab := enclosing_tab():
        followed.append(tab.select(**follow))
    for event in followed:
        event.then(**planned, **PRIVATE)
    return followed[1:]


def _wire_training(
    actions: TrainingActions,
    panel: TrainingPanel,
    settings: SettingsPanel,
    results: ResultsPanel,
    own: gr.State,
    trials: gr.State,
    opened: Sequence[Any],
) -> None:
    buttons = [panel.start, panel.stop]
    idle = gr.update(interactive=True), gr.update(interactive=False)
    running = idle[::-1]
    # The buttons change first: Gradio begins an event of a click only after the one before it has ended
    shown = [panel.progress, trials, results.table, results.which, results.column]
    together: dict[str, Any] = {"show_progress": "hidden", "concurrency_id": "finetune", "concurrency_limit": 16}
    for event in opened:  # a visitor who waits takes no place from other events
        event.then(actions.resume, trials, shown, api_visibility="private", **together)
    trained = panel.start.click(lambda: running, None, buttons, **PRIVATE).then(
        actions.train,
        [*settings.inputs, own, trials],
        shown,
        api_name="finetune",
        preprocess=False,
        **together,
    )
    trained.then(lambda: idle, None, buttons, **PRIVATE)
    trained.failure(lambda: idle, None, buttons, **PRIVATE)
    panel.stop.click(actions.stop, None, None, api_name="finetune_stop", **QUIET)


def _wire_results(
    actions: ResultActions, workshop: Workshop, panel: ResultsPanel, trials: gr.State, picker: gr.Dropdown
) -> None:
    chosen = [panel.which, trials]
    panel.which.change(actions.result, chosen, [panel.scores, panel.numbers], api_name="finetune_result", **QUIET)
    panel.which.change(lambda: gr.update(visible=False), None, panel.archive, **PRIVATE)
    gr.on(
        panel.trial.asks,
        actions.ask,
        [*panel.trial.inputs, *chosen],
        [panel.trial.before, panel.trial.after],
        api_name="finetune_try",
        show_progress="minimal",
        preprocess="image" not in workshop.reads,  # `uploaded` checks a picture, and the tuner opens it
    )
    panel.use.click(actions.use, chosen, [picker, panel.line], api_name="finetune_use", **QUIET)
    zipped = panel.download.click(actions.zip, chosen, panel.archive, api_name="finetune_zip")
    zipped.success(lambda: gr.update(visible=True), None, panel.archive, **PRIVATE)
    publishing = panel.publishing
    publishing.publish.click(
        actions.publish,
        [publishing.name, publishing.token, publishing.private, *chosen],
        [panel.line, publishing.token],
        api_name="finetune_publish",
        show_progress="hidden",  # otherwise an error covers the box of the token
    )
