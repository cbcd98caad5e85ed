"""The tab: layout and events. What is computed is in `explain`, how it looks in `demo_app.viz`.

A click on Classify costs one forward and one backward pass; what they showed stays in the visitor's session (`Seen`),
and the pickers only redraw from it. Nothing here imports torch: that happens in the first event.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.context import Context

from demo_app import InputError, viz
from demo_app.api import display_name
from demo_app.inputs.tables import write_csv
from demo_app.inputs.text import clean
from demo_app.models.batching import MicroBatcher
from demo_app.page.widgets import AVERAGE, drawing, index, numbers
from demo_app_text_classifier.example import TEXT, example
from demo_app_text_classifier.explain import SHOWN, WORDS, Occlusion, Seen, best, choose, look, occlude, received
from demo_app_text_classifier.how import HOW

if TYPE_CHECKING:
    from demo_app.page.handle import ModelHandle
    from demo_app_text_classifier.classifier import Classifier

CHUNK = 256  # rows of a file between two steps of its progress bar
KEPT_SECONDS = 3 * 3600  # a session's last look is forgotten after so long


@dataclass(frozen=True)
class Lesson:
    """An example, and what to notice in it."""

    title: str
    text: str
    checkpoint: str
    lesson: str


LESSONS = (
    Lesson("Two halves", TEXT, "sst2", "Each half says something else. Which words win? Swap the halves and see."),
    Lesson(
        "Negation",
        "This film is not bad at all.",
        "sst2",
        "“Not bad” is praise. Did the model learn that, or does it only hear “bad”? Take “not” away and compare.",
    ),
    Lesson(
        "Irony",
        "Two hours of my life that I will never get back, thank you so much.",
        "sst2",
        "Kind words, unkind meaning. Does the model notice, or does it fall for “thank you”?",
    ),
    Lesson(
        "A feeling without its name",
        "i keep checking the door and i cannot sleep when i am home alone",
        "emotion",
        "No word names the feeling. Which one does the model guess from? Take it away: what is the next guess?",
    ),
    Lesson(
        "Mixed feelings",
        "i feel so grateful for my friends but a little lonely tonight",
        "emotion",
        "Two feelings, one answer: look at the bars, then take “lonely” away.",
    ),
    Lesson(
        "中文: 好评",
        "房间很干净,服务员也热情,下次还会再来。",
        "zh_reviews",
        "A hotel guest's praise. Chinese has no spaces: see how the text is cut into tokens.",
    ),
    Lesson(
        "中文: 转折",
        "东西不错,就是快递太慢了。",
        "zh_reviews",
        "Good thing, slow delivery. “就是” turns the sentence around: which side wins?",
    ),
)

PAIR = ("The acting is wonderful, but the plot is thin.", "The plot is thin, but the acting is wonderful.")

CAVEATS = {
    "attention": "Attention shows where the model looked, not why it decided: other attentions can give the same "
    "answer (Jain and Wallace 2019), though they are not mere noise (Wiegreffe and Pinter 2019). "
    "Check with 'Take a word away'.",
    "gradient": "Gradient × input is a first-order estimate: what the answer's score would lose if the token faded "
    "into the text's average token. It is exact only for a linear model. Check with 'Take a word away'.",
}


def build(handle: ModelHandle[Classifier]) -> None:
    """Lay out the tab and wire its events. Called once, inside the host's `gr.Blocks`."""
    actions, limit = Actions(handle), handle.settings.max_text
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            picker, text, button, lessons = input_panel(handle)
        with gr.Column(scale=6, min_width=300):
            answer, method, words = answer_panel()
    gr.Markdown("### Look inside")
    with gr.Tabs(overflow_behavior="wrap"):
        with gr.Tab("Attention heads"):
            layer, head, attention = attention_panel()
        with gr.Tab("Take a word away"):
            occlusion_panel(actions, text, picker)
        with gr.Tab("Compare two"):
            compare_panel(actions, picker, limit)
        with gr.Tab("Label a file"):
            file_panel(actions, picker, handle.settings.max_rows)
        with gr.Tab("Fine-tune"):
            handle.finetune(picker, ("text",))
        with gr.Tab("How it works"):
            gr.Markdown(HOW)
    seen = gr.State(None, time_to_live=KEPT_SECONDS)
    at_once: dict[str, Any] = {"queue": False, "show_progress": "hidden"}  # fast and bounded: no need to wait in line
    # Gradio gives each component of an event a turn in its thread pool, twice: a quarter of the time of an answer.
    # So `classify` reads and writes what goes over the wire, and checks it itself
    on_the_wire: dict[str, Any] = {"preprocess": False, "postprocess": False, **at_once}
    how, all_of_it = [method, layer, head], [answer, words, attention, seen]
    classify = [button.click, text.submit]
    gr.on(classify, actions.classify, [text, picker, *how], all_of_it, api_name="classify", **on_the_wire)
    lessons.click(actions.example, [lessons, *how], [text, picker, *all_of_it], api_name="example", **at_once)
    method.input(actions.colour, [seen, *how], words, api_name="colour", **at_once)
    pick = [layer.input, head.input]
    gr.on(pick, actions.attention, [seen, *how], [words, attention], api_name="attention", **at_once)
    opened = [layer, head, words, attention]
    attention.click(actions.open_head, [seen, method], opened, api_visibility="private", **at_once)
    assert Context.root_block is not None
    chosen = [picker.change, Context.root_block.load]  # checkpoints have different numbers of layers and heads
    fitted = [layer, head, text]
    gr.on(chosen, actions.fit, [picker, layer, head], fitted, api_visibility="private", **at_once)


