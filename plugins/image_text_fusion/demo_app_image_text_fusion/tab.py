"""The tab: layout and events. What is computed is in `answerer` and `explain`, how it looks in `views`.

A click on Ask costs one forward pass; what was seen stays in the visitor's session (`Seen`), and clicks on words and
patches only redraw from it. Nothing here imports torch: that happens in the first event.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
from PIL import Image

from demo_app import InputError, viz
from demo_app.api import display_name
from demo_app.inputs.archives import by_name, pictures_in
from demo_app.inputs.pictures import SUFFIXES, open_picture
from demo_app.inputs.tables import write_csv
from demo_app.inputs.text import clean
from demo_app.inputs.uploads import uploaded
from demo_app.page.widgets import AVERAGE, drawing, index, numbers
from demo_app_image_text_fusion import example_clip, scenes, views
from demo_app_image_text_fusion.example import EXAMPLE, example, make
from demo_app_image_text_fusion.explain import ROLLOUT, Seen, likeliest, look
from demo_app_image_text_fusion.how import HOW

if TYPE_CHECKING:
    from demo_app.page.handle import ModelHandle
    from demo_app_image_text_fusion.answerer import Answerer

KEPT_SECONDS = 3 * 3600  # a session's last answer is forgotten after so long
AT_ONCE: dict[str, Any] = {"queue": False, "show_progress": "hidden"}  # fast and bounded: no need to wait in line
LAYERS = 12  # as ViLT, the largest one
HEADS = 12
RANKING = "vilt_coco"
MOST_CAPTIONS = 50
CAPTIONS = "a cat on a sofa\na dog in the snow\na plate of food\na street at night"
MAX_FRAMES = 32  # as `video.MAX_FRAMES`, which is not imported here: it loads FFmpeg
SENSES = ("picture and question", "blind (no picture)", "deaf (no question)")


@dataclass(frozen=True)
class Lesson:
    """A scene with a question, and what to notice."""

    seed: int
    kind: str
    language: str
    lesson: str


LESSONS = (
    Lesson(11, "shape of a colour", "en", "One thing alone: the word for the colour should find its patch."),
    Lesson(12, "colour beside", "en", "Two steps: find the thing that is named, then look on that side of it."),
    Lesson(13, "is there beside", "en", "Yes or no. Make it blind: what does it say then, and how surely?"),
    Lesson(14, "how many of the same shape", "en", "Counting: nothing is named but one thing and 'the same'."),
    Lesson(15, "colour of the nearest", "zh", "离……最近: distances between all things, from positions alone."),
    Lesson(16, "shape beside", "zh", "The same network reads Chinese: do the same heads look at the same things?"),
)


def build(handle: ModelHandle[Answerer]) -> None:
    """Lay out the tab and wire its events. Called once, inside the host's `gr.Blocks`."""
    actions = Actions(handle)
    seen = gr.State(None, time_to_live=KEPT_SECONDS)
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            picker = handle.picker()
            picture = gr.Image(
                views.enlarged(EXAMPLE.pixels),
                label="Picture",
                type="filepath",
                format="png",  # a question about a colour should not be about JPEG's
                sources=["upload", "webcam", "clipboard"],
                height=300,
                buttons=["fullscreen"],
            )
            question = gr.Textbox(
                EXAMPLE.question,
                label="Question",
                info="English or Chinese. Enter asks.",
                max_length=handle.settings.max_text,
            )
            with gr.Row():
                ask = gr.Button("Ask", variant="primary", min_width=100)
                anew = gr.Button("New scene", min_width=100)
            lessons = gr.Dataset(
                components=["textbox"],
                samples=[[lesson.kind] for lesson in LESSONS],
                sample_labels=[lesson.kind for lesson in LESSONS],
                label="Try one: each teaches something",
                type="index",
            )
            lesson = gr.HTML("", label="Lesson", padding=False, container=False)  # no empty card
        with gr.Column(scale=6, min_width=300):
            answer = gr.Label(dict(example().best()), label="Answer", num_top_classes=5)
            card = drawing("About the answer", views.card(example()))
            opening = views.from_word(example(), None, None, telling(example()))
            looked = gr.Image(
                opening[0],
                label="Click a patch: which words does it look at?",
                format="jpeg",
                interactive=False,
                height=384,
            )
            words = drawing("Words: click one", opening[1], js_on_load=viz.script())
            with gr.Row():
                layer = gr.Dropdown([*numbers(LAYERS), ROLLOUT], value=AVERAGE, label="Layer", min_width=140)
                head = gr.Dropdown(numbers(HEADS), value=AVERAGE, label="Head", min_width=140)
    gr.Markdown("### Does fusion do something?")
    with gr.Tabs(overflow_behavior="wrap"):
        with gr.Tab("Blind and deaf"):
            senses_panel(actions, picture, question, picker)
        with gr.Tab("Draw your own"):
            draw_panel(actions, picker)
        with gr.Tab("Tags"):
            tags_panel(actions, picture, picker)
        with gr.Tab("Captions"):
            captions_panel(actions, picture)
        with gr.Tab("Video"):
            video_panel(actions, picker)
        with gr.Tab("Many questions"):
            rows_panel(actions, picker, handle.settings.max_rows)
        with gr.Tab("Fine-tune"):
            handle.finetune(picker, ("image", "text"))
        with gr.Tab("How it works"):
            gr.Markdown(HOW)
    result = [answer, card, looked, words, seen]
    asked = {"inputs": [picture, question, picker, layer, head], "outputs": result}
    gr.on([ask.click, question.submit], actions.ask, **asked, api_name="ask", preprocess=False, **AT_ONCE)
    scene = [picture, question, lesson, *result]
    anew.click(actions.scene, [picker, layer, head], scene, api_name="scene", **AT_ONCE)
    lessons.click(actions.example, [lessons, picker, layer, head], scene, api_name="example", **AT_ONCE)
    shown = [looked, words]
    words.click(actions.word_clicked, [seen, layer, head], shown, api_visibility="private", **AT_ONCE)
    looked.select(actions.patch_clicked, [seen, layer, head], shown, api_visibility="private", **AT_ONCE)
    gr.on([layer.input, head.input], actions.word, [seen, layer, head], shown, api_name="word", **AT_ONCE)


