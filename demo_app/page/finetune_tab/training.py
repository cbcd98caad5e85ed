"""What a click does in the panels "Who learns" and "Train"."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import gradio as gr

from demo_app import viz
from demo_app.errors import DemoError, InputError
from demo_app.finetune.data import check, read_data
from demo_app.finetune.jobs import Job
from demo_app.finetune.recipe import Recipe, check_steps
from demo_app.finetune.updates import Finished, Running
from demo_app.finetune.watching import Run
from demo_app.page.finetune_tab import views
from demo_app.page.finetune_tab.fields import Form
from demo_app.page.finetune_tab.progress import TrainingProgress
from demo_app.page.finetune_tab.session import OwnExamples, Trial
from demo_app.page.finetune_tab.workshop import Workshop
from demo_app.page.visitors import visitor

if TYPE_CHECKING:
    from demo_app.finetune import Plan

DRAW_SECONDS = 0.5  # between two drawings of a training


class TrainingActions:
    """Plans and runs trainings; one method for each event."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop

    def follow(self, picked: str | None, base: str | None, request: gr.Request) -> Any:
        """Start from the checkpoint of the tab's picker, if it is on this disk."""
        bases = self.workshop.bases(visitor(request))
        names = [name for _, name in bases]
        value = picked if picked in names else base if base in names else next(iter(names), None)
        return gr.update(choices=bases, value=value)

    def plan(
        self,
        base: str | None,
        strategies: list[str] | None,
        layers: list[str] | None,
        epochs: float | None,
        learning_rate: float | None,
        decay: float | None,
        rank: float | None,
        examples: OwnExamples | None,
    ) -> tuple[str, Any]:
        """Which layers would learn, and how fast. Nothing is trained.

        Args:
            base: name of the checkpoint to begin with.
            strategies: who learns: freeze, layers, layerwise, lora, full, gradual, scratch; or several of them.
            layers: for the strategy layers: names of layers, or globs such as layers.2.*.
            epochs: times to go through the examples at most.
            learning_rate: the highest; 0: what suits the strategy.
            decay: of layerwise and gradual: a layer's rate, in shares of that of the layer after it.
            rank: of lora.
            examples: the session's examples.

        Returns:
            A table of layers, parameters and learning rates as HTML, or what has to be changed; what layers there are.
        """
        form = Form(
            strategies=strategies, layers=layers, epochs=epochs, learning_rate=learning_rate, decay=decay, rank=rank
        )
        layer_box: dict[str, Any] = {"visible": form.wants_layers}
        try:
            if examples is None or not examples.usable:
                return viz.note(views.NO_EXAMPLES, kind="hint"), gr.update(**layer_box)
            recipes = form.recipes()
            if form.wants_layers:
                layer_box["choices"] = self._layers(base, examples)
            settings = self.workshop.settings
            steps = check_steps(recipes, examples.count, settings.tune_steps)
            plans = self._plans(base, recipes, examples)
        except DemoError as error:
            return views.alert(error), gr.update(**layer_box)
        view = views.plan_view(
            plans, examples=examples.count, held_out=examples.held_out, steps=steps, minutes=settings.tune_minutes
        )
        return view, gr.update(**layer_box)

    def _plans(self, base: str | None, recipes: Sequence[Recipe], examples: OwnExamples) -> dict[str, Plan]:
        """A plan for each strategy, made of the checkpoint's config alone. Raises `DemoError`."""
        from demo_app.finetune.strategies import preview

        _, folder = self.workshop.base(base)
        tuner = self.workshop.tuner()
        return {recipe.strategy: preview(tuner, folder, examples.labels, recipe) for recipe in recipes}

    def _layers(self, base: str | None, examples: OwnExamples) -> list[str]:
        """The names of the checkpoint's layers."""
        plan = self._plans(base, [Recipe(strategy="full")], examples)["full"]
        return [layer.name for layer in plan.layers]

    def train(
        self,
        base: str | None,
        strategies: list[str] | None,
        layers: list[str] | None,
        epochs: float | None,
        learning_rate: float | None,
        decay: float | None,
        rank: float | None,
        examples: OwnExamples | None,
        trials: tuple[Trial, ...],
        request: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:
        """Fine-tune on the session's examples by one strategy or several, and compare them.

        Args:
            base: name of the checkpoint to begin with.
            strategies: who learns: freeze, layers, layerwise, lora, full, gradual, scratch; or several of them.
            layers: for the strategy layers: names of layers, or globs such as layers.2.*.
            epochs: times to go through the examples at most.
            learning_rate: the highest; 0: what suits the strategy.
            decay: of layerwise and gradual: a layer's rate, in shares of that of the layer after it.
            rank: of lora.
            examples: the session's examples.
            trials: what the session tried before.

        Returns:
            How far it is, with curves of loss and accuracy, as HTML; a table of all that was tried, as HTML;
            the numbers by which the other actions know them.
        """
        form = Form(
            strategies=strategies, layers=layers, epochs=epochs, learning_rate=learning_rate, decay=decay, rank=rank
        )
        job = self._job(base, form, examples)
        try:
            run = self.workshop.trainings.begin(job, visitor(request))
        except DemoError as error:
            yield views.alert(error), *(gr.skip(),) * 4
            raise
        yield from self._show(run, trials, request)

    def resume(self, trials: tuple[Trial, ...], request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Show what the session has trained, and its training that is under way: the page may have been opened anew."""
        run = self.workshop.trainings.run_of(visitor(request))
        if run is not None and run.watcher != request.session_hash:
            yield from self._show(run, trials, request)
        elif trials:
            yield gr.skip(), *_results(trials)
        else:
            yield (gr.skip(),) * 5

    def _show(self, run: Run, trials: tuple[Trial, ...], request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Updates of the page while a training runs. Who leaves does not end it: it waits for them for a while."""
        progress, new = TrainingProgress(run.strategies), list[Trial]()
        unchanged = (gr.skip(),) * 4  # the results
        try:
            for update in self._updates(run, str(request.session_hash), progress, trials):
                if isinstance(update, Trial):
                    new.append(update)
                    yield gr.skip(), *_results((*trials, *new))
                elif update:
                    yield progress.bar() + progress.curves(), *unchanged
                else:
                    yield gr.skip(), *unchanged  # Gradio ends the handler of a closed page at a yield
            self.workshop.trainings.seen(run)
            if not progress.done:
                raise InputError("It was stopped before anything was learned; press Start again.")
        except DemoError as error:  # drawn as well, because a raised message does not stay on the page
            self.workshop.trainings.seen(run)
            yield views.alert(error) + progress.curves(), *unchanged
            raise
        if not new:
            yield gr.skip(), *(_results(trials) if trials else unchanged)
            return
        yield views.done_view(new, len(run.strategies)) + progress.curves(), *_results((*trials, *new))

    def _job(self, base: str | None, form: Form, examples: OwnExamples | None) -> Job:
        """The training that the form describes. Raises `DemoError` if it cannot run."""
        workshop, settings = self.workshop, self.workshop.settings
        if examples is None:
            raise InputError("There are no data yet; choose a file.")
        if not examples.usable:
            check(read_data(examples.sources, workshop.reads, max_rows=settings.tune_rows, same=examples.same))
        recipes = form.recipes()
        checkpoint, folder = workshop.base(base)
        check_steps(recipes, examples.count, settings.tune_steps)
        self._plans(base, recipes, examples)  # raises for a glob that matches no layer
        return Job(
            demo=workshop.demo,
            checkpoint=checkpoint,
            folder=folder,
            sources=examples.sources,
            same=examples.same,
            recipes=recipes,
        )

    def _updates(
        self, run: Run, session: str, progress: TrainingProgress, trials: tuple[Trial, ...]
    ) -> Iterator[Trial | bool]:
        """Watch a training: each finished strategy as a trial, and in between whether there is something to draw.

        Args:
            run: the training.
            session: who watches.
            progress: takes each update.
            trials: those that the session has.
        """
        seen, before, drawn, news = {trial.folder for trial in trials}, len(trials), 0.0, False
        with closing(run.watch(session)) as updates:
            for update in updates:
                news |= progress.take(update)
                if isinstance(update, Finished) and update.folder not in seen:  # updates are repeated
                    seen.add(update.folder)
                    before += 1
                    yield Trial(number=before, base=run.base, result=update.result, folder=update.folder)
                    continue
                now = time.monotonic()
                draws = news and not (isinstance(update, Running) and now - drawn < DRAW_SECONDS)
                if draws:
                    drawn, news = now, False
                yield draws

    def stop(self, request: gr.Request) -> None:
        """End the session's training with the best weights so far; strategies that did not begin are left out."""
        self.workshop.trainings.stop(visitor(request))


def _results(trials: tuple[Trial, ...]) -> tuple[Any, ...]:
    """Updates of the results: the trials, their table, the choice of the last one, the visible panel."""
    choices = [(trial.title, str(trial.number)) for trial in trials]
    return (
        trials,
        views.table_view(trials),
        gr.update(choices=choices, value=str(trials[-1].number)),
        gr.update(visible=True),
    )
