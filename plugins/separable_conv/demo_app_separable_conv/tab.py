"""The tab: components and wiring. What a click does is in `actions`, how the result looks in `views`.

A click on Classify costs one forward pass and answers; the result stays in the visitor's session (`Seen`), and a second
event draws the pictures of it. Nothing here imports torch: that happens in the first event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from demo_app import viz
from demo_app.i18n import say
from demo_app.page.widgets import drawing, session_state
from demo_app.viz.overlay import heat
from demo_app_separable_conv import views
from demo_app_separable_conv.actions import PLACE, Actions
from demo_app_separable_conv.example import BLOCK, example
from demo_app_separable_conv.explain import write_out
from demo_app_separable_conv.how import HOW
from demo_app_separable_conv.lessons import lessons

if TYPE_CHECKING:
    from demo_app import ModelHandle
    from demo_app_separable_conv.classifier import Classifier

# A picker's choices depend on the checkpoint, which a client may have changed: the actions check the value themselves
ANY: dict[str, Any] = {"allow_custom_value": True, "min_width": 200}
AT_ONCE: dict[str, Any] = {"queue": False, "show_progress": "hidden"}  # fast and bounded: no need to wait in line
PRIVATE: dict[str, Any] = {"api_visibility": "private", **AT_ONCE}
SUFFIXES = [".zip", ".tar", ".gz", ".tgz", ".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"]


def build(handle: ModelHandle[Classifier]) -> None:
    """Lay out the tab and wire its events. Called once, inside the host's `gr.Blocks`."""
    actions = Actions(handle)
    seen = session_state()
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
            twins = twins_panel(actions, picture)
        with gr.Tab("Attention"):
            attended, attention = attention_panel(actions, seen)
        with gr.Tab("Many pictures"):
            files_panel(actions, picker, handle.settings.max_rows)
        with gr.Tab("Fine-tune"):
            handle.finetune(picker, ("image",))
        with gr.Tab("How it works"):
            gr.Markdown(HOW)

    # The action checks and opens the upload itself: Gradio would decode a decompression bomb first
    undecoded: dict[str, Any] = {"preprocess": False, "postprocess": False, **AT_ONCE}
    answers = [answer, card, seen]
    drawn = [where, label, block, inside_block, *inside, attended, attention, seen]
    asked = button.click(actions.classify, [picture, picker], answers, api_name="classify", **undecoded)
    chosen = examples.click(actions.example, [examples, picker], [picture, *answers], api_name="example", **AT_ONCE)
    for event in (asked, chosen):
        event.success(actions.draw, seen, drawn, **PRIVATE)
    # The twins' answers are about the picture above: remove them when it is replaced
    chosen.success(actions.clear_twins, None, twins, **PRIVATE)
    gr.on([picture.input, picture.clear], actions.clear_twins, None, twins, **PRIVATE)
    gr.on([label.input, block.input], actions.look, [seen, label, block], where, api_name="look", **AT_ONCE)


def input_panel(handle: ModelHandle[Classifier]) -> tuple[gr.Dropdown, gr.Image, gr.Button, gr.Dataset]:
    """The picture, and examples to try."""
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
    examples = gr.Dataset(  # pictures rather than `lesson_buttons`, which have words
        components=["image"],
        samples=[[str(lesson.path)] for lesson in lessons()],
        label="Try one: each teaches something",
        type="index",
        layout="gallery",
    )
    return picker, picture, button, examples


def answer_panel() -> tuple[gr.Label, gr.HTML, gr.ImageSlider, gr.Dropdown, gr.Dropdown]:
    """The answer. It opens with the example's, so that a fresh page is not blank."""
    seen = example().seen
    answer = gr.Label(dict(seen.best()), label="Answer", num_top_classes=5)
    card = drawing("About the answer", views.card(seen))
    where = gr.ImageSlider(
        (seen.picture, heat(seen.picture, example().cam)),
        label="Picture | where it looked",
        format="jpeg",
        interactive=False,
        max_height=400,
    )
    with gr.Row():
        names = [name for name, _ in seen.best(10)]
        label = gr.Dropdown(names, value=seen.answer, label="What speaks for", **ANY)
        blocks = views.numbered(example().blocks)
        block = gr.Dropdown(blocks, value=blocks[-1][1], label="In block", **ANY)
    return answer, card, where, label, block