def input_panel(handle: ModelHandle[Classifier]) -> tuple[gr.Dropdown, gr.Textbox, gr.Button, gr.Dataset]:
    limit = handle.settings.max_text
    picker = handle.picker()
    info = Shape.of(handle.folder(str(picker.value))).info(limit)
    text = gr.Textbox(TEXT, label="Text", info=info, max_lines=6, max_length=limit)
    button = gr.Button("Classify", variant="primary")
    lessons = gr.Dataset(
        components=["textbox"],
        samples=[[lesson.text] for lesson in LESSONS],
        sample_labels=[lesson.title for lesson in LESSONS],
        label="Try one: each teaches something",
        type="index",
    )
    return picker, text, button, lessons


def answer_panel() -> tuple[gr.Label, gr.Radio, gr.HTML]:
    """The answer; it opens with the example's, so that a cold page is not blank."""
    answer = gr.Label(example().scores(), label="Answer")
    methods = [("Gradient × input", "gradient"), ("Attention", "attention")]
    method = gr.Radio(methods, value="gradient", label="Colour the words by")
    return answer, method, drawing("Words", words_view(example(), "gradient", None, None))


def attention_panel() -> tuple[gr.Radio, gr.Radio, gr.HTML]:
    """Built with all that any checkpoint has, for clients; a page's start leaves what the chosen one has."""
    with gr.Row():
        layer = gr.Radio(numbers(Shape().layers), value=AVERAGE, label="Layer", min_width=300)
        head = gr.Radio(numbers(Shape().heads), value=AVERAGE, label="Head", min_width=300)
    return layer, head, drawing("Heads", heads_view(example(), None, None), js_on_load=viz.script())


def occlusion_panel(actions: Actions, text: gr.Textbox, picker: gr.Dropdown) -> None:
    button = gr.Button("Take each word of the text away, one at a time")
    view = drawing("Occlusion", viz.note("Which word carries the answer? Press the button.", kind="hint"))
    button.click(actions.occlude, [text, picker], view, api_name="occlude", show_progress="minimal")


def compare_panel(actions: Actions, picker: gr.Dropdown, limit: int) -> None:
    with gr.Row():
        a, b = (
            gr.Textbox(text, label=f"Text {name}", max_lines=6, max_length=limit, min_width=300)
            for name, text in zip("AB", PAIR, strict=True)
        )
    button = gr.Button("Compare")
    with gr.Row():
        answers = [gr.Label(label=f"Answer to {name}", min_width=240) for name in "AB"]
    view = drawing("Difference", viz.note("Change one word in B and see what it moves.", kind="hint"))
    gr.on(
        [button.click, a.submit, b.submit],
        actions.compare,
        [a, b, picker],
        [*answers, view],
        api_name="compare",
        show_progress="minimal",
    )