def senses_panel(actions: Actions, picture: gr.Image, question: gr.Textbox, picker: gr.Dropdown) -> None:
    button = gr.Button("Ask again without the picture, and without the question")
    view = drawing(
        "Blind and deaf", viz.note("What is left of the answer when one of the two is missing?", kind="hint")
    )
    button.click(actions.senses, [picture, question, picker], view, api_name="senses", preprocess=False, **AT_ONCE)


def draw_panel(actions: Actions, picker: gr.Dropdown) -> None:
    with gr.Row():
        with gr.Column(min_width=300):
            pad = gr.ImageEditor(
                label="Draw circles, squares, triangles; fill them",
                type="pil",
                canvas_size=(384, 384),
                fixed_canvas=True,
                brush=gr.Brush(default_size=28, colors=[f"rgb{colour}" for colour in scenes.COLOURS.values()]),
                sources=[],
                layers=False,
                height=440,
            )
        with gr.Column(min_width=300):
            question = gr.Textbox("what shape is the red thing?", label="Question", max_lines=2)
            button = gr.Button("Ask about my drawing", variant="primary")
            answer = gr.Label(label="Answer", num_top_classes=5)
    button.click(actions.ask_drawing, [pad, question, picker], answer, api_name="ask_drawing", show_progress="minimal")


def tags_panel(actions: Actions, picture: gr.Image, picker: gr.Dropdown) -> None:
    gr.Markdown("A fixed list of questions, asked in one batch: the picture is read once for all of them.")
    button = gr.Button("Tag the picture above")
    view = drawing("Tags", viz.note("No tags yet.", kind="hint"))
    raw: dict[str, Any] = {"preprocess": False, "show_progress": "minimal"}
    button.click(actions.tags, [picture, picker], view, api_name="tags", **raw)


def captions_panel(actions: Actions, picture: gr.Image) -> None:
    gr.Markdown("Which caption fits the picture above? For ViLT for captions, which is on the Hub.")
    captions = gr.Textbox(CAPTIONS, label="Captions, one a line", lines=4, max_lines=12)
    button = gr.Button("Rank the captions")
    view = drawing("Captions", viz.note("Nothing is ranked yet.", kind="hint"))
    raw: dict[str, Any] = {"preprocess": False, "show_progress": "minimal"}
    button.click(actions.captions, [picture, captions], view, api_name="captions", **raw)
    gr.Markdown("And which picture fits a caption?")
    with gr.Row():
        with gr.Column(min_width=300):
            files = gr.File(label="Pictures, or a ZIP of them", file_count="multiple", height=140)
            caption = gr.Textbox("a cat on a sofa", label="Caption", max_lines=2)
            rank = gr.Button("Rank the pictures")
        with gr.Column(min_width=300):
            ranked = drawing("Pictures", viz.note("Nothing is ranked yet.", kind="hint"))
    rank.click(actions.pictures, [files, caption], ranked, api_name="pictures", **raw)


