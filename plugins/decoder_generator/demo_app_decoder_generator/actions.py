"""What a click does: one method an endpoint, whose docstring describes it to clients of the API.

Text is written by the checkpoint's one decode loop (`engine`). A visitor who walks through a text token by token keeps
a `Walk` in the session: pickers and sliders redraw from it. Imports no torch: that happens in the first event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import gradio as gr

from demo_app import InputError, viz
from demo_app.api import display_name
from demo_app.i18n import say
from demo_app.inputs.numbers import whole_number
from demo_app.inputs.text import clean
from demo_app.page.lessons import pick
from demo_app.page.widgets import AVERAGE, index, numbers
from demo_app_decoder_generator import cards, charts, chat, explain, views
from demo_app_decoder_generator.lessons import LESSONS
from demo_app_decoder_generator.prompts import MAX_TOKENS, Prompt
from demo_app_decoder_generator.settings import DRAWING, WRITING, GenerationSettings, takes
from demo_app_decoder_generator.shape import Shape
from demo_app_decoder_generator.walk import READ, Walk
from demo_app_decoder_generator.writing import Sessions, paced

if TYPE_CHECKING:
    from demo_app import ModelHandle
    from demo_app_decoder_generator.sampling import Sampling
    from demo_app_decoder_generator.writer import Writer

NOT_STARTED = "Nothing is looked at yet; press 'Start at the prompt' first."


class Actions:
    """The handlers of one tab."""

    def __init__(self, handle: ModelHandle[Writer]) -> None:
        self.handle = handle
        self.sessions = Sessions()

    @takes(WRITING)
    def generate(
        self, prompt: str, checkpoint: str, form: str, settings: GenerationSettings, request: gr.Request
    ) -> Iterator[tuple[str, str]]:
        """Go on with a text, token by token.

        Args:
            prompt: the text to go on with; for poems the title, or a first line with its punctuation.
            checkpoint: its name, such as shakespeare, tang or smollm2.
            form: of a poem: five, seven or free.
            settings: how it is written.

        Returns:
            The prompt and what was written so far; speed and notes as HTML.
        """
        sampling = settings.sampling()
        with self.handle.use(checkpoint) as writer:
            given = Prompt.of(writer, prompt, form, settings.max_tokens)
            text = writer.engine.write(given.ids, given.max_tokens, sampling, writer.config.stop_ids)

            def shown(*facts: str, notes: tuple[str, ...] = given.notes) -> str:
                return cards.model_view(checkpoint, writer, *facts) + cards.notes_view(notes)

            with self.sessions.writing(session(request), text):
                yield given.shown, shown(say("waits for its turn"))
                for place in writer.engine.waiting_for(text):
                    yield given.shown, shown(say("place {number} in line", number=place))
                seed = (say("seed {number}", number=sampling.seed),) if sampling.temperature else ()
                for progress in paced(writer, text, settings.stop_strings()):
                    speed = cards.speed(progress)
                    yield given.shown + progress.written, shown(*speed, notes=(*given.notes, *seed))

    def stop(self, request: gr.Request) -> None:
        """End the texts that are being written for this session; what is written stays."""
        self.sessions.stop(session(request))

    def example(self, number: int) -> tuple[Any, ...]:
        """Choose one of the examples.

        Args:
            number: which example, from 0.

        Returns:
            Its prompt; its checkpoint; the form of a poem; what to notice, as HTML.
        """
        lesson = pick(LESSONS, number)
        return lesson.prompt, lesson.checkpoint, lesson.form, viz.note(lesson.lesson, kind="lesson")

    def proceed(self, written: str) -> str:
        """What was written becomes the prompt."""
        if not written:
            raise InputError("Nothing is written yet; press Generate first.")
        return written

    def fit(self, checkpoint: str) -> tuple[Any, Any]:
        """Ask for the form of a poem if the checkpoint writes poems."""
        poems = Shape.of(self.handle.folder(checkpoint)).poems
        label = "Title or first line" if poems else "Prompt"
        return gr.update(visible=poems), gr.update(label=label)

    def fit_heads(self, checkpoint: str, layer: str, head: str) -> tuple[Any, Any]:
        """The pickers of layers and heads for the chosen checkpoint; what it does not have becomes the average."""
        shape = Shape.of(self.handle.folder(checkpoint))
        layers, heads = numbers(shape.layers), numbers(shape.heads)
        return (
            gr.update(choices=layers, value=layer if layer in layers else AVERAGE),
            gr.update(choices=heads, value=head if head in heads else AVERAGE),
        )

    @takes(DRAWING)
    def start(self, prompt: str, checkpoint: str, form: str, settings: GenerationSettings) -> tuple[Walk, str, str]:
        """Read the prompt and show what the model considers as its next token.

        Args:
            prompt: the text to go on with; for poems the title, or a first line with its punctuation.
            checkpoint: its name, such as shakespeare, tang or smollm2.
            form: of a poem: five, seven or free.
            settings: of the probabilities that are shown.

        Returns:
            The text so far as HTML; the candidates as HTML.
        """
        sampling = settings.sampling()
        with self.handle.use(checkpoint) as writer:
            given = Prompt.of(writer, prompt, form, READ // 4)
            return self._shown(Walk.at(writer, checkpoint, given), writer, sampling)

    @takes(DRAWING)
    def take(self, walk: Walk | None, token: int, settings: GenerationSettings) -> tuple[Walk, str, str]:
        """Take a token, whichever it is, and look at what comes next.

        Args:
            walk: kept by the session.
            token: its id, from the candidates' buttons.
            settings: of the probabilities that are shown.

        Returns:
            The text so far as HTML; the candidates as HTML.
        """
        return self._take(walk, settings.sampling(), lambda walk: whole_number(token, "token", least=0))

    @takes(DRAWING)
    def take_likeliest(self, walk: Walk | None, settings: GenerationSettings) -> tuple[Walk, str, str]:
        """Take the token that the model holds likeliest, and look at what comes next.

        Args:
            walk: kept by the session.
            settings: of the probabilities that are shown.

        Returns:
            The text so far as HTML; the candidates as HTML.
        """
        return self._take(walk, settings.sampling(), Walk.likeliest)

    @takes(DRAWING)
    def take_drawn(self, walk: Walk | None, settings: GenerationSettings) -> tuple[Walk, str, str]:
        """Draw a token with the settings, and look at what comes next.

        Args:
            walk: kept by the session.
            settings: of the draw, and of the probabilities that are shown.

        Returns:
            The text so far as HTML; the candidates as HTML.
        """
        sampling = settings.sampling()
        return self._take(walk, sampling, lambda walk: walk.draw(sampling))

    @takes(DRAWING)
    def take_clicked(
        self, walk: Walk | None, settings: GenerationSettings, event: gr.EventData
    ) -> tuple[Walk, str, str]:
        """A click on a candidate: `take` it."""
        return self._take(walk, settings.sampling(), lambda walk: int(event.token))

    @takes(DRAWING)
    def take_back(self, walk: Walk | None, settings: GenerationSettings) -> tuple[Walk, str, str]:
        """Go back by one token.

        Args:
            walk: kept by the session.
            settings: of the probabilities that are shown.

        Returns:
            The text so far as HTML; the candidates as HTML.
        """
        if walk is None or not walk.taken:
            raise InputError("Nothing was taken yet; start, and choose a token.")
        return self._move(walk, walk.taken[:-1], settings.sampling())

    @takes(DRAWING)
    def candidates(self, walk: Walk | None, settings: GenerationSettings) -> str:
        """Draw the candidates again with other settings, from the scores that are kept: the model does not run.

        Args:
            walk: kept by the session.
            settings: of the probabilities that are shown.

        Returns:
            The candidates as HTML.
        """
        if walk is None:
            return ""
        sampling = settings.sampling()
        with self.handle.use(walk.checkpoint) as writer:
            return _candidates(walk, writer, sampling)

    def _take(self, walk: Walk | None, sampling: Sampling, choose: Callable[[Walk], int]) -> tuple[Walk, str, str]:
        if walk is None:
            raise InputError(NOT_STARTED)
        token, count = choose(walk), len(walk.look.logits)
        if not 0 <= token < count:
            raise InputError("There is no token {token}; choose one from 0 to {last}.", token=token, last=count - 1)
        return self._move(walk, (*walk.taken, token), sampling)

    def _move(self, walk: Walk, taken: tuple[int, ...], sampling: Sampling) -> tuple[Walk, str, str]:
        with self.handle.use(walk.checkpoint) as writer:
            return self._shown(Walk.at(writer, walk.checkpoint, walk.prompt, taken), writer, sampling)

    def _shown(self, walk: Walk, writer: Writer, sampling: Sampling) -> tuple[Walk, str, str]:
        return walk, views.walk_view(walk), _candidates(walk, writer, sampling)

    def inside(self, walk: Walk | None, layer: str, head: str) -> tuple[str, str]:
        """Attention of the last token, and the logit lens, of the step that is looked at.

        Args:
            walk: kept by the session.
            layer: whose attention is drawn: average, or the layer's number from 1.
            head: average, or the head's number from 1.

        Returns:
            The attention as HTML; the logit lens as HTML.
        """
        if walk is None:
            return gr.skip(), gr.skip()
        return self.attention(walk, layer, head), views.lens_view(walk.look)

    def attention(self, walk: Walk | None, layer: str, head: str) -> str:
        """Attention of the last token in one head, or an average.

        Args:
            walk: kept by the session.
            layer: average, or the layer's number from 1.
            head: average, or the head's number from 1.

        Returns:
            The tokens, coloured, and all heads, as HTML.
        """
        if walk is None:
            raise InputError(NOT_STARTED)
        look = walk.look
        return views.attention_view(look, index(layer, look.layers), index(head, look.heads))

    def open_head(self, walk: Walk | None, event: gr.EventData) -> tuple[Any, Any, str]:
        """A click on a thumbnail: `attention` with that layer and head, which the pickers then offer."""
        if walk is None:
            raise InputError(NOT_STARTED)
        layer, head = str(int(event.layer) + 1), str(int(event.head) + 1)
        return (
            gr.update(choices=numbers(walk.look.layers), value=layer),
            gr.update(choices=numbers(walk.look.heads), value=head),
            self.attention(walk, layer, head),
        )

    def surprise(self, text: str, checkpoint: str) -> str:
        """Colour a text by how little the model expected each token, and give its perplexity.

        Args:
            text: any text.
            checkpoint: its name, such as shakespeare, tang or smollm2.

        Returns:
            The tokens, coloured by -log p, as HTML.
        """
        if not text or not text.strip():
            raise InputError("The text is empty; paste or write one.")
        with self.handle.use(checkpoint) as writer:
            return charts.surprise_view(explain.surprise(writer, clean(text)))

    @takes(WRITING)
    def compare(
        self, prompt: str, checkpoint: str, form: str, settings: GenerationSettings, request: gr.Request
    ) -> Iterator[tuple[str, str]]:
        """Go on with a text twice: with the likeliest token always, and drawn.

        Args:
            prompt: the text to go on with; for poems the title, or a first line with its punctuation.
            checkpoint: its name, such as shakespeare, tang or smollm2.
            form: of a poem: five, seven or free.
            settings: of the drawn text.

        Returns:
            The greedy text so far; the sampled text so far.
        """
        from demo_app_decoder_generator.sampling import Sampling

        sampled, greedy = settings.sampling(), Sampling(temperature=0, seed=0)
        with self.handle.use(checkpoint) as writer:
            given = Prompt.of(writer, prompt, form, settings.max_tokens)
            texts = [
                writer.engine.write(given.ids, given.max_tokens, sampling, writer.config.stop_ids)
                for sampling in (greedy, sampled)
            ]
            with self.sessions.writing(session(request), *texts):
                written = ["", ""]
                for both in zip_longest(*(paced(writer, text, settings.stop_strings()) for text in texts)):
                    written = [new.written if new else old for new, old in zip(both, written, strict=True)]
                    yield given.shown + written[0], given.shown + written[1]

    @takes(WRITING)
    def chat(
        self,
        message: str,
        history: list[dict[str, Any]],
        checkpoint: str,
        settings: GenerationSettings,
        request: gr.Request,
    ) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Answer in a conversation; for checkpoints that were tuned to chat.

        Args:
            message: what to answer.
            history: the conversation so far: role and content of each turn.
            checkpoint: its name: smollm2 or qwen2_5.
            settings: how the answer is written.

        Returns:
            An empty message; the conversation with the answer so far.
        """
        if not message or not message.strip():
            raise InputError("The message is empty; write something to answer.")
        sampling = settings.sampling()
        with self.handle.use(checkpoint) as writer:
            if writer.template is None:
                raise InputError(
                    "{checkpoint} was not tuned to chat; choose SmolLM2 or Qwen2.5 in the picker.",
                    checkpoint=display_name(checkpoint),
                )
            turns = [*chat.turns(history), ("user", clean(message))]
            max_tokens = whole_number(settings.max_tokens, "Tokens at most", least=1, most=MAX_TOKENS)
            ids = writer.conversation(turns, writer.engine.room(max_tokens))
            text = writer.engine.write(ids, max_tokens, sampling, writer.config.stop_ids)
            shown = [{"role": role, "content": content} for role, content in turns]
            with self.sessions.writing(session(request), text):
                yield "", [*shown, {"role": "assistant", "content": "…"}]
                for progress in paced(writer, text, settings.stop_strings()):
                    yield "", [*shown, {"role": "assistant", "content": progress.written}]

    def cache(self, prompt: str, checkpoint: str, form: str) -> Iterator[str]:
        """Measure milliseconds a token with and without the key-value cache, as the text grows.

        Args:
            prompt: the text to go on with.
            checkpoint: its name, such as shakespeare, tang or smollm2.
            form: of a poem: five, seven or free.

        Returns:
            Milliseconds a token over the length of the text, as HTML.
        """
        with self.handle.use(checkpoint) as writer:
            given = Prompt.of(writer, prompt, form, 64)
            for timing in explain.cache_timing(writer.network, given.ids):
                yield charts.timing_view(timing)


def session(request: gr.Request) -> str:
    """A name for the visitor's session; programs without one get a name of their own for each call."""
    return str(request.session_hash or id(request))


def _candidates(walk: Walk, writer: Writer, sampling: Sampling) -> str:
    considered = explain.candidates(walk.look.logits, writer.tokenizer, sampling, seen=walk.ids)
    step = say("step {count} ms", count=f"{walk.look.milliseconds:.0f}")
    return views.candidates_view(considered) + cards.model_view(walk.checkpoint, writer, step, *walk.prompt.notes)