def file_panel(actions: Actions, picker: gr.Dropdown, max_rows: int) -> None:
    gr.Markdown(
        f"A CSV file (also `.csv.gz`) with a column `text` and at most {max_rows:,} rows comes back with the columns "
        "`label` and `probability` (`predicted_label` where it has labels: they are compared with the answers). "
        "Cells that a spreadsheet would run as a formula get a leading apostrophe."
    )
    with gr.Row():
        with gr.Column(min_width=300):
            file = gr.File(label="Your file", file_types=[".csv", ".gz"], height=160)
            button = gr.Button("Label every row")
        with gr.Column(min_width=300):
            result = gr.File(label="The same with answers", interactive=False, height=96, elem_classes="viz-file")
            view = drawing("Summary", viz.note("No file yet.", kind="hint"))
    button.click(actions.classify_file, [file, picker], [result, view], api_name="classify_file", show_progress_on=view)


@dataclass(frozen=True)
class Shape:
    """What the page must know of a checkpoint before it is loaded."""

    layers: int = 6  # as DistilBERT, the largest one
    heads: int = 12
    max_tokens: int = 512

    @classmethod
    def of(cls, folder: Path | None) -> Shape:
        """By config.json, ours or a published one; the largest where the files are away."""
        if folder is None:
            return cls()
        config = json.loads((folder / "config.json").read_text("utf-8"))
        if "n_layers" in config:
            return cls(config["n_layers"], config["n_heads"], config["max_position_embeddings"])
        return cls(config["layers"], config["heads"], config["max_tokens"])

    def info(self, limit: int) -> str:
        return (
            f"Up to {limit:,} characters, of which the model reads at most {self.max_tokens} tokens. Enter classifies."
        )


