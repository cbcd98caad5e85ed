"""What a click in the tab "Fine-tune" does."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from demo_app import viz
from demo_app.api import Checkpoint, display_name
from demo_app.errors import DemoError, InputError
from demo_app.finetune.data import Data, Example, check, read_data
from demo_app.finetune.jobs import Job, Trainings
from demo_app.finetune.recipe import STRATEGIES, Recipe, check_steps
from demo_app.finetune.updates import Finished, Running
from demo_app.i18n import say
from demo_app.inputs.uploads import add_upload, uploaded
from demo_app.models.checkpoints import FOLDER
from demo_app.models.demo_models import DemoModels
from demo_app.page.finetune_tab import views
from demo_app.page.finetune_tab.fields import example_of, globs_of, listed, number_of
from demo_app.page.finetune_tab.session import Mine, Tried, chosen, copied
from demo_app.page.picker import with_own
from demo_app.page.visitors import visitor
from demo_app.publishing import parcel

if TYPE_CHECKING:
    from demo_app.finetune import Plan

DRAWN_SECONDS = 0.5  # between two pictures of a training
TOP = 5  # classes of an answer
WANTED = {
    ("text",): "A CSV with the columns text and label.",
    (
        "image",
    ): "A ZIP with a folder of pictures for each class; or pictures, and a CSV with the columns image and label.",
    ("image", "text"): "Pictures, one by one or in a ZIP, and a CSV with the columns image, text and label.",
}


class Actions:
    """What a visitor or a client can do: one method an event."""

    def __init__(self, handle: DemoModels[Any], trainings: Trainings, reads: tuple[str, ...]) -> None:
        if handle.demo.tuner is None:
            raise TypeError(f"The demo {handle.demo.name!r} has no tuner, so it cannot be fine-tuned; give it one.")
        if reads not in WANTED:
            raise ValueError(f"reads is {reads!r}; give one of: {', '.join(map(repr, WANTED))}.")
        self.handle, self.reads = handle, reads
        self.models, self.settings, self.demo = handle.models, handle.settings, handle.demo
        self.trainings = trainings
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
            sources.append(copied(path, folder / f"{number:05}"))
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
        shown: dict[str, Any] = {"visible": "layers" in listed(strategies)}
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
        wanted = listed(strategies)
        if unknown := [name for name in wanted if name not in STRATEGIES]:
            raise InputError(f"There is no strategy {unknown[0]}; choose from: {', '.join(STRATEGIES)}.")
        if not wanted:
            raise InputError("No strategy is chosen; choose one or more.")
        patterns = globs_of(layers)
        return tuple(
            Recipe(
                strategy=name,
                layers=",".join(patterns) if name == "layers" else "",
                epochs=int(number_of(epochs, usual.epochs, 1, 1000, "Epochs")),
                learning_rate=number_of(learning_rate, 0.0, 0.0, 1.0, "The learning rate"),
                decay=number_of(decay, usual.decay, 0.01, 1.0, "Decay"),
                rank=int(number_of(rank, usual.rank, 1, 256, "Rank")),
            )
            for name in STRATEGIES
            if name in wanted
        )

    def _plans(self, base: str | None, recipes: Sequence[Recipe], mine: Mine) -> dict[str, Plan]:
        """By strategy, from the checkpoint's config alone. Raises `DemoError`."""
        from demo_app.finetune.run import preview

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
                f"{display_name(str(name))} is not on this disk yet; fetch it with the picker above, or choose another."
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
        one = chosen(which, tried)
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
        return self._both(chosen(which, tried), example_of(text=text), request)

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
        return self._both(chosen(which, tried), self._seen(picture, request), request)

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
        one = chosen(which, tried)
        written = example_of(text=text).text
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
        return self.models.add_own(self.demo, one.folder, title=f"Fine-tuned {one.title}", visitor=owner)

    def use(self, which: str | None, tried: tuple[Tried, ...], request: gr.Request) -> tuple[Any, str]:
        """Choose the trained checkpoint in the tab's picker.

        Args:
            which: number of the training, from 1.
            tried: what the session tried.

        Returns:
            The picker's choices and, as its value, the name by which other actions know the checkpoint; a line for the
            page.
        """
        own = self._own(chosen(which, tried), request)
        return with_own(self.handle, own), viz.note(f"{own.title} is chosen in the picker at the top of this tab.")

    def zip(self, which: str | None, tried: tuple[Tried, ...], request: gr.Request) -> str:
        """The trained checkpoint with its model card, as a ZIP.

        Args:
            which: number of the training, from 1.
            tried: what the session tried.

        Returns:
            The file.
        """
        one = chosen(which, tried)
        target = self.trainings.folder(visitor(request)) / f"{self.demo.name}-{one.number}-{one.result['strategy']}.zip"
        try:
            kept = add_upload(parcel.zipped(one.folder, target))
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
            one = chosen(which, tried)
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


def _wrong(data: Data) -> InputError | None:
    """Why nothing can be learned from the data."""
    try:
        check(data)
    except InputError as error:
        return error
    return None
