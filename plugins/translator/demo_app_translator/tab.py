"""The tab: layout and events. What is computed is in `translator` and `explain`, how it looks in `pictures`.

A click on Translate costs the search; what was seen stays in the visitor's session (`Seen`, one a sentence), and the
pickers below only redraw from it. Nothing here imports torch: that happens in the first event.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import gradio as gr

from demo_app import InputError, viz
from demo_app.api import display_name
from demo_app.page.widgets import AVERAGE, drawing, index, numbers
from demo_app_translator import pictures
from demo_app_translator.example import SENTENCE, example
from demo_app_translator.explain import Seen, alignment, force, watch
from demo_app_translator.how import HOW

if TYPE_CHECKING:
    from demo_app.page.handle import ModelHandle
    from demo_app_translator.translator import Translator

KEPT_SECONDS = 3 * 3600  # a session's last translation is forgotten after so long
AT_ONCE: dict[str, Any] = {"queue": False, "show_progress": "hidden"}  # fast and bounded: no need to wait in line
LAYERS, HEADS = 6, 8  # as OPUS-MT, the largest
MOST_BEAMS = 8
EXAMPLES = (
    SENTENCE,
    "Two dogs are playing with a red ball in the snow.",
    "A woman in a blue dress is selling fruit at a street market.",
    "Three children are sitting on a wall. One of them is reading a book.",
    "I do not know what to say.",
)


def build(handle: ModelHandle[Translator]) -> None:
    """Lay out the tab and wire its events. Called once, inside the host's `gr.Blocks`."""
    actions = Actions(handle)
    seen = gr.State(None, time_to_live=KEPT_SECONDS)
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            picker = handle.picker()
            text = gr.Textbox(
                SENTENCE,
                label="Text",
                info="In the language that the checkpoint reads. Each sentence is translated by itself.",
                lines=4,
                max_lines=12,
                max_length=handle.settings.max_text,
            )
            with gr.Row():
                beams = gr.Slider(1, MOST_BEAMS, 4, step=1, label="Beams", info="1 is greedy.", min_width=200)
                penalty = gr.Slider(
                    0, 2, 1, step=0.1, label="Length penalty", info="Higher: longer translations.", min_width=200
                )
            with gr.Row():
                button = gr.Button("Translate", variant="primary", min_width=100)
                stop = gr.Button("Stop", min_width=100)
            examples = gr.Dataset(
                components=["textbox"], samples=[[one] for one in EXAMPLES], label="Try one", type="index"
            )
        with gr.Column(scale=6, min_width=300):
            translation = gr.Textbox(
                example().text, label="Translation", lines=4, max_lines=12, interactive=False, buttons=["copy"]
            )
            card = drawing("About the translation", about([example()]))
            sentence = gr.Dropdown(
                _choices([example()]), value=0, label="Sentence to look into", visible=False, min_width=200
            )
            with gr.Row():
                layer = gr.Dropdown(numbers(LAYERS), value=AVERAGE, label="Layer", min_width=120)
                head = gr.Dropdown(numbers(HEADS), value=AVERAGE, label="Head", min_width=120)
            lines = picture("Alignment", pictures.alignment_lines(*alignment(example(), None, None)))
    with gr.Tabs(overflow_behavior="wrap"):
        with gr.Tab("Beam search"):
            tree = picture("Beams", pictures.beam_tree(example()))
        with gr.Tab("Attention map"):
            chart = drawing(
                "Attention map", pictures.alignment_map(*alignment(example(), None, None)), js_on_load=viz.script()
            )
        with gr.Tab("Your own translation"):
            forced_panel(actions, text, picker)
        with gr.Tab("Encoder-decoder or decoder-only?"):
            designs = drawing("Two designs", pictures.two_designs(example()), js_on_load=viz.script())
        with gr.Tab("How it works"):
            gr.Markdown(HOW)
    views = [lines, chart, tree, designs]
    asked = {"inputs": [text, picker, beams, penalty], "outputs": [translation, card, sentence, *views, seen]}
    running = gr.on(
        [button.click, text.submit], actions.translate, **asked, api_name="translate", show_progress="hidden"
    )
    chosen = examples.click(actions.example, examples, text, api_name="example", **AT_ONCE)
    then = chosen.then(actions.translate, **asked, api_visibility="private", show_progress="hidden")
    stop.click(None, None, None, cancels=[running, then])
    looked = {"inputs": [seen, sentence, layer, head], "outputs": views}
    gr.on([sentence.input, layer.input, head.input], actions.look, **looked, api_name="look", **AT_ONCE)


def picture(label: str, value: str) -> gr.HTML:
    """A card for what `pictures` draws."""
    return gr.HTML(value, label=label, css_template=pictures.style(), container=True, apply_default_css=False)


def forced_panel(actions: Actions, text: gr.Textbox, picker: gr.Dropdown) -> None:
    gr.Markdown(
        "Write your own translation of the text above (one sentence). The network reads it token by token, as it does "
        "in training, and says how much it expected each: *teacher forcing*."
    )
    with gr.Row():
        with gr.Column(min_width=300):
            own = gr.Textbox(example().text, label="Your translation", lines=2, max_lines=6)
            button = gr.Button("What does the network think of it?")
        with gr.Column(min_width=300):
            view = drawing("Surprise", viz.note("Change a word, and see which ones surprise it.", kind="hint"))
    button.click(actions.force, [text, own, picker], view, api_name="force", **AT_ONCE)


