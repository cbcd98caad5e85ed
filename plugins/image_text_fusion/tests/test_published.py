"""ViLT on our own encoder: the reference's logits from picture and question, and the published layout."""

# D width

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from demo_app_image_text_fusion import preparing, published
from demo_app_image_text_fusion.answerer import PRECISION, Answerer
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import ViltConfig, ViltForImageAndTextRetrieval, ViltForQuestionAnswering
from transformers.models.vilt.image_processing_pil_vilt import ViltImageProcessorPil

from demo_app import DemoError

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "how", "many", "cats", "are", "there", "?", "##s", "dog"]


def randomised(network: nn.Module) -> nn.Module:
    """Randomize every parameter: fresh norms are 1 and 0, which would hide errors."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in network.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        norm = ("norm" in name.lower() or name == "classifier.1.weight") and name.endswith("weight")
        parameter.data = 1 + 0.1 * noise if norm else 0.05 * noise
    return network.eval()


def publish(folder: Path, kind: type[nn.Module], layers: int, **options: Any) -> nn.Module:
    """Write a reference with random weights in the layout of its repository; returns the reference."""
    folder.mkdir()
    config = ViltConfig(num_hidden_layers=layers, layer_norm_eps=1e-12, **options)
    config.architectures = [kind.__name__]
    network = randomised(kind(config))
    torch.save(network.state_dict(), folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    vocabulary = {word: place for place, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    tokenizer.save(str(folder / "tokenizer.json"))
    return network


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@torch.no_grad()
def reference_logits(network: nn.Module, picture: Image.Image, ids: list[int]) -> torch.Tensor:
    prepared = ViltImageProcessorPil()(picture, return_tensors="pt")
    tokens = torch.tensor([ids])
    return network(
        input_ids=tokens,
        attention_mask=torch.ones_like(tokens),
        pixel_values=prepared["pixel_values"],
        pixel_mask=prepared["pixel_mask"],
    ).logits


@pytest.mark.parametrize("size", [(640, 480), (200, 300), (1000, 200), (384, 384)])
def test_pictures_are_prepared_as_published(size: tuple[int, int]) -> None:
    picture = noise(*size)
    expected = ViltImageProcessorPil()(picture, return_tensors="pt")["pixel_values"]
    found = preparing.normalised(preparing.vilt(picture))
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [(50, 3000), (3000, 50), (1, 1), (5000, 3)])
def test_extreme_pictures_keep_a_row_of_patches(size: tuple[int, int]) -> None:
    wide, high = preparing.vilt_size(*size)
    assert wide % 32 == high % 32 == 0
    assert wide >= 32
    assert high >= 32
    assert max(wide, high) <= 639


@pytest.mark.parametrize("layers", [2, pytest.param(12, marks=pytest.mark.slow)])
def test_answers_have_the_references_logits(tmp_path: Path, layers: int) -> None:
    reference = publish(tmp_path / "vqa", ViltForQuestionAnswering, layers, num_labels=3129)
    answerer = Answerer.load(tmp_path / "vqa", "cpu", exact=True)
    picture, question = noise(640, 480), "How many cats are there?"
    expected = reference_logits(reference, picture, answerer.tokenizer.encode(question).ids)
    output = answerer.fuse(answerer.look(picture), answerer.listen([question]))
    torch.testing.assert_close(output.logits, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(answerer.ask(picture, [question]), expected.sigmoid(), atol=1e-4, rtol=0)
    assert answerer.labels == tuple(f"LABEL_{i}" for i in range(3129))


def test_captions_have_the_references_scores(tmp_path: Path) -> None:
    reference = publish(tmp_path / "coco", ViltForImageAndTextRetrieval, 2)
    answerer = Answerer.load(tmp_path / "coco", "cpu", exact=True)
    picture, captions = noise(300, 500), ["many cats", "a dog there ?"]
    ids = [answerer.tokenizer.encode(caption).ids for caption in captions]
    expected = torch.cat([reference_logits(reference, picture, row) for row in ids])
    found = answerer.fuse(answerer.look(picture), answerer.listen(captions)).logits
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_a_batch_of_questions_gives_what_single_ones_give(tmp_path: Path) -> None:
    publish(tmp_path / "vqa", ViltForQuestionAnswering, 2, num_labels=10)
    answerer = Answerer.load(tmp_path / "vqa", "cpu", exact=True)
    questions = ["how many cats", "dogs ?", "are there many many many dogs ?"]
    together = answerer.ask(noise(320, 240), questions)
    apart = torch.cat([answerer.ask(noise(320, 240), [question]) for question in questions])
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=0)


def test_training_gets_every_parameter_whatever_the_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path / "vqa", ViltForQuestionAnswering, 1, num_labels=10)
    monkeypatch.setenv(PRECISION, "bf16")
    assert Answerer.load(tmp_path / "vqa", "cpu").precision == "bf16"
    exact = Answerer.load(tmp_path / "vqa", "cpu", exact=True)
    assert exact.precision == "fp32"
    assert sum(parameter.numel() for parameter in exact.network.parameters()) == exact.parameters


def test_another_kind_of_network_is_refused() -> None:
    fields = ViltConfig().to_dict() | {"architectures": ["ViltForMaskedLM"]}
    with pytest.raises(DemoError, match="choose another"):
        published.config_of(fields)


def test_loading_imports_no_compiler(tmp_path: Path) -> None:
    """Arithmetic on the meta device makes torch import its compiler: 160 MB and two seconds."""
    code = (
        "import sys; from demo_app_image_text_fusion.answerer import Answerer; "
        "from demo_app_image_text_fusion.checkpoints import WEIGHTS; Answerer.load(WEIGHTS / 'scenes', 'cpu'); "
        "print('torch._dynamo' in sys.modules, 'sympy' in sys.modules)"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    environ = os.environ | {"PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
