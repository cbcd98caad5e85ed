"""What a click does: one method an event. Models are loaded here, results are drawn by `views`."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from PIL import Image

from demo_app import InputError
from demo_app.api import display_name
from demo_app.inputs.archives import by_name, pictures_in
from demo_app.inputs.numbers import whole_number
from demo_app.inputs.pictures import SUFFIXES, open_picture
from demo_app.inputs.text import clean
from demo_app.inputs.uploads import uploaded
from demo_app.page.lessons import pick
from demo_app.page.widgets import index
from demo_app_image_text_fusion import views
from demo_app_image_text_fusion.example import Made, example, make
from demo_app_image_text_fusion.explain import ROLLOUT, Seen, likeliest, look, most_visual_word
from demo_app_image_text_fusion.lessons import LESSONS

if TYPE_CHECKING:
    from demo_app import ModelHandle
    from demo_app_image_text_fusion.answerer import Answerer

RANKING = "vilt_coco"  # the checkpoint that ranks captions
MAX_CAPTIONS = 50
MAX_FRAMES = 32  # as `video.MAX_FRAMES`, which is not imported here: that would load FFmpeg
SENSES = ("picture and question", "blind (no picture)", "deaf (no question)")


class Actions:
    """What a visitor or a client can do."""

    def __init__(self, handle: ModelHandle[Answerer]) -> None:
        self.handle = handle

    # A picture and a question

    def ask(self, picture: Any, question: str, checkpoint: str, layer: str, head: str) -> tuple[Any, ...]:
        """Answer a question about a picture.

        Args:
            picture: a JPEG, PNG, GIF, WebP, BMP or TIFF.
            question: in English or Chinese for scenes, in English for ViLT.
            checkpoint: its name, such as scenes or vilt_vqa.
            layer: whose attention is drawn: average, rollout, or the layer's number from 1.
            head: average, or the head's number from 1.

        Returns:
            The five likeliest answers with their scores; the model and its time, as HTML; the picture with the patches
            that the question's most telling word looks at; the question's words, as HTML.
        """
        path, text = uploaded(picture), checked_question(question)
        with self.handle.use(str(checkpoint)) as answerer:
            seen = look(answerer, open_picture(path, at_least=answerer.at_least), text, checkpoint=str(checkpoint))
        return dict(seen.best()), *self._drawn(seen, str(layer), str(head))

    def scene(self, checkpoint: str, layer: str, head: str, seed: int | None = None) -> tuple[Any, ...]:
        """Make a new scene with a question on it, and answer it.

        Args:
            checkpoint: its name; scenes is the one that learned from such scenes.
            layer: whose attention is drawn: average, rollout, or the layer's number from 1.
            head: average, or the head's number from 1.

        Returns:
            The picture; the question; the right answer, as HTML; then what `ask` returns.
        """
        made = make(random.randrange(2**31) if seed is None else seed)
        return self._answered(made, checkpoint, layer, head)

    def example(self, number: int, checkpoint: str, layer: str, head: str) -> tuple[Any, ...]:
        """Answer one of the examples.

        Args:
            number: which example, from 0.
            checkpoint: its name, such as scenes.
            layer: whose attention is drawn: average, rollout, or the layer's number from 1.
            head: average, or the head's number from 1.

        Returns:
            The picture; the question; what to notice, as HTML; then what `ask` returns.
        """
        lesson = pick(LESSONS, number)
        made = make(lesson.seed, lesson.kind, lesson.language)
        return self._answered(made, checkpoint, layer, head, lesson.lesson)

    def _answered(self, made: Made, checkpoint: str, layer: str, head: str, lesson: str = "") -> tuple[Any, ...]:
        """A scene, its question, a note with its right answer, and what `ask` returns."""
        with self.handle.use(checkpoint) as answerer:
            seen = look(answerer, Image.fromarray(made.pixels), made.question, checkpoint=checkpoint)
        note = views.scene_note(made.answer, right=seen.answer == made.answer, lesson=lesson)
        return views.enlarged(made.pixels), made.question, note, dict(seen.best()), *self._drawn(seen, layer, head)

    def _drawn(self, seen: Seen, layer: str, head: str) -> tuple[Any, ...]:
        picture, words = views.from_word(seen, *chosen(seen, layer, head), most_visual_word(seen))
        return views.card(seen), picture, words, seen

    # Results that are no longer true

    def clear_note(self) -> tuple[str, str]:
        """After an answer to the visitor's own question: the scene's note and the comparison belong to another."""
        return "", views.senses_hint()

    def clear_panels(self) -> tuple[str, str, str]:
        """After a new picture: blind and deaf, tags and captions were about the previous one."""
        return views.senses_hint(), views.tags_hint(), views.ranking_hint()

    def clear_all(self) -> tuple[str, str, str, str]:
        """After the visitor's own picture: neither the scene's note nor the panels are about it."""
        return "", *self.clear_panels()

    # Attention

    def word(self, seen: Seen | None, layer: str, head: str, number: int | None = None) -> tuple[Any, str]:
        """What a word of the question asked last in this session (before that: the page's example) looks at.

        Args:
            seen: kept by the session.
            layer: average, rollout, or the layer's number from 1.
            head: average, or the head's number from 1.

        Returns:
            The picture with the patches; the words, as HTML.
        """
        seen = seen or example()
        token = most_visual_word(seen) if number is None else number
        return views.from_word(seen, *chosen(seen, layer, head), token)

    def word_clicked(self, seen: Seen | None, layer: str, head: str, event: gr.EventData) -> tuple[Any, str]:
        """A click on a word: what it looks at."""
        return self.word(seen, layer, head, min(int(event.tile), len((seen or example()).tokens) - 1))

    def patch_clicked(self, seen: Seen | None, layer: str, head: str, event: gr.SelectData) -> tuple[Any, str]:
        """A click on the picture: what that patch looks at."""
        seen = seen or example()
        width, height = views.shown_size(seen.picture)
        x, y = event.index
        row, column = (
            int(place * count / side) for place, count, side in ((y, seen.grid[0], height), (x, seen.grid[1], width))
        )
        row, column = min(max(row, 0), seen.grid[0] - 1), min(max(column, 0), seen.grid[1] - 1)
        return views.from_patch(seen, *chosen(seen, layer, head), row, column)

    # Below the answer

    def senses(self, picture: Any, question: str, checkpoint: str) -> str:
        """Ask the same with both, without the picture, and without the question.

        Args:
            picture: a JPEG, PNG, GIF, WebP, BMP or TIFF.
            question: in English or Chinese for scenes, in English for ViLT.
            checkpoint: its name, such as scenes or vilt_vqa.

        Returns:
            What each says, and what it gives the first answer, as HTML.
        """
        path, text = uploaded(picture), checked_question(question)
        with self.handle.use(str(checkpoint)) as answerer:
            seen, heard = answerer.look(open_picture(path, at_least=answerer.at_least)), answerer.listen([text])
            parts = ((seen, heard), (None, heard), (seen, None))
            scores = {
                name: answerer.scores(answerer.fuse(*both).logits)[0].cpu().numpy()
                for name, both in zip(SENSES, parts, strict=True)
            }
        answer = answerer.labels[int(scores[SENSES[0]].argmax())]
        return views.senses_view(answerer.labels, scores, answer)

    def ask_drawing(self, drawn: dict[str, Any] | None, question: str, checkpoint: str) -> dict[str, float]:
        """Answer a question about a drawing.

        Args:
            drawn: what the sketch pad gives: a picture with a transparent ground.
            question: in English or Chinese for scenes, in English for ViLT.
            checkpoint: its name, such as scenes or vilt_vqa.

        Returns:
            The five likeliest answers with their scores.
        """
        composite = (drawn or {}).get("composite")
        if composite is None:
            raise InputError("Nothing is drawn yet; draw a few filled shapes.")
        picture = Image.new("RGB", composite.size, "white")
        picture.paste(composite, mask=composite.getchannel("A") if composite.mode == "RGBA" else None)
        with self.handle.use(checkpoint) as answerer:
            return dict(look(answerer, picture, checked_question(question), checkpoint=checkpoint).best())

    def tags(self, picture: Any, checkpoint: str) -> str:
        """Ask a fixed list of questions about a picture, in one batch.

        Args:
            picture: a JPEG, PNG, GIF, WebP, BMP or TIFF.
            checkpoint: its name: scenes, or vilt_vqa for photographs.

        Returns:
            The name of each tag, its answer and the answer's score, as HTML.
        """
        from demo_app_image_text_fusion.many import tags

        path = uploaded(picture)
        with self.handle.use(str(checkpoint)) as answerer:
            return views.tags_view(tags(answerer, open_picture(path, at_least=answerer.at_least)))

    def captions(self, picture: Any, captions: str) -> str:
        """Rank captions by how well they fit a picture, with ViLT for captions.

        Args:
            picture: a JPEG, PNG, GIF, WebP, BMP or TIFF.
            captions: one a line, at most 50.

        Returns:
            The captions, the best first, as HTML.
        """
        from demo_app_image_text_fusion.many import fits

        lines = [line.strip() for line in clean(str(captions or "")).splitlines() if line.strip()]
        if len(lines) > MAX_CAPTIONS:
            raise InputError(
                "There are {count} captions and the limit is {limit}; leave some out.",
                count=f"{len(lines):,}",
                limit=MAX_CAPTIONS,
            )
        if not lines:
            raise InputError("There are no captions; write some, one a line.")
        path = uploaded(picture)
        with self.handle.use(RANKING) as answerer:
            scores = fits(answerer, open_picture(path, at_least=answerer.at_least), lines)
        return views.ranking(lines, scores, "How well each caption fits")

    def pictures(self, files: Sequence[Any] | None, caption: str) -> str:
        """Rank pictures by how well a caption fits them, with ViLT for captions.

        Args:
            files: pictures, or one ZIP of pictures; at most 50.
            caption: what they shall show.

        Returns:
            The names of the pictures, the best first, as HTML.
        """
        from demo_app_image_text_fusion.many import fits

        text = checked_question(caption)
        names, scores = [], []
        with pictures_in(sources(files), max_pictures=MAX_CAPTIONS) as entries, self.handle.use(RANKING) as answerer:
            for entry in entries:
                picture = open_picture(entry.read(), at_least=answerer.at_least)
                names.append(entry.name)
                scores += fits(answerer, picture, [text])
        return views.ranking(names, scores, "How well the caption fits each")

    def video(self, clip: Any, question: str, count: float, checkpoint: str) -> Iterator[tuple[Any, Any, str]]:
        """Answer a question about a clip: about some frames of it, and about all of them together.

        Args:
            clip: an MP4, WebM, MOV, MKV, AVI or GIF of ten minutes at most.
            question: in English or Chinese for scenes, in English for ViLT.
            count: frames that are looked at, from 2 to 32.
            checkpoint: its name, such as scenes or vilt_vqa.

        Returns:
            The five likeliest answers for the clip with their scores; the scores over time, as a plot; what each frame
            is answered, as HTML.
        """
        import pandas as pd

        from demo_app_image_text_fusion.video import frames, overall, watch

        path, text = uploaded(clip), checked_question(question)
        most = whole_number(count, "Frames", least=1, most=MAX_FRAMES)
        moments = []
        with self.handle.use(str(checkpoint)) as answerer:
            for moment in watch(answerer, frames(path, most, at_least=answerer.at_least), text):
                moments.append(moment)
                best = dict(likeliest(answerer.labels, overall(moments)))
                plot = pd.DataFrame(views.over_time(answerer.labels, moments))
                shown = views.frames_view(answerer.labels, moments, most)
                yield best, gr.update(value=plot, visible=True), shown

    def answer_file(
        self,
        table: Any,
        files: Sequence[Any] | None,
        checkpoint: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Iterator[tuple[Any, str]]:
        """Answer every row of a CSV about uploaded pictures.

        Args:
            table: a CSV with the columns image and text.
            files: the pictures that it names, or one ZIP of them.
            checkpoint: its name, such as scenes or vilt_vqa.

        Returns:
            The table with the columns answer, score and problem; how many were answered, as HTML.
        """
        from demo_app_image_text_fusion.many import Row, answer_rows, read_rows, write_rows

        most = self.handle.settings.max_rows
        rows = read_rows(uploaded(table), most)
        done: list[Row] = []
        with (
            tempfile.TemporaryDirectory(prefix="demo-app-") as folder,
            pictures_in(sources(files), max_pictures=most) as entries,
            self.handle.use(str(checkpoint)) as answerer,
        ):
            yield None, views.progress_view(0, len(rows))  # without the answers to the previous table
            for row in answer_rows(answerer, rows, by_name(entries)):
                done.append(row)
                if len(done) % 16 == 0:
                    progress((len(done), len(rows)), unit="rows")
                    yield gr.skip(), views.progress_view(len(done), len(rows))
            target = Path(folder) / f"{display_name(str(checkpoint))}-answers.csv"
            done.sort(key=lambda row: row.number)
            write_rows(target, done)
            yield str(target), views.rows_view(done)
        # Gradio has copied the file into its own cache by now


def sources(files: Sequence[Any] | None) -> Path | list[Path]:
    """Uploaded pictures, or the one archive among them. Raises `InputError` where there are none."""
    given = files if isinstance(files, list) else [files] if files else []
    paths = [uploaded(file) for file in given]
    if not paths:
        raise InputError("There are no pictures yet; choose some, or a ZIP of them.")
    return paths[0] if len(paths) == 1 and paths[0].suffix.lower() not in SUFFIXES else paths


def checked_question(question: str | None) -> str:
    """The question as text. Raises `InputError` for one without a visible character."""
    text = clean(str(question or ""))
    if not any(letter.isprintable() and not letter.isspace() for letter in text):
        raise InputError("The question is empty; ask something about the picture.")
    return text


def chosen(seen: Seen, layer: str, head: str) -> tuple[int | str | None, int | None]:
    """The pickers' layer (`ROLLOUT`, an index, or `None`: average) and head, for the network that was asked."""
    layers, heads = seen.attention.shape[:2]
    return layer if layer == ROLLOUT else index(layer, layers), index(head, heads)