def inside_panel(actions: Actions, seen: gr.State) -> tuple[gr.Dropdown, list[gr.HTML]]:
    """A block's depthwise filters, the channels that its pointwise convolution mixes, and one of its sums."""
    blocks, inside = views.numbered(example().blocks), example().inside
    about = "Each has a depthwise and a pointwise half."
    block = gr.Dropdown(blocks, value=blocks[BLOCK][1], label="Block", info=about, **ANY)
    filters = drawing("Filters", views.filters_view(inside))
    mixed = drawing("Mixed channels", views.mixed_view(inside, 0), js_on_load=viz.script())
    written = drawing("Sum", views.sum_view(inside, write_out(inside, 0)))
    shown = [filters, mixed, written]
    block.input(actions.filters, [seen, block], shown, api_name="filters", **AT_ONCE)
    mixed.click(actions.mix_clicked, [seen, block], written, **PRIVATE)
    # For clients: on the page a click on a channel does the same
    channel, row, column = (gr.Number(None, visible=False, precision=0, label=name) for name in PLACE)
    ask = gr.Button("Sum", visible=False)
    ask.click(actions.mix, [seen, block, channel, row, column], written, api_name="mix", **AT_ONCE)
    return block, shown


def cost_panel(actions: Actions) -> None:
    """The calculator: counts as the sliders move, measures on a click."""
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
    measured = drawing("Measured", views.measured_hint())
    plot = gr.LinePlot(
        None,
        x="width",
        y="share",
        color="how",
        title="Share over widths",
        height=280,
        visible=False,
    )
    gr.on([slider.change for slider in sliders], actions.count, sliders, counted, api_name="count", **AT_ONCE)
    alone: dict[str, Any] = {"concurrency_id": "measure", "concurrency_limit": 1, "show_progress": "minimal"}
    one = measure.click(actions.measure, sliders, measured, api_name="measure", **alone)
    several = over.click(actions.measure_widths, [kernel, size], [plot, measured], api_name="measure_widths", **alone)
    # A measurement of another shape does not belong beside the new count, nor does one that is still running
    moved = [slider.change for slider in sliders]
    gr.on(moved, actions.clear_measurements, None, [plot, measured], cancels=[one, several], **PRIVATE)


def twins_panel(actions: Actions, picture: gr.Image) -> gr.HTML:
    gr.Markdown("Three networks that were trained alike: separable, with standard convolutions, and with attention.")
    button = gr.Button("Show the picture above to all three")
    view = drawing("Twins", views.twins_hint())
    undecoded: dict[str, Any] = {"preprocess": False, "show_progress": "minimal"}
    button.click(actions.twins, picture, view, api_name="twins", **undecoded)
    return view


def attention_panel(actions: Actions, seen: gr.State) -> tuple[gr.Image, gr.HTML]:
    """The picture, of which a place can be clicked, and the attention of that place in words."""
    with gr.Row():
        with gr.Column(min_width=300):
            picture = gr.Image(
                example().seen.picture,
                label="Click a place: who does it look at?",
                interactive=False,
                buttons=["fullscreen"],
            )
        with gr.Column(min_width=300):
            view = drawing("Attention", views.gamma_view())
    picture.select(actions.attend_clicked, seen, [picture, view], **PRIVATE)
    # For clients: on the page a click on the picture does the same
    across, down = (gr.Number(0.5, visible=False, label=name) for name in ("Across", "Down"))
    ask = gr.Button("Attend", visible=False)
    ask.click(actions.attend, [seen, across, down], [picture, view], api_name="attend", **AT_ONCE)
    return picture, view


def files_panel(actions: Actions, picker: gr.Dropdown, max_rows: int) -> None:
    gr.Markdown(
        say(
            "Pictures, or a ZIP or TAR of them (at most {count}), come back as a CSV with the columns `file`, "
            "`folder`, `label`, `probability` and `problem`. Folders that are called as classes are compared with the "
            "answers.",
            count=f"{max_rows:,}",
        )
    )
    with gr.Row():
        with gr.Column(min_width=300):
            files = gr.File(label="Your pictures", file_count="multiple", file_types=SUFFIXES, height=160)
            button = gr.Button("Classify them all")
        with gr.Column(min_width=300):
            result = gr.File(label="The answers", interactive=False, height=96, elem_classes="viz-file")
            view = drawing("Summary", views.files_hint())
    button.click(
        actions.classify_files,
        [files, picker],
        [result, view],
        api_name="classify_files",
        preprocess=False,
        show_progress_on=view,
    )
