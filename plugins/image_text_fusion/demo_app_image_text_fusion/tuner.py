"""Fine-tuning on a visitor's own pairs of pictures and texts: see `demo_app.finetune.tuner`."""

# N examples, B batch, T tokens, S pixels of a side, C classes

from __future__ import annotations

import copy
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor, nn

from demo_app.finetune.data import Example, open_example
from demo_app.finetune.tuner import Tuner
from demo_app.nn import weights
from demo_app.nn.stages import Row, Tensors
from demo_app_image_text_fusion import preparing, published, scenes
from demo_app_image_text_fusion.answerer import Answerer, config_of
from demo_app_image_text_fusion.make_pairs import make_pairs
from demo_app_image_text_fusion.model import Config, Fusion
from demo_app_image_text_fusion.texts import encode, words_of

ORIGINALS, ORIGINAL_SEED = 200, 2_000_003  # scenes of neither training nor evaluation
SAMPLES, SAMPLE_SEED = 120, 3_000_017  # and further ones


class PairTuner(Tuner[Answerer]):
    """Classifies pictures with a text."""

    reads = ("image", "text")
    head = ("head", "read")

    def load(self, folder: Path) -> Answerer:
        return Answerer.load(folder, "cpu", exact=True)

    def labels(self, folder: Path) -> tuple[str, ...]:
        return _config(folder).labels

    def prepare(self, model: Answerer, examples: Sequence[Example]) -> Answerer:
        """The model with a vector for each new word, if its vocabulary is one of whole words."""
        fields = json.loads(model.tokenizer.to_str())
        known = fields["model"].get("vocab", {})
        new = [word for word in words_of(example.text for example in examples) if word not in known]
        if fields["model"]["type"] != "WordLevel" or not new:
            return model
        fields["model"]["vocab"] |= {word: len(known) + place for place, word in enumerate(new)}
        modalities = tuple(
            replace(modality, inputs=len(known) + len(new)) if modality == model.text else modality
            for modality in model.config.modalities
        )
        network = Fusion(replace(model.config, modalities=modalities))
        own, given = network.state_dict(), model.network.state_dict()
        with torch.no_grad():
            for name, tensor in own.items():
                if tensor.shape == given[name].shape:
                    tensor.copy_(given[name])
                else:  # the table of words
                    tensor[: len(given[name])] = given[name]
                    tensor[len(given[name]) :] *= given[name].std()
        return Answerer(network, Tokenizer.from_str(json.dumps(fields)))

    def network(self, model: Answerer) -> nn.Module:
        return model.network

    def new_network(self, model: Answerer, labels: tuple[str, ...]) -> nn.Module:
        return Fusion(replace(model.config, labels=labels, scores="softmax"))

    def outline(self, folder: Path, labels: tuple[str, ...]) -> nn.Module:
        with weights.empty_weights():
            return Fusion(replace(_config(folder), labels=labels))

    def encode(self, model: Answerer, examples: Sequence[Example]) -> list[Row]:
        """Of each example ids (T,) and mask (T,), padded to one length, and pixels (3, S, S) uint8."""
        most = model.text.places[0]
        ids, mask = encode(model.tokenizer, [example.text for example in examples], most)
        mask = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask
        ids = nn.functional.pad(ids, (0, most - ids.shape[1]))  # (N, T)
        mask = nn.functional.pad(mask, (0, most - mask.shape[1]))
        pixels = [_pixels(model, open_example(example, model.at_least)) for example in examples]
        return list(zip(ids, mask, pixels, strict=True))

    def preprocess(self, model: Answerer, tensors: Tensors) -> Tensors:
        ids, mask, pixels = tensors
        return ids, mask, preparing.scaled(pixels)

    def with_network(self, model: Answerer, network: nn.Module) -> Answerer:
        assert isinstance(network, Fusion)
        return Answerer(network, copy.deepcopy(model.tokenizer))

    def predict(self, model: Answerer, examples: Sequence[Example]) -> Tensor:
        return torch.cat([model.ask(open_example(example, model.at_least), [example.text]) for example in examples])

    def save(self, model: Answerer, folder: Path) -> None:
        model.save(folder)

    def sample(self, folder: Path) -> list[Path]:
        file = make_pairs(folder, SAMPLES, SAMPLE_SEED)
        return [file, folder / "pictures"]

    def original_examples(self, model: Answerer) -> Sequence[Example]:
        """Scenes with questions, for a checkpoint that was trained on scenes."""
        if set(model.labels) != set(scenes.ANSWERS):
            return ()
        made = islice(scenes.asked(ORIGINAL_SEED), ORIGINALS)
        return [
            Example(label=question.answer, text=question.text, picture=partial(_png, scenes.draw(scene)))
            for scene, question in made
        ]


def _png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def _pixels(model: Answerer, picture: Image.Image) -> Tensor:
    """(3, S, S) uint8. ViLT reads pictures of any shape; here they are square, so that they fit into one batch."""
    side = preparing.SHORTER
    seen = picture.resize((side, side)) if model.config.preparation == "vilt" else model.see(picture)
    return torch.from_numpy(np.array(seen)).permute(2, 0, 1)


def _config(folder: Path) -> Config:
    fields = weights.part(folder / "config.json", lambda path: json.loads(path.read_text("utf-8")))
    reader = published.config_of if published.is_published(fields) else config_of
    return weights.part(folder / "config.json", lambda _: reader(fields))
