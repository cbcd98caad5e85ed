"""The tab: layout and events. What is computed is in `explain`, `costs`, `twins` and `batch`, how it looks in `views`.

A click on Classify costs one forward pass and answers; what was seen stays in the visitor's session (`Seen`), and a
second event draws the pictures of it. Nothing here imports torch: that happens in the first event.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.processing_utils import save_file_to_cache
from gradio.utils import get_upload_folder
from PIL import Image

from demo_app import InputError, viz
from demo_app.api import display_name
from demo_app.inputs.archives import pictures_in
from demo_app.inputs.pictures import open_picture
from demo_app.inputs.uploads import uploaded
from demo_app.page.widgets import drawing
from demo_app.viz.overlay import heat
from demo_app_separable_conv import explain, views
from demo_app_separable_conv.example import BLOCK, example, lessons
from demo_app_separable_conv.explain import Seen
from demo_app_separable_conv.how import HOW
from demo_app_separable_conv.twins import TWINS, compare

if TYPE_CHECKING:
    from demo_app.page.handle import ModelHandle
    from demo_app_separable_conv.classifier import Classifier

KEPT_SECONDS = 3 * 3600  # a session's last picture is forgotten after so long
ATTENTION = "cifar10_attention"

# What a picker offers depends on the checkpoint, which a client may have changed without looking: we check it ourselves
ANY: dict[str, Any] = {"allow_custom_value": True, "min_width": 200}
AT_ONCE: dict[str, Any] = {"queue": False, "show_progress": "hidden"}  # fast and bounded: no need to wait in line
PLACE = ("Channel", "Row", "Column")
SUFFIXES = [".zip", ".tar", ".gz", ".tgz", ".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"]


def build(handle: ModelHandle[Classifier]) -> None:
    """Lay out the tab and wire its events. Called once, inside the host's `gr.Blocks`."""
    actions = Actions(handle)
    seen = gr.State(None, time_to_live=KEPT_SECONDS)
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            picker, picture, button, examples = input_panel(handle)
        with gr.Column(scale=6, min_width=300):
            answer, card, where, label, block = answer_panel()
    gr.Markdown("### Look inside")
    with gr.Tabs(overflow_behavior="wrap"):
        with gr.Tab("Filters and sums"):
            inside_block, inside = inside_panel(actions, seen)
        with gr.Tab("What it costs"):
            cost_panel(actions)
        with gr.Tab("Twins"):
            twins_panel(actions, picture)
        with gr.Tab("Attention"):
            attended = attention_panel(actions, seen)
        with gr.Tab("Many pictures"):
            files_panel(actions, picker, handle.settings.max_rows)
        with gr.Tab("Fine-tune"):
            handle.finetune(picker, ("image",))
        with gr.Tab("How it works"):
            gr.Markdown(HOW)
    # The upload is checked and opened here: what Gradio would decode first might be a bomb
    on_the_wire: dict[str, Any] = {"preprocess": False, "postprocess": False, **AT_ONCE}
    answers, drawn = [answer, card, seen], [where, label, block, inside_block, *inside, attended, seen]
    asked = button.click(actions.classify, [picture, picker], answers, api_name="classify", **on_the_wire)
    chosen = examples.click(actions.example, [examples, picker], [picture, *answers], api_name="example", **AT_ONCE)
    for event in (asked, chosen):
        event.success(actions.draw, seen, drawn, api_visibility="private", **AT_ONCE)
    gr.on([label.input, block.input], actions.look, [seen, label, block], where, api_name="look", **AT_ONCE)


def input_panel(handle: ModelHandle[Classifier]) -> tuple[gr.Dropdown, gr.Image, gr.Button, gr.Dataset]:
    picker = handle.picker()
    picture = gr.Image(
        str(lessons()[0].path),
        label="Picture",
        type="filepath",
        sources=["upload", "webcam", "clipboard"],
        height=300,
        buttons=["fullscreen"],
    )
    button = gr.Button("Classify", variant="primary")
    examples = gr.Dataset(
        components=["image"],
        samples=[[str(lesson.path)] for lesson in lessons()],
        label="Try one: each teaches something",
        type="index",
        layout="gallery",
    )
    return picker, picture, button, examples


