"""The tab: components and wiring. What a click does is in `actions`, how the result looks in `views`.

A click on Ask costs one forward pass; the result stays in the visitor's session (`Seen`), and clicks on words and
patches only redraw from it. Nothing here imports torch: that happens in the first event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from demo_app import viz
from demo_app.i18n import say
from demo_app.page.widgets import AVERAGE, drawing, lesson_buttons, numbers, session_state
from demo_app_image_text_fusion import example_clip, scenes, views
from demo_app_image_text_fusion.actions import MAX_FRAMES, Actions
from demo_app_image_text_fusion.example import EXAMPLE, example
from demo_app_image_text_fusion.explain import ROLLOUT, most_visual_word
from demo_app_image_text_fusion.how import HOW
from demo_app_image_text_fusion.lessons import LESSONS

if TYPE_CHECKING:
    from demo_app import ModelHandle
    from demo_app_image_text_fusion.answerer import Answerer

AT_ONCE: dict[str, Any] = {"queue": False, "show_progress": "hidden"}  # fast and bounded: no need to wait in line
PRIVATE: dict[str, Any] = {"api_visibility": "private", **AT_ONCE}
UNDECODED: dict[str, Any] = {"preprocess": False, "show_progress": "minimal"}  # the action opens the upload itself
LAYERS = 12  # of ViLT, the largest network
HEADS = 12
CAPTIONS = "a cat on a sofa\na dog in the snow\na plate of food\na street at night"


def build(handle: ModelHandle[Answerer]) -> None:
    """Lay out the tab and wire its events. Called once, inside the host's `gr.Blocks`."""
    actions = Actions(handle)
    seen = session_state()
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            picker = handle.picker()
            picture, question = question_panel(handle.settings.max_text)
            with gr.Row():
                ask = gr.Button("Ask", variant="primary", min_width=100)
                anew = gr.Button("New scene", min_width=100)
            lessons = lesson_buttons(LESSONS, [[lesson.title] for lesson in LESSONS])
            note = gr.HTML("", label="Lesson", padding=False, container=False)  # no empty card
        with gr.Column(scale=6, min_width=300):
            answer, card, looked, words, layer, head = answer_panel()
    gr.Markdown("### Does fusion do something?")
    with gr.Tabs(overflow_behavior="wrap"):
        with gr.Tab("Blind and deaf"):
            senses = senses_panel(actions, picture, question, picker)
        with gr.Tab("Draw your own"):
            draw_panel(actions, picker)
        with gr.Tab("Tags"):
            tags = tags_panel(actions, picture, picker)
        with gr.Tab("Captions"):
            captions = captions_panel(actions, picture)
        with gr.Tab("Video"):
            video_panel(actions, picker)
        with gr.Tab("Many questions"):
            rows_panel(actions, picker, handle.settings.max_rows)
        with gr.Tab("Fine-tune"):
            handle.finetune(picker, ("image", "text"))
        with gr.Tab("How it works"):
            gr.Markdown(HOW)

    result = [answer, card, looked, words, seen]
    scene = [picture, question, note, *result]
    asked = gr.on(
        [ask.click, question.submit],
        actions.ask,
        [picture, question, picker, layer, head],
        result,
        api_name="ask",
        preprocess=False,
        **AT_ONCE,
    )
    made = anew.click(actions.scene, [picker, layer, head], scene, api_name="scene", **AT_ONCE)
    chosen = lessons.click(actions.example, [lessons, picker, layer, head], scene, api_name="example", **AT_ONCE)
    clear_stale_results(actions, picture, asked, [made, chosen], note, senses, [tags, captions])

    shown = [looked, words]
    words.click(actions.word_clicked, [seen, layer, head], shown, **PRIVATE)
    looked.select(actions.patch_clicked, [seen, layer, head], shown, **PRIVATE)
    gr.on([layer.input, head.input], actions.word, [seen, layer, head], shown, api_name="word", **AT_ONCE)


def question_panel(max_length: int) -> tuple[gr.Image, gr.Textbox]:
    """The picture and the question."""
    picture = gr.Image(
        views.enlarged(EXAMPLE.pixels),
        label="Picture",
        type="filepath",
        format="png",  # JPEG would change the colours that questions are about
        sources=["upload", "webcam", "clipboard"],
        height=300,
        buttons=["fullscreen"],
    )
    question = gr.Textbox(
        EXAMPLE.question,
        label="Question",
        info="English or Chinese. Enter asks.",
        max_length=max_length,
    )
    return picture, question


