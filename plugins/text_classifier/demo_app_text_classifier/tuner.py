"""How a text classifier is fine-tuned on sentences: see `demo_app.finetune.tuner`."""

# N examples, T tokens, C classes

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from demo_app.finetune.data import Example
from demo_app.finetune.tuner import Tuner
from demo_app.nn import weights
from demo_app.nn.stages import Row
from demo_app_text_classifier import published, sample
from demo_app_text_classifier.classifier import Classifier, read_config
from demo_app_text_classifier.model import Config, TextClassifier
from demo_app_text_classifier.originals import originals


class TextTuner(Tuner[Classifier]):
    """Sentences and their classes."""

    reads = ("text",)
    head = ("head_hidden", "head")

    def load(self, folder: Path) -> Classifier:
        return Classifier.load(folder, "cpu")

    def labels(self, folder: Path) -> tuple[str, ...]:
        return _config(folder).labels

    def network(self, model: Classifier) -> nn.Module:
        return model.network

    def new_network(self, model: Classifier, labels: tuple[str, ...]) -> nn.Module:
        return TextClassifier(replace(model.config, labels=labels))

    def outline(self, folder: Path, labels: tuple[str, ...]) -> nn.Module:
        with weights.empty_weights():
            return TextClassifier(replace(_config(folder), labels=labels))

    def encode(self, model: Classifier, examples: Sequence[Example]) -> list[Row]:
        """ids (T,) and mask (T,) of each example, truncated to what the network reads."""
        encodings = model.tokenizer.encode_batch([example.text for example in examples])
        return [(torch.tensor(one.ids), torch.ones(len(one.ids), dtype=torch.bool)) for one in encodings]

    def with_network(self, model: Classifier, network: nn.Module) -> Classifier:
        assert isinstance(network, TextClassifier)
        return Classifier(network, model.tokenizer)

    def predict(self, model: Classifier, examples: Sequence[Example]) -> Tensor:
        return model.predict([example.text for example in examples])

    def save(self, model: Classifier, folder: Path) -> None:
        model.save(folder)

    def sample(self, folder: Path) -> list[Path]:
        return sample.write(folder)

    def original_examples(self, model: Classifier) -> Sequence[Example]:
        """The set with the model's classes that it answers best: the one in its language, if there are several."""

        def accuracy(examples: Sequence[Example]) -> float:
            answers = [model.labels[place] for place in self.predict(model, examples).argmax(1).tolist()]
            return sum(answer == one.label for answer, one in zip(answers, examples, strict=True)) / len(examples)

        return max(originals(model.labels), key=accuracy, default=())


def _config(folder: Path) -> Config:
    """The `Config` of a checkpoint, ours or a published one."""
    fields = weights.part(folder / "config.json", lambda path: json.loads(path.read_text("utf-8")))
    reader = published.config_of if published.is_published(fields) else lambda _: read_config(folder / "config.json")
    return weights.part(folder / "config.json", lambda _: reader(fields))