def video_panel(actions: Actions, picker: gr.Dropdown) -> None:
    gr.Markdown(
        "Frames are taken evenly from the clip (ten minutes at most), each is asked the question, and the mean of "
        "their scores answers for the clip."
    )
    with gr.Row():
        with gr.Column(min_width=300):
            clip = gr.Video(str(example_clip.FILE), label="Clip", sources=["upload", "webcam"], height=300)
            question = gr.Textbox(example_clip.QUESTION, label="Question", max_lines=2)
            count = gr.Slider(2, MAX_FRAMES, 8, step=1, label="Frames")
            button = gr.Button("Ask about the clip", variant="primary")
        with gr.Column(min_width=300):
            answer = gr.Label(label="Answer for the clip", num_top_classes=5)
            plot = gr.LinePlot(
                None,
                x="second",
                y="score",
                color="answer",
                y_lim=[0, 1],
                title="The answer over time",
                height=280,
                visible=False,
            )
            frames = drawing(
                "Frames", viz.note("The circle goes past the square: when does the answer change?", kind="hint")
            )
    button.click(
        actions.video,
        [clip, question, count, picker],
        [answer, plot, frames],
        api_name="video",
        preprocess=False,
        show_progress_on=frames,
    )


def rows_panel(actions: Actions, picker: gr.Dropdown, most: int) -> None:
    gr.Markdown(
        f"A CSV with the columns `image` and `text` (at most {most:,} rows), and the pictures that it names, as "
        "files or in a ZIP, come back with the columns `answer`, `score` and `problem`."
    )
    with gr.Row():
        with gr.Column(min_width=300):
            table = gr.File(label="The CSV", file_types=[".csv"], height=100)
            files = gr.File(label="The pictures, or a ZIP of them", file_count="multiple", height=140)
            button = gr.Button("Answer every row")
        with gr.Column(min_width=300):
            result = gr.File(label="The answers", interactive=False, height=96, elem_classes="viz-file")
            view = drawing("Summary", viz.note("No table yet.", kind="hint"))
    button.click(
        actions.answer_file,
        [table, files, picker],
        [result, view],
        api_name="answer_file",
        preprocess=False,
        show_progress_on=view,
    )