def answer_panel() -> tuple[gr.Label, gr.HTML, gr.Image, gr.HTML, gr.Dropdown, gr.Dropdown]:
    """The answer and its attention. It opens with the example's, so that a fresh page is not blank."""
    answer = gr.Label(dict(example().best()), label="Answer", num_top_classes=5)
    card = drawing("About the answer", views.card(example()))
    picture, tokens = views.from_word(example(), None, None, most_visual_word(example()))
    looked = gr.Image(
        picture,
        label="Click a patch: which words does it look at?",
        format="jpeg",
        interactive=False,
        height=384,
    )
    words = drawing("Words: click one", tokens, js_on_load=viz.script())
    with gr.Row():
        layer = gr.Dropdown([*numbers(LAYERS), ROLLOUT], value=AVERAGE, label="Layer", min_width=140)
        head = gr.Dropdown(numbers(HEADS), value=AVERAGE, label="Head", min_width=140)
    return answer, card, looked, words, layer, head


def clear_stale_results(
    actions: Actions,
    picture: gr.Image,
    asked: Any,
    scenes_made: Sequence[Any],
    note: gr.HTML,
    senses: gr.HTML,
    of_picture: list[gr.HTML],
) -> None:
    """Remove what is no longer true of the picture, the question or the answer.

    Events of their own, since the API's endpoints return what their names promise and no more.

    Args:
        picture: the picture that is asked about.
        asked: the event that answers the visitor's question.
        scenes_made: the events that bring a new scene, with a note of its own.
        note: what is known of a scene.
        senses: the answer with a sense missing.
        of_picture: further results about the picture above.
    """
    asked.success(actions.clear_note, None, [note, senses], **PRIVATE)
    for event in scenes_made:
        event.success(actions.clear_panels, None, [senses, *of_picture], **PRIVATE)
    gr.on([picture.input, picture.clear], actions.clear_all, None, [note, senses, *of_picture], **PRIVATE)


def senses_panel(actions: Actions, picture: gr.Image, question: gr.Textbox, picker: gr.Dropdown) -> gr.HTML:
    button = gr.Button("Ask again without the picture, and without the question")
    view = drawing("Blind and deaf", views.senses_hint())
    button.click(actions.senses, [picture, question, picker], view, api_name="senses", preprocess=False, **AT_ONCE)
    return view


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


def tags_panel(actions: Actions, picture: gr.Image, picker: gr.Dropdown) -> gr.HTML:
    gr.Markdown("A fixed list of questions, asked in one batch: the picture is read once for all of them.")
    button = gr.Button("Tag the picture above")
    view = drawing("Tags", views.tags_hint())
    button.click(actions.tags, [picture, picker], view, api_name="tags", **UNDECODED)
    return view


def captions_panel(actions: Actions, picture: gr.Image) -> gr.HTML:
    """Captions ranked for the picture above, and pictures ranked for a caption; returns the view of the first."""
    gr.Markdown("Which caption fits the picture above? For ViLT for captions, which is on the Hub.")
    captions = gr.Textbox(CAPTIONS, label="Captions, one a line", lines=4, max_lines=12)
    button = gr.Button("Rank the captions")
    view = drawing("Captions", views.ranking_hint())
    button.click(actions.captions, [picture, captions], view, api_name="captions", **UNDECODED)
    gr.Markdown("And which picture fits a caption?")
    with gr.Row():
        with gr.Column(min_width=300):
            files = gr.File(label="Pictures, or a ZIP of them", file_count="multiple", height=140)
            caption = gr.Textbox("a cat on a sofa", label="Caption", max_lines=2)
            rank = gr.Button("Rank the pictures")
        with gr.Column(min_width=300):
            ranked = drawing("Pictures", views.ranking_hint())
    rank.click(actions.pictures, [files, caption], ranked, api_name="pictures", **UNDECODED)
    return view


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
            frames = drawing("Frames", views.frames_hint())
    button.click(
        actions.video,
        [clip, question, count, picker],
        [answer, plot, frames],
        api_name="video",
        preprocess=False,
        show_progress_on=frames,
    )


def rows_panel(actions: Actions, picker: gr.Dropdown, max_rows: int) -> None:
    gr.Markdown(
        say(
            "A CSV with the columns `image` and `text` (at most {rows} rows), and the pictures that it names, as files "
            "or in a ZIP, come back with the columns `answer`, `score` and `problem`.",
            rows=f"{max_rows:,}",
        )
    )
    with gr.Row():
        with gr.Column(min_width=300):
            table = gr.File(label="The CSV", file_types=[".csv"], height=100)
            files = gr.File(label="The pictures, or a ZIP of them", file_count="multiple", height=140)
            button = gr.Button("Answer every row")
        with gr.Column(min_width=300):
            result = gr.File(label="The answers", interactive=False, height=96, elem_classes="viz-file")
            view = drawing("Summary", views.rows_hint())
    button.click(
        actions.answer_file,
        [table, files, picker],
        [result, view],
        api_name="answer_file",
        preprocess=False,
        show_progress_on=view,
    )