def answer_panel() -> tuple[gr.Label, gr.HTML, gr.ImageSlider, gr.Dropdown, gr.Dropdown]:
    """The answer; it opens with the example's, so that a cold page is not blank."""
    seen = example().seen
    answer = gr.Label(dict(seen.best()), label="Answer", num_top_classes=5)
    card = drawing("About the answer", views.card(seen))
    pair = (seen.picture, heat(seen.picture, example().cam))
    about = {"label": "Picture | where it looked", "format": "jpeg", "interactive": False, "max_height": 400}
    where = gr.ImageSlider(pair, **about)
    with gr.Row():
        names = [name for name, _ in seen.best(10)]
        label = gr.Dropdown(names, value=seen.answer, label="What speaks for", **ANY)
        blocks = numbered(example().blocks)
        block = gr.Dropdown(blocks, value=blocks[-1][1], label="In block", **ANY)
    return answer, card, where, label, block


def inside_panel(actions: Actions, seen: gr.State) -> tuple[gr.Dropdown, list[gr.HTML]]:
    """Depthwise filters, what they make of the picture, what the pointwise convolution mixes, and one of its sums."""
    blocks, inside = numbered(example().blocks), example().inside
    about = "Each has a depthwise and a pointwise half."
    block = gr.Dropdown(blocks, value=blocks[BLOCK][1], label="Block", info=about, **ANY)
    filters = drawing("Filters", views.filters_view(inside))
    mixed = drawing("Mixed channels", views.mixed_view(inside, 0), js_on_load=viz.script())
    written = drawing("Sum", views.sum_view(inside, explain.write_out(inside, 0)))
    shown = [filters, mixed, written]
    block.input(actions.filters, [seen, block], shown, api_name="filters", **AT_ONCE)
    mixed.click(actions.mix_clicked, [seen, block], written, api_visibility="private", **AT_ONCE)
    channel, row, column = (gr.Number(None, visible=False, precision=0, label=name) for name in PLACE)
    ask = gr.Button("Sum", visible=False)
    ask.click(actions.mix, [seen, block, channel, row, column], written, api_name="mix", **AT_ONCE)
    return block, shown


def cost_panel(actions: Actions) -> None:
    """The calculator: counted as the sliders move, measured on demand."""
    with gr.Row():
        kernel = gr.Slider(1, 7, 3, step=2, label="Kernel K", min_width=140)
        channels = gr.Slider(1, 512, 128, step=1, label="Channels in", min_width=140)
        out = gr.Slider(1, 512, 128, step=1, label="Channels out", min_width=140)
        size = gr.Slider(1, 112, 28, step=1, label="Size (H = W)", min_width=140)
    sliders = [kernel, channels, out, size]
    counted = drawing("Counted", actions.count(3, 128, 128, 28))
    with gr.Row():
        measure = gr.Button("Measure it on this machine", variant="primary", min_width=160)
        over = gr.Button("Measure over widths", min_width=160)
    measured = drawing(
        "Measured", viz.note("Counted is arithmetic. How long does it take? Press Measure.", kind="hint")
    )
    plot = gr.LinePlot(
        None,
        x="width",
        y="share",
        color="how",
        x_title="channels in = channels out",
        y_title="separable / standard",
        title="Share over widths",
        height=280,
        visible=False,
    )
    gr.on([slider.change for slider in sliders], actions.count, sliders, counted, api_name="count", **AT_ONCE)
    alone: dict[str, Any] = {"concurrency_id": "measure", "concurrency_limit": 1, "show_progress": "minimal"}
    measure.click(actions.measure, sliders, measured, api_name="measure", **alone)
    over.click(actions.measure_widths, [kernel, size], [plot, measured], api_name="measure_widths", **alone)


def twins_panel(actions: Actions, picture: gr.Image) -> None:
    gr.Markdown("Three networks that were trained alike: separable, with standard convolutions, and with attention.")
    button = gr.Button("Show the picture above to all three")
    view = drawing("Twins", viz.note("Is a ninth of the arithmetic a ninth as good?", kind="hint"))
    raw: dict[str, Any] = {"preprocess": False, "show_progress": "minimal"}
    button.click(actions.twins, picture, view, api_name="twins", **raw)