class Actions:
    """What a visitor or a client can do: one method an event."""

    def __init__(self, handle: ModelHandle[Classifier]) -> None:
        self.handle = handle
        self._looks = {c.name: MicroBatcher(partial(look_at, c.name)) for c in handle.demo.checkpoints}

    def classify(self, text: str, checkpoint: str, method: str, layer: str, head: str) -> tuple[Any, ...]:
        """Name the sentiment or the emotion of a text.

        Args:
            text: what to classify; the model reads its first words, up to the checkpoint's limit of tokens.
            checkpoint: its name, such as sst2, emotion, zh_reviews or distilbert_sst2.
            method: what colours the words in the picture: gradient or attention.
            layer: whose attention is drawn: average, or the layer's number from 1.
            head: average, or the head's number from 1.

        Returns:
            The probability of each label; the words, coloured, as HTML; the attention as HTML.
        """
        if not isinstance(checkpoint, str) or method not in CAVEATS:
            raise InputError(f"Choose a checkpoint, and a method from: {', '.join(CAVEATS)}.")
        with self._use(checkpoint) as classifier:
            seen = self._look(checkpoint, classifier, usable(str(text or "")))
        check(seen)
        scores, *pictures = self._answer(seen, method, str(layer), str(head))
        return label_data(scores), *pictures

    def example(self, number: int, method: str, layer: str, head: str) -> tuple[Any, ...]:
        """Classify one of the examples.

        Args:
            number: which example, from 0.
            method: what colours the words: gradient or attention.
            layer: whose attention is drawn: average, or the layer's number from 1.
            head: average, or the head's number from 1.

        Returns:
            The example's text; its checkpoint; then what `classify` returns.
        """
        if number not in range(len(LESSONS)):  # a number, or nothing at all
            raise InputError(f"There is no example {number}; choose one from 0 to {len(LESSONS) - 1}.")
        lesson = LESSONS[number]
        with self._use(lesson.checkpoint) as classifier:
            seen = self._look(lesson.checkpoint, classifier, lesson.text)
        scores, words, *rest = self._answer(seen, method, layer, head)
        return lesson.text, lesson.checkpoint, scores, viz.note(lesson.lesson, kind="lesson") + words, *rest

    @contextmanager
    def _use(self, checkpoint: str) -> Iterator[Classifier]:
        """The model of a checkpoint that has classes. Raises `InputError` for an encoder alone, which may be taught."""
        with self.handle.use(checkpoint) as classifier:
            if not classifier.labels:
                raise InputError("This checkpoint has no classes yet; teach it some at Fine-tune, or choose another.")
            yield classifier

    def _look(self, checkpoint: str, classifier: Classifier, text: str) -> Seen:
        """Together with whoever else asks that checkpoint just now; a visitor's own is asked by its visitor alone."""
        example = classifier, text
        together = self._looks.get(checkpoint)
        return together(example) if together is not None else look_at(checkpoint, [example])[0]

    def _answer(self, seen: Seen, method: str, layer: str, head: str) -> tuple[Any, ...]:
        chosen = index(layer, seen.attention.shape[0]), index(head, seen.attention.shape[1])
        return seen.scores(), words_view(seen, method, *chosen), heads_view(seen, *chosen), seen

    def fit(self, checkpoint: str, layer: str, head: str) -> tuple[Any, Any, Any]:
        """The pickers of layers and heads for the chosen checkpoint; what it does not have becomes the average."""
        shape = Shape.of(self.handle.folder(checkpoint))
        layers, heads = numbers(shape.layers), numbers(shape.heads)
        return (
            gr.update(choices=layers, value=layer if layer in layers else AVERAGE),
            gr.update(choices=heads, value=head if head in heads else AVERAGE),
            gr.update(info=shape.info(self.handle.settings.max_text)),
        )

    def colour(self, seen: Seen | None, method: str, layer: str, head: str) -> str:
        """Draw the words of the text classified last in this session (before that: of the page's example) again.

        Args:
            seen: kept by the session.
            method: gradient or attention.
            layer: whose attention: average, or the layer's number from 1.
            head: average, or the head's number from 1.

        Returns:
            The words, coloured, as HTML.
        """
        seen = seen or example()
        return words_view(seen, method, index(layer, seen.attention.shape[0]), index(head, seen.attention.shape[1]))

    def attention(self, seen: Seen | None, method: str, layer: str, head: str) -> tuple[str, str]:
        """Open one head's attention, or an average, for the text classified last in this session.

        Args:
            seen: kept by the session.
            method: what colours the words: gradient or attention.
            layer: average, or the layer's number from 1.
            head: average, or the head's number from 1.

        Returns:
            The words, coloured, as HTML; the attention as HTML.
        """
        seen = seen or example()
        chosen = index(layer, seen.attention.shape[0]), index(head, seen.attention.shape[1])
        return words_view(seen, method, *chosen), heads_view(seen, *chosen)

    def open_head(self, seen: Seen | None, method: str, event: gr.EventData) -> tuple[Any, Any, str, str]:
        """A click on a thumbnail: `attention` with that layer and head, which the pickers then offer."""
        layers, heads = (seen or example()).attention.shape[:2]
        layer, head = str(int(event.layer) + 1), str(int(event.head) + 1)
        chosen = gr.update(choices=numbers(layers), value=layer), gr.update(choices=numbers(heads), value=head)
        return *chosen, *self.attention(seen, method, layer, head)

    def occlude(self, text: str, checkpoint: str) -> str:
        """Take each word of the text away, one at a time, and see what becomes of the answer.

        Args:
            text: what to classify.
            checkpoint: its name, such as sst2, emotion, zh_reviews or distilbert_sst2.

        Returns:
            The words and what each adds to the answer's probability, as HTML.
        """
        with self._use(checkpoint) as classifier:
            occlusion = occlude(classifier, usable(text))
        if not occlusion.words:
            raise InputError("There is only one word; write at least two, so that something is left to classify.")
        return occlusion_view(occlusion)

    def compare(self, a: str, b: str, checkpoint: str) -> tuple[Any, ...]:
        """Classify two texts side by side.

        Args:
            a: a text.
            b: another, for example the same with one word changed.
            checkpoint: its name, such as sst2, emotion, zh_reviews or distilbert_sst2.

        Returns:
            The probabilities for A; for B; the differences and the words of both, coloured, as HTML.
        """
        with self._use(checkpoint) as classifier:
            pair = look(classifier, [usable(a, "Text A"), usable(b, "Text B")], checkpoint=checkpoint)
        for seen in pair:
            check(seen)
        return pair[0].scores(), pair[1].scores(), difference_view(*pair)

    def classify_file(
        self,
        file: str | None,
        checkpoint: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Iterator[tuple[Any, str]]:
        """Classify every row of a CSV file.

        Args:
            file: a CSV file with a column `text`, at most as many rows as the page says.
            checkpoint: its name, such as sst2, emotion, zh_reviews or distilbert_sst2.

        Returns:
            The file with the columns label and probability added; how many rows got which label, as HTML.
        """
        from demo_app_text_classifier.data import read_csv

        if file is None:
            raise InputError("There is no file yet; choose a CSV file with a column 'text'.")
        limit = self.handle.settings.max_text
        rows = read_csv(Path(file), require_label=False, max_rows=self.handle.settings.max_rows)
        answers: list[tuple[str, float]] = []
        with tempfile.TemporaryDirectory(prefix="demo-app-") as folder, self._use(checkpoint) as classifier:
            for start in range(0, len(rows.texts), CHUNK):
                progress((start, len(rows.texts)), unit="rows")
                yield gr.skip(), progress_view(start, len(rows.texts))
                texts = [clean(text[:limit]) for text in rows.texts[start : start + CHUNK]]
                answers += best(classifier.labels, classifier.predict(texts))
            target = Path(folder) / f"{display_name(checkpoint)}-answers.csv"
            write_answers(target, rows.columns, rows.records, answers)
            yield str(target), file_view(answers, rows.labels, classifier.labels)
        # Gradio has copied the file into its own cache by now, where it stays for an hour; ours is gone


def label_data(scores: dict[str, float]) -> dict[str, Any]:
    """What `gr.Label` sends to the page: the likeliest label, then all of them, likeliest first."""
    ranked = sorted(scores.items(), key=lambda item: -item[1])
    return {"label": ranked[0][0], "confidences": [{"label": label, "confidence": share} for label, share in ranked]}


def look_at(checkpoint: str, texts: Sequence[tuple[Classifier, str]]) -> list[Seen]:
    """One look for the texts of visitors who asked at the same time; all lease the same classifier."""
    return look(texts[0][0], [text for _, text in texts], checkpoint=checkpoint)


def usable(text: str | None, name: str = "The text") -> str:
    """The text as the tokenizer can read it. Raises `InputError` when there is nothing to read."""
    text = clean(text or "")
    if not text.strip():
        raise InputError(f"{name} is empty; write a sentence, then try again.")
    return text


def check(seen: Seen) -> None:
    if all(seen.special):
        raise InputError("The text has nothing that the model can read; write a sentence, then try again.")


def words_view(seen: Seen, method: str, layer: int | None, head: int | None) -> str:
    """The model's card and its words, coloured."""
    if method == "attention":
        scores, diverging, ends = received(choose(seen.attention, layer, head), seen.pooling), False, ("little", "much")
        label = f"Attention received, {head_name(layer, head)}"
    else:
        scores, diverging, ends = seen.saliency, True, ("against", "for")
        label = f"What speaks for “{seen.answer}”"
    strip = viz.token_strip(
        seen.tokens,
        scores,
        label=label,
        joined=seen.joined,
        special=seen.special,
        diverging=diverging,
        ends=ends,
    )
    return strip + viz.note(CAVEATS[method]) + viz.note(card(seen), kind="card")


def card(seen: Seen) -> str:
    """One line on the model and what it read."""
    parts = [
        display_name(seen.checkpoint),
        f"{seen.parameters / 1e6:.2f} M parameters",
        f"forward pass {seen.milliseconds:.1f} ms",
        f"{seen.length} tokens",
    ]
    if seen.truncated:
        parts.append("the rest of the text was not read")
    if seen.length > SHOWN:
        parts.append(f"the first {SHOWN} are drawn")
    if seen.unknown:
        parts.append(f"{seen.unknown} not in its vocabulary")
    if seen.unknown and seen.unknown == seen.length - sum(seen.special):
        parts.append("so the answer is a guess")
    return " · ".join(parts)


def head_name(layer: int | None, head: int | None) -> str:
    where = "all layers" if layer is None else f"layer {layer + 1}"
    which = "all heads" if head is None else f"head {head + 1}"
    return f"{where}, {which}" + (", averaged" if layer is None or head is None else "")


def heads_view(seen: Seen, layer: int | None, head: int | None) -> str:
    """All heads as thumbnails, and the chosen one large."""
    selected = None if layer is None or head is None else (layer, head)
    grid = viz.heads_grid(seen.attention, label="All heads: choose one", selected=selected)
    names = [token if token.strip() else "␣" for token in seen.tokens]
    weights = choose(seen.attention, layer, head)
    large = viz.heat_map(
        weights,
        names,
        names,
        label=f"Who looks (row) at whom (column): {head_name(layer, head)}",
        row_axis="",
        column_axis="looks at",
    )
    return viz.side_by_side(grid, large)


def occlusion_view(occlusion: Occlusion) -> str:
    """The words coloured by their effect, and the strongest as bars."""
    effect = occlusion.effect
    order = sorted(range(len(effect)), key=lambda i: -abs(float(effect[i])))[:8]
    strip = viz.token_strip(
        occlusion.words,
        effect,
        label=f"What each word adds to “{occlusion.answer}” ({occlusion.probability:.1%})",
        joined=occlusion.joined,
        diverging=True,
        ends=("takes away", "adds"),
    )
    flips = [f"without it: {a}" if a != occlusion.answer else "" for a in occlusion.answers]
    bars = viz.bars(
        [occlusion.words[i] for i in order],
        [float(effect[i]) for i in order],
        label=f"The strongest, in points of the probability of “{occlusion.answer}”",
        notes=[flips[i] for i in order],
        diverging=True,
    )
    capped = viz.note(f"The first {WORDS} words were tried.") if len(occlusion.words) == WORDS else ""
    return viz.side_by_side(strip, bars) + capped


def difference_view(a: Seen, b: Seen) -> str:
    """B's probabilities less A's, and the words of both."""
    bars = viz.bars(
        a.labels,
        b.probabilities - a.probabilities,
        label="B less A, in points of probability",
        diverging=True,
        full=1.0,
    )
    strips = [
        viz.token_strip(
            seen.tokens,
            seen.saliency,
            label=f"{name}: what speaks for “{seen.answer}”",
            joined=seen.joined,
            special=seen.special,
            diverging=True,
            ends=("against", "for"),
        )
        for name, seen in (("A", a), ("B", b))
    ]
    return bars + viz.side_by_side(*strips) + viz.note(CAVEATS["gradient"])


def file_view(answers: list[tuple[str, float]], given: list[str] | None, labels: tuple[str, ...]) -> str:
    """How many rows got which label, and how many of the labels that the file gave are the same."""
    from demo_app_text_classifier.data import class_ids

    counts = [sum(label == answer for answer, _ in answers) for label in labels]
    shares = [count / len(answers) for count in counts]
    bars = viz.bars(labels, shares, label="Answers", notes=[rows_of(count) for count in counts], full=1.0)
    if given is None:
        return bars
    try:
        expected = [labels[i] for i in class_ids(given, labels)]
    except InputError as error:
        return bars + viz.note(f"Not compared with the file's labels: {error}")
    same = sum(answer == label for (answer, _), label in zip(answers, expected, strict=True))
    return bars + viz.note(f"{same / len(answers):.1%} of the rows have the label that the file gives.")


def progress_view(done: int, total: int) -> str:
    return viz.bars([f"{done:,} of {total:,} rows"], [done / total], label="Reading your file", full=1.0)


def rows_of(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def write_answers(
    path: Path, columns: list[str], records: list[dict[str, str]], answers: list[tuple[str, float]]
) -> None:
    """The file's own columns, then label and probability."""
    added = ["label", "probability"]
    added = [f"predicted_{name}" if name in columns else name for name in added]
    given = ([record[name] for name in columns] for record in records)
    rows = ([*cells, label, f"{share:.6f}"] for cells, (label, share) in zip(given, answers, strict=True))
    write_csv(path, [*columns, *added], rows)
