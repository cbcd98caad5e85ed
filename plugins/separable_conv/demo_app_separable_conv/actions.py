"""What a click does: one method an event. Models are loaded here, results are drawn by `views`."""

from __future__ import annotations

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
from demo_app.i18n import say
from demo_app.inputs.archives import pictures_in
from demo_app.inputs.numbers import number_between, whole_number
from demo_app.inputs.pictures import open_picture
from demo_app.inputs.uploads import uploaded
from demo_app.page.lessons import pick
from demo_app.viz.overlay import heat
from demo_app_separable_conv import explain, views
from demo_app_separable_conv.example import BLOCK, example
from demo_app_separable_conv.lessons import lessons
from demo_app_separable_conv.seen import SHOWN, Seen
from demo_app_separable_conv.twins import TWINS, compare

if TYPE_CHECKING:
    from demo_app import ModelHandle
    from demo_app_separable_conv.classifier import Classifier

ATTENTION = "cifar10_attention"  # the checkpoint whose attention is drawn
PLACE = ("Channel", "Row", "Column")


class Actions:
    """What a visitor or a client can do."""

    def __init__(self, handle: ModelHandle[Classifier]) -> None:
        self.handle = handle

    # A picture and its answer

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
        lesson = pick(lessons(), number)
        seen = self._look(lesson.path, checkpoint)
        # a copy in Gradio's upload folder, since it does not serve files of an installed package
        shown = save_file_to_cache(str(lesson.path), cache_dir=get_upload_folder())
        return shown, dict(seen.best()), viz.note(lesson.lesson, kind="lesson") + views.card(seen), seen

    def draw(self, seen: Seen | None) -> tuple[Any, ...]:
        """Everything that is drawn of the session's picture, and the pickers' choices for its checkpoint."""
        seen = (seen or example().seen).shown()
        with self.handle.use(seen.checkpoint) as classifier:
            network, x = classifier.network, classifier.read(seen.pixels)
            widths = explain.block_widths(network)
            cam = explain.grad_cam(network, x, seen.place(seen.answer), len(widths) - 1)
            inside = explain.look_inside(network, x, BLOCK)
        labels, blocks = [name for name, _ in seen.best(10)], views.numbered(widths)
        return (
            (seen.picture, heat(seen.picture, cam)),
            gr.update(choices=labels, value=seen.answer),
            gr.update(choices=blocks, value=blocks[-1][1]),
            gr.update(choices=blocks, value=blocks[BLOCK][1]),
            *drawn(inside),
            seen.picture,
            views.gamma_view(),  # no place of this picture is chosen yet
            seen,
        )

    # Look inside

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
        return drawn(self._look_inside(seen, block))

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
        given = zip((channel, row, column), PLACE, strict=True)
        first, *place = (None if number is None else whole_number(number, name, least=0) for number, name in given)
        return views.sum_view(inside, explain.write_out(inside, first or 0, *place))

    def mix_clicked(self, seen: Seen | None, block: str, event: gr.EventData) -> str:
        """A click on a channel: its sum at the place where it is strongest."""
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
        across, down = number_between(across, "across", 0, 1), number_between(down, "down", 0, 1)
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
        return self.attend(seen, min(max(x / SHOWN, 0.0), 1.0), min(max(y / SHOWN, 0.0), 1.0))

    # What a convolution costs

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
        # Titles of axes are given here, since Gradio's page does not translate those of the configuration
        axes = {"x_title": "channels in = channels out", "y_title": "separable / standard"}
        rows: list[dict[str, Any]] = []
        for measured in costs.measure_widths(kernel, size):
            for how, share in (("counted", measured.counted), ("measured", measured.ratio)):
                rows.append({"width": measured.channels, "share": share, "how": say(how)})
            shown = views.measured_view(measured, costs.why(measured))
            yield gr.update(value=pd.DataFrame(rows), visible=True, **axes), shown

    def clear_measurements(self) -> tuple[Any, str]:
        """After a move of a slider: what was measured is of another shape."""
        return gr.update(value=None, visible=False), views.measured_hint()

    # The embedded networks side by side

    def clear_twins(self) -> str:
        """After a new picture: the twins' answers were about the previous one."""
        return views.twins_hint()

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

    # Many pictures

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
            yield None, views.progress_view(0, len(entries))  # without the answers to the previous pictures
            for part in batch.classify_all(classifier, entries):
                answers += part
                progress((len(answers), len(entries)), unit="pictures")
                yield gr.skip(), views.progress_view(len(answers), len(entries))
            target = Path(folder) / f"{display_name(str(checkpoint))}-answers.csv"
            batch.write_answers(target, answers)
            confusion = batch.confusion(answers, classifier.labels)
            yield str(target), views.answers_view(answers, batch.counts(answers), confusion)
        # Gradio has copied the file into its own cache by now


def drawn(inside: explain.Inside | None) -> tuple[str, str, str]:
    """A block's filters, its mixed channels, and the sum behind the first of them."""
    written = None if inside is None else explain.write_out(inside, 0)
    return views.filters_view(inside), views.mixed_view(inside, 0), views.sum_view(inside, written)