class Actions:
    """What a visitor or a client can do: one method an event."""

    def __init__(self, handle: ModelHandle[Answerer]) -> None:
        self.handle = handle

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
        path, text = uploaded(picture), usable(question)
        with self.handle.use(str(checkpoint)) as answerer:
            seen = look(answerer, open_picture(path, at_least=answerer.at_least), text, checkpoint=str(checkpoint))
        return dict(seen.best()), *self._drawn(seen, str(layer), str(head))

    def _drawn(self, seen: Seen, layer: str, head: str) -> tuple[Any, ...]:
        picture, words = views.from_word(seen, *chosen(seen, layer, head), telling(seen))
        return views.card(seen), picture, words, seen

    def _made(self, seed: int, checkpoint: str, layer: str, head: str, kind: str | None, language: str | None) -> Any:
        """A scene of that seed with a question on it, answered."""
        made = make(seed, kind, language)
        with self.handle.use(checkpoint) as answerer:
            seen = look(answerer, Image.fromarray(made.pixels), made.question, checkpoint=checkpoint)
        right = "right" if seen.answer == made.answer else "wrong"
        known = viz.note(f"The scene's own answer: {made.answer}. The network is {right}.", kind="lesson")
        return views.enlarged(made.pixels), made.question, known, dict(seen.best()), *self._drawn(seen, layer, head)

    def scene(self, checkpoint: str, layer: str, head: str, seed: int | None = None) -> tuple[Any, ...]:
        """Make a new scene with a question on it, and answer it.

        Args:
            checkpoint: its name; scenes is the one that learned from such scenes.
            layer: whose attention is drawn: average, rollout, or the layer's number from 1.
            head: average, or the head's number from 1.

        Returns:
            The picture; the question; the right answer, as HTML; then what `ask` returns.
        """
        found = self._made(random.randrange(2**31) if seed is None else seed, checkpoint, layer, head, None, None)
        return tuple(found)

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
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(LESSONS):
            raise InputError(f"There is no example {number}; choose one from 0 to {len(LESSONS) - 1}.")
        lesson = LESSONS[number]
        picture, question, known, *rest = self._made(lesson.seed, checkpoint, layer, head, lesson.kind, lesson.language)
        return picture, question, viz.note(lesson.lesson, kind="lesson") + known, *rest

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
        token = telling(seen) if number is None else number
        return views.from_word(seen, *chosen(seen, layer, head), token)

    def word_clicked(self, seen: Seen | None, layer: str, head: str, event: gr.EventData) -> tuple[Any, str]:
        """A click on a word."""
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

    def senses(self, picture: Any, question: str, checkpoint: str) -> str:
        """Ask the same with both, without the picture, and without the question.

        Args:
            picture: a JPEG, PNG, GIF, WebP, BMP or TIFF.
            question: in English or Chinese for scenes, in English for ViLT.
            checkpoint: its name, such as scenes or vilt_vqa.

        Returns:
            What each says, and what it gives the first answer, as HTML.
        """
        path, text = uploaded(picture), usable(question)
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
            return dict(look(answerer, picture, usable(question), checkpoint=checkpoint).best())

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
            found = tags(answerer, open_picture(path, at_least=answerer.at_least))
        rows = [[name, answer, f"{score:.1%}"] for name, answer, score in found]
        return viz.table(["", "answer", "score"], rows, label="Tags")

    def captions(self, picture: Any, captions: str) -> str:
        """Rank captions by how well they fit a picture, with ViLT for captions.

        Args:
            picture: a JPEG, PNG, GIF, WebP, BMP or TIFF.
            captions: one a line.

        Returns:
            The captions, the best first, as HTML.
        """
        from demo_app_image_text_fusion.many import fits

        lines = [line.strip() for line in clean(str(captions or "")).splitlines() if line.strip()][:MOST_CAPTIONS]
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

        text = usable(caption)
        names, scores = [], []
        with pictures_in(sources(files), max_pictures=MOST_CAPTIONS) as entries, self.handle.use(RANKING) as answerer:
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

        path, text = uploaded(clip), usable(question)
        most = whole(count)
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
        from demo_app_image_text_fusion.many import Row, answer_rows, read_rows

        most = self.handle.settings.max_rows
        rows = read_rows(uploaded(table), most)
        done: list[Row] = []
        with (
            tempfile.TemporaryDirectory(prefix="demo-app-") as folder,
            pictures_in(sources(files), max_pictures=most) as entries,
            self.handle.use(str(checkpoint)) as answerer,
        ):
            for row in answer_rows(answerer, rows, by_name(entries)):
                done.append(row)
                if len(done) % 16 == 0:
                    progress((len(done), len(rows)), unit="rows")
                    yield gr.skip(), views.progress_view(len(done), len(rows))
            target = Path(folder) / f"{display_name(str(checkpoint))}-answers.csv"
            cells = [[r.image, r.text, r.answer, f"{r.score:.6f}" if r.answer else "", r.problem] for r in done]
            write_csv(target, ["image", "text", "answer", "score", "problem"], cells)
            yield str(target), views.rows_view(done)


def sources(files: Sequence[Any] | None) -> Path | list[Path]:
    """Uploaded pictures, or the one archive among them."""
    given = files if isinstance(files, list) else [files] if files else []
    paths = [uploaded(file) for file in given]
    if not paths:
        raise InputError("There are no pictures yet; choose some, or a ZIP of them.")
    return paths[0] if len(paths) == 1 and paths[0].suffix.lower() not in SUFFIXES else paths


def whole(count: Any) -> int:
    """The number that a slider sends; raises `InputError` for anything else."""
    if isinstance(count, bool) or not isinstance(count, (int, float)) or count != int(count):
        raise InputError(f"{str(count)[:40]} is no number of frames; choose 2 to {MAX_FRAMES}.")
    return int(count)


def usable(question: str | None) -> str:
    """Raises `InputError` when there is nothing to read."""
    text = clean(str(question or ""))
    if not any(letter.isprintable() and not letter.isspace() for letter in text):
        raise InputError("The question is empty; ask something about the picture.")
    return text


def chosen(seen: Seen, layer: str, head: str) -> tuple[int | str | None, int | None]:
    """What the pickers say, for the network that was asked."""
    layers, heads = seen.attention.shape[:2]
    return layer if layer == ROLLOUT else index(layer, layers), index(head, heads)


def telling(seen: Seen) -> int:
    """The word that looks at patches most, by which a picture opens."""
    first = len(seen.tokens) + seen.extra
    looks = seen.attention[:, :, 1 : len(seen.tokens) - 1, first:].astype(np.float32).sum(axis=-1).mean(axis=(0, 1))
    return 1 + int(looks.argmax()) if len(looks) else 0
