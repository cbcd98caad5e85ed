"""Fine-tuning on a visitor's own pictures: see `demo_app.finetune.tuner`."""

# N examples, B batch, S pixels of a side, L labels

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from demo_app.finetune.data import Example, open_example
from demo_app.finetune.tuner import Tuner
from demo_app.nn import weights
from demo_app.nn.stages import Row, Tensors
from demo_app_separable_conv import published, sample
from demo_app_separable_conv.classifier import Classifier, config_of, normalised
from demo_app_separable_conv.data import augmented, shifted
from demo_app_separable_conv.model import Config, ConvNet


class PictureTuner(Tuner[Classifier]):
    """Classifies pictures."""

    reads = ("image",)
    head = ("classifier",)
    augments = True

    def load(self, folder: Path) -> Classifier:
        return Classifier.load(folder, "cpu")

    def labels(self, folder: Path) -> tuple[str, ...]:
        return _config(folder).labels

    def network(self, model: Classifier) -> nn.Module:
        return model.network

    def new_network(self, model: Classifier, labels: tuple[str, ...]) -> nn.Module:
        return ConvNet(replace(model.config, labels=labels))

    def outline(self, folder: Path, labels: tuple[str, ...]) -> nn.Module:
        with weights.empty_weights():
            return ConvNet(replace(_config(folder), labels=labels))

    def encode(self, model: Classifier, examples: Sequence[Example]) -> list[Row]:
        """The pixels that the network sees of each picture, (3, S, S) uint8."""
        return [(F.pil_to_tensor(model.see(open_example(example, model.config.resize))),) for example in examples]

    def augment(self, model: Classifier, tensors: Tensors) -> Tensors:
        """Random shifts by up to an eighth, and mirror images if the network averages over those in inference."""
        (pixels,) = tensors
        change = v2.Compose(shifted(model.config.crop, mirror=model.config.mirror))
        return (augmented(pixels, change),)

    def preprocess(self, model: Classifier, tensors: Tensors) -> Tensors:
        return (normalised(tensors[0], model.config),)

    def with_network(self, model: Classifier, network: nn.Module) -> Classifier:
        assert isinstance(network, ConvNet)
        return Classifier(network)

    def predict(self, model: Classifier, examples: Sequence[Example]) -> Tensor:
        return model.predict([open_example(example, model.config.resize) for example in examples])

    def save(self, model: Classifier, folder: Path) -> None:
        model.save(folder)

    def sample(self, folder: Path) -> list[Path]:
        return sample.write(folder)


def _config(folder: Path) -> Config:
    fields = weights.part(folder / "config.json", lambda path: json.loads(path.read_text("utf-8")))
    reader = published.config_of if published.is_published(fields) else config_of
    return weights.part(folder / "config.json", lambda _: reader(fields))
