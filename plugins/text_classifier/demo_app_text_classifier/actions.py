"""What a visitor or a client can do: one method per event. Imports no torch before the first event."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from demo_app import InputError, viz
from demo_app.api import display_name
from demo_app.inputs.tables import write_csv
from demo_app.inputs.text import clean
from demo_app.models.batching import MicroBatcher
from demo_app.page.lessons import pick
from demo_app.page.widgets import AVERAGE, index, numbers
from demo_app_text_classifier.data import read_csv
from demo_app_text_classifier.example import example
from demo_app_text_classifier.explain import Seen, best, look, occlude
from demo_app_text_classifier.lessons import LESSONS
from demo_app_text_classifier.shape import Shape
from demo_app_text_classifier.views import (
    CAVEATS,
    difference_view,
    file_view,
    heads_view,
    occlusion_view,
    words_view,
)

if TYPE_CHECKING:
    from demo_app import ModelHandle
    from demo_app_text_classifier.classifier import Classifier

CHUNK = 64  # rows of a file between two steps of its progress bar, at which a visitor who left is noticed


class Actions:
    """The handlers of the tab's events. They draw from `Seen`, which the visitor's session keeps."""

    def __init__(self, handle: ModelHandle[Classifier]) -> None:
        self.handle = handle
        self._batched = {c.name: MicroBatcher(partial(_look_at_all, c.name)) for c in handle.demo.checkpoints}

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
            raise InputError("Choose a checkpoint, and a method from: {methods}.", methods=", ".join(CAVEATS))
        with self._use(checkpoint) as classifier:
            seen = self._look(checkpoint, classifier, usable(str(text or "")))
        check_tokens(seen)
        scores, *views = self._answer(seen, method, str(layer), str(head))
        return label_data(scores), *views

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
        lesson = pick(LESSONS, number)
        with self._use(lesson.checkpoint) as classifier:
            seen = self._look(lesson.checkpoint, classifier, lesson.text)
        scores, words, *rest = self._answer(seen, method, layer, head)
        return lesson.text, lesson.checkpoint, scores, viz.note(lesson.lesson, kind="lesson") + words, *rest

    def fit(self, checkpoint: str, layer: str, head: str) -> tuple[Any, Any, Any]:
        """Fit the pickers of layer and head to the checkpoint; a choice that it does not have becomes the average."""
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
        return words_view(seen, method, *_indices(seen, layer, head))

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
        chosen = _indices(seen, layer, head)
        return words_view(seen, method, *chosen), heads_view(seen, *chosen)

    def open_head(self, seen: Seen | None, method: str, event: gr.EventData) -> tuple[Any, Any, str, str]:
        """A click on a thumbnail: `attention` of that layer and head, which the pickers then offer."""
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
            check_tokens(seen)
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
        if file is None:
            raise InputError("There is no file yet; choose a CSV file with a column 'text'.")
        limit = self.handle.settings.max_text
        rows = read_csv(Path(file), require_label=False, max_rows=self.handle.settings.max_rows)
        total = len(rows.texts)
        answers: list[tuple[str, float]] = []
        with tempfile.TemporaryDirectory(prefix="demo-app-") as folder, self._use(checkpoint) as classifier:
            for start in range(0, total, CHUNK):
                progress((start, total), unit="rows")
                yield gr.skip(), viz.progress(start, total, label="Reading your file")
                texts = [clean(text[:limit]) for text in rows.texts[start : start + CHUNK]]
                answers += best(classifier.labels, classifier.predict(texts))
            target = Path(folder) / f"{display_name(checkpoint)}-answers.csv"
            write_answers(target, rows.columns, rows.records, answers)
            yield str(target), file_view(answers, rows.labels, classifier.labels)
        # Gradio has copied the file into its own cache, where it stays for an hour; ours is deleted here

    @contextmanager
    def _use(self, checkpoint: str) -> Iterator[Classifier]:
        """Lease the model of a checkpoint. Raises `InputError` if it is an encoder without classes."""
        with self.handle.use(checkpoint) as classifier:
            if not classifier.labels:
                raise InputError("This checkpoint has no classes yet; teach it some at Fine-tune, or choose another.")
            yield classifier

    def _look(self, checkpoint: str, classifier: Classifier, text: str) -> Seen:
        """Batched with the texts that others send to the same checkpoint at the same time.

        A visitor's own checkpoint is used by that visitor alone, so its texts are not batched.
        """
        batched = self._batched.get(checkpoint)
        request = classifier, text
        return batched(request) if batched is not None else _look_at_all(checkpoint, [request])[0]

    def _answer(self, seen: Seen, method: str, layer: str, head: str) -> tuple[Any, ...]:
        chosen = _indices(seen, layer, head)
        return seen.scores(), words_view(seen, method, *chosen), heads_view(seen, *chosen), seen


def _look_at_all(checkpoint: str, requests: Sequence[tuple[Classifier, str]]) -> list[Seen]:
    """One look for the texts that came at the same time; all requests lease the same classifier."""
    return look(requests[0][0], [text for _, text in requests], checkpoint=checkpoint)


def _indices(seen: Seen, layer: str, head: str) -> tuple[int | None, int | None]:
    """The pickers' layer and head as indices from 0; `None` is the average."""
    layers, heads = seen.attention.shape[:2]
    return index(layer, layers), index(head, heads)


def label_data(scores: dict[str, float]) -> dict[str, Any]:
    """What `gr.Label` sends to the page: the likeliest label, then all labels in order of probability."""
    ranked = sorted(scores.items(), key=lambda item: -item[1])
    return {"label": ranked[0][0], "confidences": [{"label": label, "confidence": share} for label, share in ranked]}


def usable(text: str | None, name: str = "The text") -> str:
    """The text without characters that the tokenizer cannot read. Raises `InputError` if nothing is left."""
    text = clean(text or "")
    if not text.strip():
        raise InputError("{name} is empty; write a sentence, then try again.", name=name)
    return text


def check_tokens(seen: Seen) -> None:
    """Raise `InputError` if the model read nothing but special tokens."""
    if all(seen.special):
        raise InputError("The text has nothing that the model can read; write a sentence, then try again.")


def write_answers(
    path: Path, columns: list[str], records: list[dict[str, str]], answers: Sequence[tuple[str, float]]
) -> None:
    """Write the file's own columns, then label and probability."""
    added = [f"predicted_{name}" if name in columns else name for name in ("label", "probability")]
    given = ([record[name] for name in columns] for record in records)
    rows = ([*cells, label, f"{share:.6f}"] for cells, (label, share) in zip(given, answers, strict=True))
    write_csv(path, [*columns, *added], rows)
