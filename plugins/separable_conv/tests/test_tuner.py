"""Fine-tuning on a visitor's own pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from demo_app_separable_conv.checkpoints import WEIGHTS
from demo_app_separable_conv.classifier import Classifier
from demo_app_separable_conv.model import ConvNet
from demo_app_separable_conv.tuner import PictureTuner

from demo_app.finetune.data import Data, read_data
from demo_app.finetune.recipe import Recipe
from demo_app.finetune.run import tune
from demo_app.finetune.strategies import preview
from demo_app.finetune.tuner import start_network
from demo_app.nn import stages

TUNER = PictureTuner()
CIFAR = WEIGHTS / "cifar10"


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return read_data(TUNER.sample(tmp_path_factory.mktemp("shapes")), TUNER.reads, max_rows=None)


@pytest.fixture(scope="module")
def cifar() -> Classifier:
    return TUNER.load(CIFAR)


@pytest.mark.parametrize("name", ["cifar10", "cifar10_attention", "cifar10_dense"])
def test_stage_by_stage_it_computes_what_the_whole_network_does(name: str, shapes: Data) -> None:
    model = TUNER.load(WEIGHTS / name)
    state = TUNER.preprocess(model, stages.collate(TUNER.encode(model, shapes.examples[:3])))
    expected = model.network(*state).logits
    for stage in model.network.stages():
        state = stage(state)
    torch.testing.assert_close(state[0], expected)


@pytest.mark.parametrize("name", ["cifar10", "cifar10_attention"])
def test_every_parameter_is_in_one_stage(name: str) -> None:
    network = TUNER.load(WEIGHTS / name).network
    found = [id(parameter) for stage in network.stages() for parameter in stage.parameters]
    assert sorted(found) == sorted(id(parameter) for parameter in network.parameters())


def test_the_outline_is_the_network_without_its_weights(cifar: Classifier) -> None:
    outline, made = TUNER.outline(CIFAR, ("a", "b")), TUNER.new_network(cifar, ("a", "b"))
    shapes = [{name: tensor.shape for name, tensor in net.state_dict().items()} for net in (outline, made)]
    assert shapes[0] == shapes[1]
    assert TUNER.labels(CIFAR) == cifar.labels


def test_augmentation_changes_pictures_and_nothing_else(cifar: Classifier, shapes: Data) -> None:
    (pixels,) = stages.collate(TUNER.encode(cifar, shapes.examples[:8]))
    torch.manual_seed(0)
    (changed,) = TUNER.augment(cifar, (pixels,))
    assert (changed.shape, changed.dtype) == (pixels.shape, torch.uint8)
    assert not torch.equal(changed, pixels)


def test_frozen_statistics_of_batch_norm_stay_as_they_were(cifar: Classifier, shapes: Data, tmp_path: Path) -> None:
    recipe = Recipe(strategy="layers", layers="blocks.2.*", epochs=2)
    result = tune(TUNER, CIFAR, shapes, recipe, tmp_path / "new")
    before, after = cifar.network.state_dict(), TUNER.load(tmp_path / "new").network.state_dict()
    moved = {n for n, t in after.items() if t.shape == before[n].shape and not torch.allclose(t, before[n], atol=2e-3)}
    assert {name.rsplit(".", 1)[0].split(".")[0] for name in moved} == {"blocks"}
    assert all(name.startswith("blocks.2.") for name in moved)
    assert any("running" in name for name in moved)
    assert result.cached > 5


@pytest.mark.slow
def test_it_tells_shapes_apart_that_it_never_saw(shapes: Data, tmp_path: Path) -> None:
    tuned = tune(TUNER, CIFAR, shapes, Recipe(strategy="layerwise", epochs=12, seed=1), tmp_path / "tuned")
    frozen = tune(TUNER, CIFAR, shapes, Recipe(strategy="freeze", epochs=12, seed=1), tmp_path / "frozen")
    assert tuned.accuracy > 0.8 > tuned.most_frequent
    assert frozen.accuracy > 0.5
    assert frozen.seconds_per_epoch < tuned.seconds_per_epoch / 3
    assert tuned.forgetting is not None
    assert tuned.forgetting.of == "its own answers to the examples held out"
    assert frozen.forgetting is not None
    assert frozen.forgetting.lost == 0


def test_lora_adapts_the_convolutions_that_mix_channels(cifar: Classifier) -> None:
    plan = preview(TUNER, CIFAR, ("a", "b"), Recipe(strategy="lora", rank=4))
    assert {layer.name for layer in plan.layers if layer.trained} >= {"blocks.0.0", "blocks.2.1", "classifier"}
    assert plan.trained < 0.5 * plan.parameters


def test_a_network_for_other_classes_knows_what_the_checkpoint_knows(cifar: Classifier) -> None:
    network = start_network(TUNER, cifar, cifar.labels, ("cat", "zebra"))
    assert isinstance(network, ConvNet)
    assert torch.equal(network.conv_stem.weight, cifar.network.conv_stem.weight)
    assert torch.equal(network.classifier.weight[0], cifar.network.classifier.weight[cifar.labels.index("cat")])
