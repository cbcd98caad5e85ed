"""The tab "Fine-tune" of a demo: one's own examples, how to learn from them, and what came of it.

A plugin calls `handle.finetune(picker, reads)`; nothing here knows which demo it is. Nothing here imports torch: that
happens in the first event, and the training itself in a process of its own (`demo_app.tuning.jobs`).
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.context import Context
from gradio.processing_utils import save_file_to_cache
from gradio.utils import get_upload_folder

from demo_app import viz
from demo_app.api import Checkpoint, DemoError, InputError, called
from demo_app.i18n import say
from demo_app.models import FOLDER
from demo_app.picker import visitor, with_own
from demo_app.pictures import SUFFIXES, uploaded
from demo_app.tables import clean
from demo_app.tuning import parcel, views
from demo_app.tuning.data import Data, Example, check, read_data
from demo_app.tuning.jobs import KEPT_SECONDS, Finished, Job, Running
from demo_app.tuning.recipe import STRATEGIES, Recipe, check_steps
from demo_app.widgets import drawing

if TYPE_CHECKING:
    from demo_app.finetune import Plan
    from demo_app.models import ModelHandle

log = logging.getLogger(__name__)

DRAWN_SECONDS = 0.5  # between two pictures of a training
TOP = 5  # classes of an answer
MOST_PATTERNS, MAX_PATTERN = 50, 200  # of layers, and characters of each
HUGE = 1e300  # no number beyond: JSON has whole numbers that no float holds, and NaN

INTRODUCTION = """
Teach a checkpoint classes of your own. What you upload and train stays yours and is deleted when you leave.