def about(seen: list[Seen]) -> str:
    """The model, its time and how sure it was, as HTML."""
    tokens = sum(len(one.target) for one in seen)
    milliseconds = sum(one.milliseconds for one in seen)
    total = sum(one.log_probability for one in seen)
    search = "greedy" if seen[0].beams == 1 else f"{seen[0].beams} beams"
    return viz.note(
        f"{display_name(seen[0].checkpoint)} · {search} · {tokens} tokens in {milliseconds:.0f} ms · "
        f"log-probability {total / max(1, tokens):.2f} a token",
        kind="card",
    )


def _choices(seen: list[Seen]) -> list[tuple[str, int]]:
    return [(f"{n + 1}. {''.join(one.target[:-1]).strip()[:60]}", n) for n, one in enumerate(seen)]


class Actions:
    """What a visitor or a client can do: one method an event."""

    def __init__(self, handle: ModelHandle[Translator]) -> None:
        self.handle = handle

    def translate(self, text: str, checkpoint: str, beams: float, length_penalty: float) -> Iterator[tuple[Any, ...]]:
        """Translate a text, sentence by sentence; the translation is streamed as it grows.

        Args:
            text: in the language that the checkpoint reads.
            checkpoint: its name, such as en_de, en_zh or opus_mt_zh_en.
            beams: how many beginnings the search keeps, from 1 (greedy) to 8.
            length_penalty: finished translations are compared by log-probability over length to this power, 0 to 2.

        Returns:
            The translation; the model and its time, as HTML; the sentences that can be looked into; then, of the first
            sentence, as HTML: alignment of words, attention map, tree of beams, encoder-decoder beside decoder-only.
        """
        from demo_app_translator.search import Beam
        from demo_app_translator.translator import joined, sentences

        parts = sentences(text)
        if not 1 <= beams <= MOST_BEAMS or not 0 <= length_penalty <= 2:
            raise InputError(f"Choose from 1 to {MOST_BEAMS} beams, and a length penalty from 0 to 2.")
        waiting = (gr.skip(),) * 7
        with self.handle.use(checkpoint) as translator:
            limit = translator.config.max_tokens
            settings = Beam(beams=int(beams), length_penalty=float(length_penalty), max_tokens=limit)
            translator.check(text)
            done: list[Seen] = []
            for part in parts:
                shown = ""
                for step in watch(translator, part, settings, checkpoint):
                    if isinstance(step, Seen):
                        done.append(step)
                    elif step != shown:
                        shown = step
                        yield joined([*(one.text for one in done), shown], translator.config.target), *waiting
        sentence = gr.update(choices=_choices(done), value=0, visible=len(done) > 1)
        whole = joined([one.text for one in done], done[0].target_language)
        yield whole, about(done), sentence, *_views(done[0], AVERAGE, AVERAGE), done

    def example(self, number: int) -> str:
        """One of the texts to try.

        Args:
            number: which one, from 0.

        Returns:
            The text.
        """
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(EXAMPLES):
            raise InputError(f"There is no example {number}; choose one from 0 to {len(EXAMPLES) - 1}.")
        return EXAMPLES[number]

    def look(self, seen: list[Seen] | None, sentence: int, layer: str, head: str) -> tuple[str, ...]:
        """Look into a sentence of the last translation of this session (before that: the page's example).

        Args:
            seen: kept by the session.
            sentence: which one, from 0.
            layer: whose attention is drawn: average, or the layer's number from 1.
            head: average, or the head's number from 1.

        Returns:
            As HTML: alignment of words, attention map, tree of beams, encoder-decoder beside decoder-only.
        """
        seen = seen or [example()]
        if not isinstance(sentence, int) or not 0 <= sentence < len(seen):
            raise InputError(f"There is no sentence {sentence}; choose one from 0 to {len(seen) - 1}.")
        return _views(seen[sentence], str(layer), str(head))

    def force(self, text: str, translation: str, checkpoint: str) -> str:
        """Teacher forcing: what the network thinks of a translation that is given, token by token.

        Args:
            text: one sentence in the language that the checkpoint reads.
            translation: what is to be judged.
            checkpoint: its name, such as en_de.

        Returns:
            Each token on a ground as strong as its surprise, and what the network would have written, as HTML.
        """
        from demo_app_translator.translator import sentences

        first = sentences(text)[0]
        if not translation.strip():
            raise InputError("There is no translation to judge; write one.")
        with self.handle.use(checkpoint) as translator:
            translator.check(first)
            return pictures.forced_strip(force(translator, first, translation.strip()))


def _views(seen: Seen, layer: str, head: str) -> tuple[str, ...]:
    layers, heads = seen.cross.shape[:2]
    words = alignment(seen, index(layer, layers), index(head, heads))
    return (
        pictures.alignment_lines(*words),
        pictures.alignment_map(*words),
        pictures.beam_tree(seen),
        pictures.two_designs(seen),
    )