def attention_panel(actions: Actions, seen: gr.State) -> gr.Image:
    """The attention of the place that is clicked."""
    with gr.Row():
        with gr.Column(min_width=300):
            picture = gr.Image(
                example().seen.picture,
                label="Click a place: who does it look at?",
                interactive=False,
                buttons=["fullscreen"],
            )
        with gr.Column(min_width=300):
            said = drawing("Attention", views.gamma_view())
    picture.select(actions.attend_clicked, seen, [picture, said], api_visibility="private", **AT_ONCE)
    across, down = (gr.Number(0.5, visible=False, label=name) for name in ("Across", "Down"))
    ask = gr.Button("Attend", visible=False)
    ask.click(actions.attend, [seen, across, down], [picture, said], api_name="attend", **AT_ONCE)
    return picture


def files_panel(actions: Actions, picker: gr.Dropdown, most: int) -> None:
    gr.Markdown(
        f"Pictures, or a ZIP or TAR of them (at most {most:,}), come back as a CSV with the columns `file`, `folder`, "
        "`label`, `probability` and `problem`. Folders that are called as classes are compared with the answers."
    )
    with gr.Row():
        with gr.Column(min_width=300):
            files = gr.File(label="Your pictures", file_count="multiple", file_types=SUFFIXES, height=160)
            button = gr.Button("Classify them all")
        with gr.Column(min_width=300):
            result = gr.File(label="The answers", interactive=False, height=96, elem_classes="viz-file")
            view = drawing("Summary", viz.note("No pictures yet.", kind="hint"))
    button.click(
        actions.classify_files,
        [files, picker],
        [result, view],
        api_name="classify_files",
        preprocess=False,
        show_progress_on=view,
    )


def numbered(blocks: Sequence[str]) -> list[tuple[str, str]]:
    """What a picker of blocks shows, and what it says to a handler: the number, from 1."""
    return [(f"{number}: {block}", str(number)) for number, block in enumerate(blocks, start=1)]