### 1. Your examples
"""
WANTED = {
    ("text",): "A CSV with the columns text and label.",
    (
        "image",
    ): "A ZIP with a folder of pictures for each class; or pictures, and a CSV with the columns image and label.",
    ("image", "text"): "Pictures, one by one or in a ZIP, and a CSV with the columns image, text and label.",
}
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


@dataclass(frozen=True, kw_only=True)
class Mine:
    """A visitor's examples: where their files are, and what they say."""

    folder: Path
    sources: tuple[Path, ...]
    labels: tuple[str, ...] = ()
    examples: int = 0
    same: bool | None = None
    kept: int = 0  # of them to measure on
    usable: bool = False  # whether there is something to learn


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A strategy that a visitor tried, and what came of it."""

    number: int
    base: str  # name of the checkpoint that it began with
    result: dict[str, Any]  # the fields of `demo_app.tuning.run.Result`
    folder: Path

    @property
    def title(self) -> str:
        return f"{self.number}. {self.result['strategy']}"

    @property
    def base_title(self) -> str:
        return called(self.base)


def build(handle: ModelHandle[Any], picker: gr.Dropdown, reads: Sequence[str]) -> None:
    """Lay out the tab and wire its events."""
    actions = Actions(handle, tuple(reads))
    mine = gr.State(None, time_to_live=KEPT_SECONDS, delete_callback=_drop_examples)
    tried = gr.State((), time_to_live=KEPT_SECONDS, delete_callback=_drop_results)
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
    if isinstance(Context.block, gr.Tab):
        follow.append(Context.block.select(actions.follow, [picker, base], base, **PRIVATE))
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


class Actions:
    """What a visitor or a client can do: one method an event."""

    def __init__(self, handle: ModelHandle[Any], reads: tuple[str, ...]) -> None:
        if handle.demo.tuner is None:
            raise TypeError(f"The demo {handle.demo.name!r} has no tuner, so it cannot be fine-tuned; give it one.")
        if reads not in WANTED:
            raise ValueError(f"reads is {reads!r}; give one of: {', '.join(map(repr, WANTED))}.")
        self.handle, self.reads = handle, reads
        self.models, self.settings, self.demo = handle.models, handle.settings, handle.demo
        self.trainings = handle.models.trainings
        self.asks = {("text",): self.ask_text, ("image",): self.ask_picture, ("image", "text"): self.ask_pair}

    # The examples

    def data(self, files: list[str] | None, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Read the examples to fine-tune on. They belong to this session and are deleted with it.

        Args:
            files: what the page asks for: a CSV, pictures, or a ZIP of them.

        Returns:
            Rows, classes and what is wrong, as HTML; whether labels that look alike are the same has to be answered.
        """
        if not files:
            raise InputError("There are no data yet; choose a file.")
        owner = visitor(request)
        folder = Path(tempfile.mkdtemp(prefix="examples-", dir=self.trainings.folder(owner)))
        sources = []
        for number, file in enumerate(files):
            path = uploaded(str(file))
            self.trainings.remember(owner, path)
            sources.append(_copied(path, folder / f"{number:05}"))
        yield from self._read(folder, sources, None)

    def example(self, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Take examples that the demo brings, to see how fine-tuning goes.

        Returns:
            Rows and classes, as HTML; the rest is for the page.
        """
        folder = Path(tempfile.mkdtemp(prefix="examples-", dir=self.trainings.folder(visitor(request))))
        sources = self._tuner().sample(folder)
        if not sources:
            raise InputError(f"{self.demo.title} has no example; choose a file of your own.")
        for read in self._read(folder, sources, None):
            yield *read, None

    def answer(self, same: str | None, mine: Mine | None) -> Iterator[tuple[Any, ...]]:
        """Say whether labels that differ only in capitals or spaces are one class.

        Args:
            same: yes, they become one; no, they are different classes.
            mine: the session's examples.

        Returns:
            What `finetune_data` returns.
        """
        if mine is None:
            raise InputError("There are no data yet; choose a file.")
        if same not in ("yes", "no"):
            raise InputError("Are they the same? Answer yes or no.")
        yield from self._read(mine.folder, mine.sources, same == "yes")

    def taken_away(self, files: list[str] | None, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Some of the files, or all, were taken away on the page."""
        if files:
            yield from self.data(files, request)
        else:
            yield None, viz.note(WANTED[self.reads], kind="hint"), gr.update(visible=False, value=None)

    def _read(self, folder: Path, sources: Sequence[Path], same: bool | None) -> Iterator[tuple[Any, ...]]:
        mine: Mine | None = None
        files: dict[str, Any] = {"folder": folder, "sources": tuple(sources), "same": same}
        hidden = gr.update(visible=False, value=None)
        try:
            data = read_data(sources, self._tuner().reads, max_rows=self.settings.tune_rows, same=same)
            counts, share = data.counts.values(), Recipe().held_out
            mine = Mine(
                **files,
                labels=data.labels,
                examples=len(data.examples),
                kept=sum(min(max(1, round(share * count)), count - 1) for count in counts),
                usable=_wrong(data) is None,
            )
            answer = {True: "yes", False: "no", None: None}[same]
            shown = mine, views.data_view(data), gr.update(visible=bool(data.alike), value=answer)
            if not (data.alike and same is None):  # that is asked just below
                check(data)
        except DemoError as error:
            if mine is None:
                yield Mine(**files), viz.note(str(error), kind="alert"), hidden
            else:
                yield shown[0], shown[1] + viz.note(str(error), kind="alert"), shown[2]
            raise
        yield shown

    # The plan

    def bases(self, owner: str | None) -> list[tuple[str, str]]:
        """What can be begun with: checkpoints on this disk."""
        return [(label, name) for label, name in self.handle.choices(owner) if self.handle.folder(name) is not None]

    def on_disk(self, name: Any, owner: str | None) -> str | None:
        """That name if it can be begun with, else the first that can."""
        known = [known for _, known in self.bases(owner)]
        return name if name in known else next(iter(known), None)

    def follow(self, picked: str | None, base: str | None, request: gr.Request) -> Any:
        """Begin with what the tab's picker says, where it can be begun with."""
        owner = visitor(request)
        choices = self.bases(owner)
        known = [name for _, name in choices]
        value = picked if picked in known else base if base in known else next(iter(known), None)
        return gr.update(choices=[(say(label), name) for label, name in choices], value=value)

    def plan(
        self,
        base: str | None,
        strategies: list[str] | None,
        layers: list[str] | None,
        epochs: float | None,
        learning_rate: float | None,
        decay: float | None,
        rank: float | None,
        mine: Mine | None,
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
            mine: the session's examples.

        Returns:
            A table of layers, parameters and learning rates as HTML, or what has to be changed; what layers there are.
        """
        shown: dict[str, Any] = {"visible": "layers" in _listed(strategies)}
        try:
            if mine is None or not mine.usable:
                return viz.note("Add examples, and you see here which layers will learn.", kind="hint"), gr.update(
                    **shown
                )
            recipes = self._recipes(strategies, layers, epochs, learning_rate, decay, rank)
            if shown["visible"]:
                shown["choices"] = self._layers(base, mine)
            steps = check_steps(recipes, mine.examples, self.settings.tune_steps)
            plans = self._plans(base, recipes, mine)
        except DemoError as error:
            return viz.note(str(error), kind="alert"), gr.update(**shown)
        minutes = self.settings.tune_minutes
        view = views.plan_view(plans, examples=mine.examples, kept=mine.kept, steps=steps, minutes=minutes)
        return view, gr.update(**shown)

    def _recipes(
        self,
        strategies: Sequence[str] | None,
        layers: Sequence[str] | None,
        epochs: float | None,
        learning_rate: float | None,
        decay: float | None,
        rank: float | None,
    ) -> tuple[Recipe, ...]:
        """One for each strategy, in the order of `STRATEGIES`. Raises `InputError`."""
        usual = Recipe()
        wanted = _listed(strategies)
        if unknown := [name for name in wanted if name not in STRATEGIES]:
            raise InputError(f"There is no strategy {unknown[0]}; choose from: {', '.join(STRATEGIES)}.")
        if not wanted:
            raise InputError("No strategy is chosen; choose one or more.")
        patterns = _globs(layers)
        return tuple(
            Recipe(
                strategy=name,
                layers=",".join(patterns) if name == "layers" else "",
                epochs=int(_number(epochs, usual.epochs, 1, 1000, "Epochs")),
                learning_rate=_number(learning_rate, 0.0, 0.0, 1.0, "The learning rate"),
                decay=_number(decay, usual.decay, 0.01, 1.0, "Decay"),
                rank=int(_number(rank, usual.rank, 1, 256, "Rank")),
            )
            for name in STRATEGIES
            if name in wanted
        )

    def _plans(self, base: str | None, recipes: Sequence[Recipe], mine: Mine) -> dict[str, Plan]:
        """By strategy, from the checkpoint's config alone. Raises `DemoError`."""
        from demo_app.tuning.run import preview

        _, folder = self._base(base)
        return {recipe.strategy: preview(self._tuner(), folder, mine.labels, recipe) for recipe in recipes}

    def _layers(self, base: str | None, mine: Mine) -> list[str]:
        plan = self._plans(base, [Recipe(strategy="full")], mine)["full"]
        return [layer.name for layer in plan.layers]

    def _base(self, name: str | None) -> tuple[Checkpoint, Path]:
        """The checkpoint to begin with, and where its files are. Raises `DemoError`."""
        if not name or name == FOLDER:
            raise InputError("No checkpoint is chosen to begin with; choose one.")
        checkpoint, folder = self.models.checkpoint(self.demo, name), self.handle.folder(name)
        if checkpoint is None or folder is None:
            raise InputError(
                f"{called(str(name))} is not on this disk yet; fetch it with the picker above, or choose another."
            )
        return checkpoint, folder

    def _tuner(self) -> Any:
        assert self.demo.tuner is not None
        tuner = self.demo.tuner()
        if tuner.reads != self.reads:
            raise TypeError(f"the tab was built for {self.reads}, but the tuner reads {tuner.reads}")
        return tuner

    # The training

    def train(
        self,
        base: str | None,
        strategies: list[str] | None,
        layers: list[str] | None,
        epochs: float | None,
        learning_rate: float | None,
        decay: float | None,
        rank: float | None,
        mine: Mine | None,
        tried: tuple[Tried, ...],
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
            mine: the session's examples.
            tried: what the session tried before.

        Returns:
            How far it is, with curves of loss and accuracy, as HTML; a table of all that was tried, as HTML;
            the numbers by which the other actions know them.
        """
        if mine is None:
            raise InputError("There are no data yet; choose a file.")
        if not mine.usable:
            check(read_data(mine.sources, self.reads, max_rows=self.settings.tune_rows, same=mine.same))
        recipes = self._recipes(strategies, layers, epochs, learning_rate, decay, rank)
        checkpoint, folder = self._base(base)
        check_steps(recipes, mine.examples, self.settings.tune_steps)
        self._plans(base, recipes, mine)  # a glob that matches nothing is told now
        job = Job(
            demo=self.demo, checkpoint=checkpoint, folder=folder, sources=mine.sources, same=mine.same, recipes=recipes
        )
        course, new = views.Course([recipe.strategy for recipe in recipes]), list[Tried]()
        try:
            for update in self._followed(job, visitor(request), course, len(tried)):
                if isinstance(update, Tried):
                    new.append(update)
                    yield gr.skip(), *_table((*tried, *new))
                elif update:
                    yield course.progress() + course.curves(), *(gr.skip(),) * 4
                else:
                    yield (gr.skip(),) * 5  # so that a page that was closed ends it
            if not new:
                raise InputError("It was stopped before anything was learned; press Start again.")
        except DemoError as error:  # on the page it stays, as a message does not
            yield viz.note(str(error), kind="alert") + course.curves(), *(gr.skip(),) * 4
            raise
        yield views.done_view(new, len(recipes)) + course.curves(), *_table((*tried, *new))

    def _followed(self, job: Job, owner: str, course: views.Course, before: int) -> Iterator[Tried | bool]:
        """Whether there is something to draw, now and then; and what is through."""
        seen, drawn, news = set[Path](), 0.0, False
        with closing(self.trainings.follow(job, owner)) as updates:
            for update in updates:
                news |= course.take(update)
                if isinstance(update, Finished) and update.folder not in seen:  # it is said again as long as it waits
                    seen.add(update.folder)
                    number, base = before + len(seen), job.checkpoint.name
                    yield Tried(number=number, base=base, result=update.result, folder=update.folder)
                    continue
                now = time.monotonic()
                draws = news and not (isinstance(update, Running) and now - drawn < DRAWN_SECONDS)
                if draws:
                    drawn, news = now, False
                yield draws

    def stop(self, request: gr.Request) -> None:
        """End the session's training with the best weights so far; strategies that did not begin are left out."""
        self.trainings.stop(visitor(request))

    # What came of it

    def result(self, which: str | None, tried: tuple[Tried, ...]) -> tuple[Any, ...]:
        """How good one of the trainings is.

        Args:
            which: its number, from 1.
            tried: what the session tried.

        Returns:
            Precision, recall and F1 by class, and what was taken for what, as HTML; all numbers.
        """
        one = _chosen(which, tried)
        return viz.side_by_side(views.scores_view(one.result), views.confusion_view(one.result)), one.result

    def ask_text(
        self, text: str | None, which: str | None, tried: tuple[Tried, ...], request: gr.Request
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Ask the checkpoint as it was and as it is now.

        Args:
            text: a text of your own.
            which: number of the training, from 1.
            tried: what the session tried.

        Returns:
            The likeliest classes of the one before, and of the one after.
        """
        return self._both(_chosen(which, tried), _example(text=text), request)

    def ask_picture(
        self, picture: Any, which: str | None, tried: tuple[Tried, ...], request: gr.Request
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Ask the checkpoint as it was and as it is now.

        Args:
            picture: a picture of your own.
            which: number of the training, from 1.
            tried: what the session tried.

        Returns:
            The likeliest classes of the one before, and of the one after.
        """
        return self._both(_chosen(which, tried), self._seen(picture, request), request)

    def ask_pair(
        self, picture: Any, text: str | None, which: str | None, tried: tuple[Tried, ...], request: gr.Request
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Ask the checkpoint as it was and as it is now.

        Args:
            picture: a picture of your own.
            text: the text that belongs to it.
            which: number of the training, from 1.
            tried: what the session tried.

        Returns:
            The likeliest classes of the one before, and of the one after.
        """
        one = _chosen(which, tried)
        written = _example(text=text).text
        seen = self._seen(picture, request)
        return self._both(one, Example(label="", text=written, picture=seen.picture, name=seen.name), request)

    def _seen(self, picture: Any, request: gr.Request) -> Example:
        path = uploaded(picture)
        self.trainings.remember(visitor(request), path)
        return Example(label="", picture=path.read_bytes, name=path.name)

    def _both(self, one: Tried, example: Example, request: gr.Request) -> tuple[dict[str, float], dict[str, float]]:
        return self._asked(one.base, example), self._asked(self._own(one, request).name, example)

    def _asked(self, name: str, example: Example) -> dict[str, float]:
        """The likeliest classes of a checkpoint, likeliest first."""
        tuner = self._tuner()
        _, folder = self._base(name)
        labels = tuner.labels(folder)
        if not labels:  # an encoder alone has no answers
            return {}
        with self.handle.use(name) as model:
            shares = tuner.predict(model, [example])[0].tolist()
        best = sorted(zip(labels, shares, strict=True), key=lambda pair: -pair[1])[:TOP]
        return {label: float(share) for label, share in best}

    def _own(self, one: Tried, request: gr.Request) -> Checkpoint:
        """The trained checkpoint as one of this visitor's own."""
        owner = visitor(request)
        for checkpoint in self.models.own(self.demo, owner):
            if checkpoint.folder == one.folder.resolve():
                return checkpoint
        return self.models.adopt(self.demo, one.folder, title=f"Fine-tuned {one.title}", visitor=owner)

    def use(self, which: str | None, tried: tuple[Tried, ...], request: gr.Request) -> tuple[Any, str]:
        """Choose the trained checkpoint in the tab's picker.

        Args:
            which: number of the training, from 1.
            tried: what the session tried.

        Returns:
            The picker's choices and, as its value, the name by which other actions know the checkpoint; a line for the
            page.
        """
        own = self._own(_chosen(which, tried), request)
        return with_own(self.handle, own), viz.note(f"{own.title} is chosen in the picker at the top of this tab.")

    def zip(self, which: str | None, tried: tuple[Tried, ...], request: gr.Request) -> str:
        """The trained checkpoint with its model card, as a ZIP.

        Args:
            which: number of the training, from 1.
            tried: what the session tried.

        Returns:
            The file.
        """
        one = _chosen(which, tried)
        target = self.trainings.folder(visitor(request)) / f"{self.demo.name}-{one.number}-{one.result['strategy']}.zip"
        try:
            kept = Path(save_file_to_cache(str(parcel.zipped(one.folder, target)), cache_dir=get_upload_folder()))
        finally:
            target.unlink(missing_ok=True)
        self.trainings.remember(visitor(request), kept)
        return str(kept)

    def publish(
        self, name: str | None, token: str | None, private: bool, which: str | None, tried: tuple[Tried, ...]
    ) -> Iterator[tuple[str, Any]]:
        """Make a repository of the trained checkpoint on the Hugging Face Hub.

        Args:
            name: of the repository, USER/NAME; one that is there already is left alone.
            token: your access token, one that may write; it is used once and kept nowhere.
            private: whether only you can see it.
            which: number of the training, from 1.
            tried: what the session tried.

        Returns:
            Where it is, as HTML; an error says what to do.
        """
        yield viz.note("Publishing …"), ""  # the box is emptied first, on the page and in what Gradio keeps of it
        try:
            one = _chosen(which, tried)
            done = parcel.publish(one.folder, name or "", token or "", private=bool(private))
        except DemoError as error:
            yield viz.note(str(error), kind="alert"), ""
            raise
        address = viz.escape(done.url)
        link = f'<a href="{address}" target="_blank" rel="noopener noreferrer">{address}</a>'
        yield f'<p class="viz viz-lesson">{viz.escape(say("It is on the Hub:"))} {link}</p>', ""


def _table(tried: tuple[Tried, ...]) -> tuple[Any, ...]:
    """What the page shows of all that was tried; the last one is looked at."""
    choices = [(one.title, str(one.number)) for one in tried]
    return (
        tried,
        views.table_view(tried),
        gr.update(choices=choices, value=str(tried[-1].number)),
        gr.update(visible=True),
    )


def _chosen(which: Any, tried: tuple[Tried, ...]) -> Tried:
    """The training of that number. Raises `InputError`."""
    if not tried:
        raise InputError("Nothing is trained yet; press Start.")
    for one in tried:
        if str(one.number) == str(which):
            return one
    raise InputError(f"There is no training {which}; choose one from 1 to {len(tried)}.")


def _example(text: Any) -> Example:
    written = clean(text) if isinstance(text, str) else ""
    if not written.strip():
        raise InputError("The text is empty; write a sentence, then try again.")
    return Example(label="", text=written)


def _listed(given: Any) -> list[Any]:
    """What may come as a list, alone, or not at all."""
    return given if isinstance(given, list) else [given] if given else []


def _globs(given: Any) -> list[str]:
    """Patterns of layers. Raises `InputError`, also for regular expressions: a stranger's can take for ever."""
    patterns = [str(pattern).strip() for pattern in _listed(given)]
    if len(patterns) > MOST_PATTERNS or any(len(pattern) > MAX_PATTERN for pattern in patterns):
        raise InputError(
            f"Layers are named by {MOST_PATTERNS} patterns at most, of {MAX_PATTERN} characters; use fewer."
        )
    if any(part.strip().startswith("re:") for pattern in patterns for part in pattern.split(",")):
        raise InputError("Regular expressions are for the command line; name layers, or use a glob such as layers.2.*")
    return patterns


def _number(value: Any, usual: float, least: float, most: float, name: str) -> float:
    """A number from a box that may be empty. Raises `InputError`."""
    if value is None:
        return usual
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < HUGE:
        raise InputError(f"{name} is no number; write one from {least:g} to {most:g}.")
    if not least <= value <= most:
        raise InputError(f"{name} is {value:g}; choose from {least:g} to {most:g}.")
    return value


def _wrong(data: Data) -> InputError | None:
    """Why nothing can be learned from the data."""
    try:
        check(data)
    except InputError as error:
        return error
    return None


def _copied(file: Path, folder: Path) -> Path:
    """The visitor's own copy: what Gradio keeps of an upload goes after an hour, or with another who sent the same."""
    folder.mkdir()
    target = folder / file.name
    try:
        os.link(file, target)
    except OSError:  # another disk
        shutil.copyfile(file, target)
    return target


def _drop_examples(mine: Mine | None) -> None:
    if mine is not None:
        shutil.rmtree(mine.folder, ignore_errors=True)


def _drop_results(tried: tuple[Tried, ...] | None) -> None:
    for one in tried or ():
        shutil.rmtree(one.folder, ignore_errors=True)