class Actions:
    """What a visitor or a client can do: one method an event."""

    def __init__(self, handle: ModelHandle[Classifier]) -> None:
        self.handle = handle

    def classify(self, picture: Any, checkpoint: str) -> tuple[Any, str, Seen]:
        """Name what is in a picture.

        Args:
            picture: a JPEG, PNG, GIF, WebP, BMP or TIFF; turned upright by its EXIF data, and its middle is seen.
            checkpoint: its name, such as cifar10, mobilenetv1 or mobilenetv2.

        Returns:
            The five likeliest labels with their probabilities; the model and its time, as HTML.
        """
        seen = self._look(uploaded(picture), checkpoint)
        return views.label_data(seen), views.card(seen), seen

    def _look(self, path: Path, checkpoint: str) -> Seen:
        with self.handle.use(str(checkpoint)) as classifier:
            picture = open_picture(path, at_least=classifier.at_least)
            return explain.look(classifier, picture, checkpoint=str(checkpoint))

    def example(self, number: int, checkpoint: str) -> tuple[Any, ...]:
        """Classify one of the examples.

        Args:
            number: which example, from 0.
            checkpoint: its name, such as cifar10, mobilenetv1 or mobilenetv2.

        Returns:
            The example's picture; then what `classify` returns.
        """
        known = lessons()
        number = whole(number, "The example", len(known) - 1)
        seen = self._look(known[number].path, checkpoint)
        # a copy in Gradio's own folder: it does not serve files from an installed package
        shown = save_file_to_cache(str(known[number].path), cache_dir=get_upload_folder())
        return shown, dict(seen.best()), viz.note(known[number].lesson, kind="lesson") + views.card(seen), seen

    def draw(self, seen: Seen | None) -> tuple[Any, ...]:
        """All pictures of the session's picture, and the pickers that belong to its checkpoint."""
        seen = (seen or example().seen).shown()
        with self.handle.use(seen.checkpoint) as classifier:
            network, x = classifier.network, classifier.read(seen.pixels)
            names = explain.block_names(network)
            cam = explain.grad_cam(network, x, seen.place(seen.answer), len(names) - 1)
            inside = explain.look_inside(network, x, BLOCK)
        labels, blocks = [name for name, _ in seen.best(10)], numbered(names)
        return (
            (seen.picture, heat(seen.picture, cam)),
            gr.update(choices=labels, value=seen.answer),
            gr.update(choices=blocks, value=blocks[-1][1]),
            gr.update(choices=blocks, value=blocks[BLOCK][1]),
            *self._inside(inside),
            seen.picture,
            seen,
        )

    def _inside(self, inside: explain.Inside | None) -> tuple[str, str, str]:
        written = None if inside is None else explain.write_out(inside, 0)
        return views.filters_view(inside), views.mixed_view(inside, 0), views.sum_view(inside, written)

    def look(self, seen: Seen | None, label: str, block: str) -> Any:
        """Where the network looked in the picture classified last in this session (before that: the page's example).

        Args:
            seen: kept by the session.
            label: for which label: one of the ten likeliest.
            block: in which block, by its number from 1.

        Returns:
            The picture, and the same with its Grad-CAM.
        """
        seen = (seen or example().seen).shown()
        with self.handle.use(seen.checkpoint) as classifier:
            number = explain.index_of(block, classifier.network)
            x = classifier.read(seen.pixels)
            cam = explain.grad_cam(classifier.network, x, seen.place(label), number)
        return seen.picture, heat(seen.picture, cam)

    def filters(self, seen: Seen | None, block: str) -> tuple[str, str, str]:
        """A block's depthwise filters, what they make of the session's picture, and what is mixed of that.

        Args:
            seen: kept by the session.
            block: its number from 1.

        Returns:
            The filters and their results; the mixed channels; the sum behind the first of them. All as HTML.
        """
        return self._inside(self._look_inside(seen, block))

    def _look_inside(self, seen: Seen | None, block: str) -> explain.Inside | None:
        seen = seen or example().seen
        with self.handle.use(seen.checkpoint) as classifier:
            number = explain.index_of(block, classifier.network)
            return explain.look_inside(classifier.network, classifier.read(seen.pixels), number)

    def mix(self, seen: Seen | None, block: str, channel: int | None, row: int | None, column: int | None) -> str:
        """Write out the sum by which a block's pointwise convolution makes one number.

        Args:
            seen: kept by the session.
            block: its number from 1.
            channel: of the output, from 0.
            row: of the place, from 0; none for the strongest place.
            column: of the place, from 0; none for the strongest place.

        Returns:
            The sum as HTML.
        """
        inside = self._look_inside(seen, block)
        if inside is None:
            raise InputError("This block has a standard convolution, no pointwise one; choose a separable checkpoint.")
        channel = 0 if channel is None else channel
        numbers = [None if n is None else whole(n, name) for n, name in zip((channel, row, column), PLACE, strict=True)]
        return views.sum_view(inside, explain.write_out(inside, numbers[0] or 0, *numbers[1:]))

    def mix_clicked(self, seen: Seen | None, block: str, event: gr.EventData) -> str:
        """A click on a channel: its sum, where it is strongest."""
        return self.mix(seen, block, int(event.tile), None, None)

    def attend(self, seen: Seen | None, across: float, down: float) -> tuple[Any, str]:
        """Whom a place of the session's picture looks at, in the network that has attention.

        Args:
            seen: kept by the session.
            across: the place, from 0 at the left to 1 at the right.
            down: the place, from 0 at the top to 1 at the bottom.

        Returns:
            The picture with the attention of that place; in words, as HTML.
        """
        for name, value in (("across", across), ("down", down)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise InputError(f"{name} is {value!r}; give a number from 0 to 1.")
        seen = (seen or example().seen).shown()
        with self.handle.use(ATTENTION) as classifier:
            pixels = classifier.see(Image.fromarray(seen.picture))
            weights = explain.attention_of(classifier.network, classifier.prepare([pixels]))  # (H, W, H, W)
        rows, columns = weights.shape[:2]
        row, column = min(int(down * rows), rows - 1), min(int(across * columns), columns - 1)
        return views.attention_picture(seen.picture, weights[row, column], row, column), views.attention_view(
            weights, row, column
        )

    def attend_clicked(self, seen: Seen | None, event: gr.SelectData) -> tuple[Any, str]:
        """A click on the picture: the attention of that place."""
        x, y = event.index
        side = explain.SHOWN
        return self.attend(seen, min(max(x / side, 0.0), 1.0), min(max(y / side, 0.0), 1.0))

    def count(self, kernel: int, channels: int, out: int, size: int) -> str:
        """Count what a convolution costs, standard and separable.

        Args:
            kernel: K of K x K: 1, 3, 5 or 7.
            channels: in, from 1 to 512.
            out: channels out, from 1 to 512.
            size: pixels of a side, from 1 to 112.

        Returns:
            Multiply-adds and parameters of both, and their ratio, as HTML.
        """
        from demo_app_separable_conv import costs

        numbers = costs.check(kernel, channels, out, size)
        return views.cost_view(costs.dense(*numbers), costs.separable(*numbers), numbers[0], numbers[2])

    def measure(self, kernel: int, channels: int, out: int, size: int) -> str:
        """Measure a standard and a separable convolution on this machine, in turns.

        Args:
            kernel: K of K x K: 1, 3, 5 or 7.
            channels: in, from 1 to 512.
            out: channels out, from 1 to 512.
            size: pixels of a side, from 1 to 112.

        Returns:
            Milliseconds of both, the ratio counted and measured, and why they differ, as HTML.
        """
        from demo_app_separable_conv import costs

        costs.use_all_threads()
        measured = costs.measure(kernel, channels, out, size)
        return views.measured_view(measured, costs.why(measured))

    def measure_widths(self, kernel: int, size: int) -> Iterator[tuple[Any, str]]:
        """Measure a standard and a separable convolution over their width.

        Args:
            kernel: K of K x K: 1, 3, 5 or 7.
            size: pixels of a side, from 1 to 112.

        Returns:
            The ratios counted and measured, as a plot; the last width's as HTML.
        """
        import pandas as pd

        from demo_app_separable_conv import costs

        costs.use_all_threads()
        rows: list[dict[str, Any]] = []
        for measured in costs.measure_widths(kernel, size):
            for how, share in (("counted", measured.counted), ("measured", measured.ratio)):
                rows.append({"width": measured.channels, "share": share, "how": how})
            shown = views.measured_view(measured, costs.why(measured))
            yield gr.update(value=pd.DataFrame(rows), visible=True), shown

    def twins(self, picture: Any) -> str:
        """Show a picture to the three embedded networks.

        Args:
            picture: a JPEG, PNG, GIF, WebP, BMP or TIFF.

        Returns:
            The answers, accuracies and costs, as HTML.
        """
        path = uploaded(picture)
        with ExitStack() as leases:
            networks = {name: leases.enter_context(self.handle.use(name)) for name in TWINS}
            at_least = max(classifier.at_least for classifier in networks.values())
            return views.twins_view(compare(networks, open_picture(path, at_least=at_least)))

    def classify_files(
        self,
        files: Sequence[Any] | None,
        checkpoint: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Iterator[tuple[Any, str]]:
        """Classify many pictures.

        Args:
            files: pictures, or one ZIP or TAR of pictures.
            checkpoint: its name, such as cifar10, mobilenetv1 or mobilenetv2.

        Returns:
            A CSV with the answers; their counts, and how they agree with the folders, as HTML.
        """
        from demo_app_separable_conv import batch

        given = files if isinstance(files, list) else [files] if files else []
        paths = [uploaded(file) for file in given]
        if not paths:
            raise InputError("There are no pictures yet; choose some, or a ZIP of them.")
        source = paths[0] if len(paths) == 1 and batch.is_archive(paths[0]) else paths
        answers: list[batch.Answer] = []
        with (
            tempfile.TemporaryDirectory(prefix="demo-app-") as folder,
            pictures_in(source, max_pictures=self.handle.settings.max_rows) as entries,
            self.handle.use(str(checkpoint)) as classifier,
        ):
            progress((0, len(entries)), unit="pictures")
            yield gr.skip(), views.progress_view(0, len(entries))
            for part in batch.classify_all(classifier, entries):
                answers += part
                progress((len(answers), len(entries)), unit="pictures")
                yield gr.skip(), views.progress_view(len(answers), len(entries))
            target = Path(folder) / f"{display_name(str(checkpoint))}-answers.csv"
            batch.write_answers(target, answers)
            confusion = batch.confusion(answers, classifier.labels)
            yield str(target), views.answers_view(answers, batch.counts(answers), confusion)
        # Gradio has copied the file into its own cache by now, where it stays for an hour; ours is gone


def whole(value: Any, name: str, most: int | None = None) -> int:
    """Raises `InputError` for what is no whole number from 0 to `most`."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or value != int(value) or value < 0 or (most is not None and value > most):
        raise InputError(
            f"{name} is {value!r}; give a whole number from 0" + (f" to {most}." if most is not None else ".")
        )
    return int(value)
