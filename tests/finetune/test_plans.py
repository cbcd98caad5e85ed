"""Plans for networks from outside this project: what is trained, how fast, and the table."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v2, resnet18

from demo_app import InputError, finetune
from demo_app.finetune import Plan
from demo_app.training.schedule import Schedule
from demo_app.training.trainer import Trainer


class Encoder(nn.Module):
    """Embeddings, torch's own encoder, a norm, a head."""

    def __init__(self, layers: int = 3) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.zeros(8, 16))
        self.embedding = nn.Embedding(20, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers)
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 3)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids) + self.positions[: ids.shape[1]]
        return self.head(self.norm(self.encoder(x)).mean(1))


class Tied(nn.Module):
    """The head reads the table of the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 16)
        self.layers = nn.ModuleList([nn.Linear(16, 16), nn.Linear(16, 16)])
        self.head = nn.Linear(16, 20, bias=False)
        self.head.weight = self.embedding.weight


NAMES = ["positions", "embedding", "encoder.layers.0", "encoder.layers.1", "encoder.layers.2", "norm", "head"]
BLOCK = 2224  # parameters of a layer of the encoder


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder()


def parts(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """The parameters of each layer."""
    layers = finetune.layers(model)
    return {name: [one] if isinstance(one, nn.Parameter) else list(one.parameters()) for name, one in layers}


def trained(model: nn.Module) -> set[str]:
    """The layers of which anything is trained."""
    return {name for name, own in parts(model).items() if any(parameter.requires_grad for parameter in own)}


def rates(plan: Plan) -> dict[str, float | None]:
    return {layer.name: layer.learning_rate for layer in plan.layers}


def test_layers_are_children_and_the_blocks_of_lists(encoder: Encoder) -> None:
    assert [name for name, _ in finetune.layers(encoder)] == NAMES
    assert [name for name, _ in finetune.layers(resnet18())] == [
        *("conv1", "bn1", "relu", "maxpool"),
        *(f"layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)),
        *("avgpool", "fc"),
    ]
    assert [name for name, _ in finetune.layers(mobilenet_v2())][-3:] == ["features.18", "classifier.0", "classifier.1"]


# Freezing


@pytest.mark.parametrize(
    ("upto", "left"),
    [
        (-1, {"head"}),
        (-3, {"encoder.layers.2", "norm", "head"}),
        (0, set(NAMES)),
        (2, set(NAMES[2:])),
        ("embedding", set(NAMES[2:])),
        ("positions", set(NAMES[1:])),
        ("encoder.layers.1", {"encoder.layers.2", "norm", "head"}),
        ("encoder", {"norm", "head"}),
        ("encoder.layers.1.linear1", {"encoder.layers.2", "norm", "head"}),  # a layer is not cut
        ("norm", {"head"}),
    ],
)
def test_the_first_layers_are_frozen_by_name_or_number(encoder: Encoder, upto: str | int, left: set[str]) -> None:
    plan = finetune.freeze(encoder, upto, base_lr=2e-3)
    assert trained(encoder) == left
    assert rates(plan) == {name: 2e-3 if name in left else None for name in NAMES}
    grouped = {id(parameter) for group in plan.groups for parameter in group["params"]}
    assert grouped == {id(parameter) for parameter in encoder.parameters() if parameter.requires_grad}


@pytest.mark.parametrize("upto", [7, 99, -8, "head"])
def test_something_must_be_left_to_train(encoder: Encoder, upto: str | int) -> None:
    with pytest.raises(InputError, match=r"choose a layer before 'head', or a number from -7 to 6\."):
        finetune.freeze(encoder, upto)
    assert trained(encoder) == set(NAMES)


def test_an_unknown_layer_is_an_error_with_the_known_ones(encoder: Encoder) -> None:
    with pytest.raises(InputError, match=r"no layer matches 'encoder.layer.1' \(there are: .*did you mean 'encoder.la"):
        finetune.freeze(encoder, "encoder.layer.1")
    with pytest.raises(InputError, match="no layers with parameters"):
        finetune.freeze(nn.Sequential(nn.ReLU()))


def test_frozen_layers_can_be_trained_again(encoder: Encoder) -> None:
    finetune.freeze(encoder)
    finetune.freeze(encoder, 3)
    assert trained(encoder) == set(NAMES[3:])
    assert finetune.full(encoder).trained == sum(parameter.numel() for parameter in encoder.parameters())


# Chosen layers


@pytest.mark.parametrize(
    ("patterns", "matched"),
    [
        ("head", ["head"]),
        ("encoder.layers.[01]", ["encoder.layers.0", "encoder.layers.1"]),
        (["*.linear1", "norm"], [*(f"encoder.layers.{n}.linear1" for n in range(3)), "norm"]),
        ("encoder.layers.1*", ["encoder.layers.1"]),  # with everything inside
        ("*.2.linear?.bias", ["encoder.layers.2.linear1.bias", "encoder.layers.2.linear2.bias"]),
        (r"re:encoder\.layers\.[12]", ["encoder.layers.1", "encoder.layers.2"]),
        (re.compile(r"(norm|head)\.weight"), ["norm.weight", "head.weight"]),
        ("positions", ["positions"]),
    ],
)
def test_layers_are_chosen_by_glob_or_regular_expression(encoder: Encoder, patterns: Any, matched: list[str]) -> None:
    plan = finetune.train_only(encoder, patterns)
    assert list(plan.matched) == matched
    for name, parameter in encoder.named_parameters():
        assert parameter.requires_grad == any(name == one or name.startswith(f"{one}.") for one in matched), name


def test_a_pattern_that_matches_nothing_is_an_error_with_a_close_match(encoder: Encoder) -> None:
    with pytest.raises(InputError, match=r"no layer matches 'haed' \(there are: positions, .* did you mean 'head'\?"):
        finetune.train_only(encoder, ["head", "haed"])
    assert trained(encoder) == set(NAMES)  # nothing was changed
    with pytest.raises(InputError, match=r"no layer matches 're:x\+' .* choose some of them"):
        finetune.train_only(encoder, "re:x+")
    with pytest.raises(InputError, match=r"'\(' is no regular expression .*; fix it"):
        finetune.train_only(encoder, "re:(")
    many = nn.Sequential(*(nn.Linear(1, 1) for _ in range(40)))
    with pytest.raises(InputError, match="and 16 more"):
        finetune.train_only(many, "none")


# Layer-wise rates


def test_each_layer_is_slower_than_the_one_above_it_and_embeddings_are_slowest(encoder: Encoder) -> None:
    plan = finetune.layerwise_lr(encoder, 1e-3, 0.5)
    found = rates(plan)
    assert found == pytest.approx(
        {
            "positions": 1e-3 / 16,
            "embedding": 1e-3 / 16,
            "encoder.layers.0": 1e-3 / 8,
            "encoder.layers.1": 1e-3 / 4,
            "encoder.layers.2": 1e-3 / 2,
            "norm": 1e-3 / 2,  # with the layer before it
            "head": 1e-3,
        }
    )
    for group in plan.groups:  # the optimiser has the rates of the table
        for parameter in group["params"]:
            (name,) = (name for name, one in encoder.named_parameters() if one is parameter)
            assert group["lr"] == next(rate for layer, rate in found.items() if f"{name}.".startswith(f"{layer}."))


def test_norms_and_biases_do_not_decay(encoder: Encoder) -> None:
    for plan in (finetune.layerwise_lr(encoder, weight_decay=0.1), finetune.full(encoder, weight_decay=0.1)):
        decays = {id(p): group["weight_decay"] for group in plan.groups for p in group["params"]}
        for name, parameter in encoder.named_parameters():
            assert decays[id(parameter)] == (0.0 if name.endswith("bias") or "norm" in name else 0.1), name


def test_a_share_is_between_0_and_1(encoder: Encoder) -> None:
    for decay in (0.0, -1.0, 1.5):
        with pytest.raises(InputError, match="is no share; choose more than 0 and up to 1"):
            finetune.layerwise_lr(encoder, decay=decay)


# Gradual unfreezing


def test_one_more_layer_is_trained_in_each_epoch(encoder: Encoder) -> None:
    expected = [{"head"}, *({*NAMES[first:]} for first in (4, 3, 2, 0, 0))]
    for epoch, wanted in enumerate(expected):
        plan = finetune.unfreeze_gradually(encoder, epoch)
        assert trained(encoder) == wanted
        assert {layer.name for layer in plan.layers if layer.trained} == wanted
        assert sum(len(group["params"]) for group in plan.groups) == len(list(encoder.parameters()))
    finetune.unfreeze_gradually(encoder, 3, every=2)
    assert trained(encoder) == expected[1]
    with pytest.raises(InputError, match="choose 1 or more"):
        finetune.unfreeze_gradually(encoder, 0, every=0)


def test_one_optimiser_serves_all_epochs_of_gradual_unfreezing(encoder: Encoder) -> None:
    before = copy.deepcopy(encoder)
    moved: list[set[str]] = []

    def unfreeze(epoch: int) -> nn.Module:
        finetune.unfreeze_gradually(encoder, epoch)
        return encoder

    def changed(network: nn.Module) -> dict[str, float]:
        old, new = parts(before), parts(network)
        moved.append({name for name in NAMES if not all(map(torch.equal, old[name], new[name]))})
        return {"loss": 0.0}

    optimizer = finetune.unfreeze_gradually(encoder, 0).optimizer()
    batch = (torch.randint(20, (6, 5)), torch.randint(3, (6,)))
    Trainer(encoder, [optimizer], Schedule(epochs=5, steps=5)).fit(
        lambda _: [batch],
        lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1]),
        model=unfreeze,
        evaluate=changed,
    )
    assert moved == [{"head"}, *({*NAMES[first:]} for first in (4, 3, 2, 0))]


# LoRA


def test_adapters_are_trained_beside_each_linear_map_of_a_block_and_merged_into_it(encoder: Encoder) -> None:
    ids = torch.randint(20, (6, 5))
    keys, before = encoder.state_dict().keys(), encoder.eval()(ids)
    plan = finetune.lora(encoder, rank=4, base_lr=0.05)
    maps = [f"encoder.layers.{n}.{name}" for n in range(3) for name in ("linear1", "linear2")]
    assert list(plan.matched) == [*maps, "head"]
    added = 4 * (16 + 32)
    assert plan.trained == 6 * added + 51
    assert plan.parameters == sum(p.numel() for p in Encoder().parameters()) + 6 * added
    assert {n for n, p in encoder.named_parameters() if p.requires_grad} == {
        *(f"{name}.lora_{letter}" for name in maps for letter in "ab"),
        *("head.weight", "head.bias"),
    }
    torch.testing.assert_close(encoder(ids), before)
    Trainer(encoder, [plan.optimizer()], Schedule(epochs=1, steps=3)).fit(
        lambda _: [(ids, torch.randint(3, (6,)))] * 3,
        lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1]),
    )
    adapted = encoder(ids)
    assert not torch.allclose(adapted, before, atol=1e-2)
    assert finetune.merge(encoder) is encoder
    assert encoder.state_dict().keys() == keys
    torch.testing.assert_close(encoder(ids), adapted, atol=1e-5, rtol=1e-4)


def test_maps_of_lora_can_be_named_and_other_layers_trained_whole(encoder: Encoder) -> None:
    plan = finetune.lora(encoder, 2, patterns="encoder.layers.2", also=["norm"])
    assert list(plan.matched) == ["encoder.layers.2.linear1", "encoder.layers.2.linear2", "head", "norm"]
    assert trained(encoder) == {"encoder.layers.2", "norm", "head"}
    with pytest.raises(InputError, match="merge them first"):
        finetune.lora(encoder)


def test_lora_names_what_it_cannot_do(encoder: Encoder) -> None:
    with pytest.raises(InputError, match="rank 0 is too small"):
        finetune.lora(encoder, 0)
    with pytest.raises(InputError, match=r"no linear map is left for LoRA \(there are: encoder.layers.0.linear1"):
        finetune.lora(encoder, patterns="embedding")
    with pytest.raises(InputError, match="no layer matches 'nothing'"):
        finetune.lora(encoder, patterns="nothing")


# The plan


def test_a_plan_is_a_table(encoder: Encoder) -> None:
    plan = finetune.freeze(encoder, "encoder.layers.1", base_lr=5e-4)
    assert str(plan).splitlines() == [
        "layer             parameters  trained  learning rate",
        "positions                128  no",
        "embedding                320  no",
        "encoder.layers.0       2,224  no",
        "encoder.layers.1       2,224  no",
        "encoder.layers.2       2,224  yes      0.0005",
        "norm                      32  yes      0.0005",
        "head                      51  yes      0.0005",
        "2,307 of 7,203 parameters are trained (32 %)",
    ]
    assert plan.table()[4] == ("encoder.layers.2", "2,224", "yes", "0.0005")
    assert str(finetune.lora(encoder, 1)).splitlines()[3].split() == ["encoder.layers.0", "2,320", "96", "0.001"]


def test_tied_weights_are_counted_and_stepped_once_and_found_by_either_name() -> None:
    for plan in (finetune.full(Tied()), finetune.layerwise_lr(Tied())):
        assert plan.parameters == 20 * 16 + 2 * (16 * 16 + 16)
        assert [layer.name for layer in plan.layers] == ["embedding", "layers.0", "layers.1"]
        everything = [id(parameter) for group in plan.groups for parameter in group["params"]]
        assert len(everything) == len(set(everything)) == 5
        plan.optimizer()  # torch rejects a parameter that is in two groups
    for name in ("embedding", "head", "head.weight"):
        model = Tied()
        plan = finetune.train_only(model, name)
        assert plan.matched == (name,)
        assert plan.trained == 320
        assert model.head.weight.requires_grad
        assert not model.layers[0].weight.requires_grad
    model = Tied()
    finetune.freeze(model)
    assert model.embedding.weight.requires_grad  # it is in the last layer


# Published networks


@pytest.mark.parametrize("make", [resnet18, mobilenet_v2], ids=["resnet18", "mobilenet_v2"])
def test_published_networks_are_adapted_by_every_strategy(make: Any) -> None:
    last = "fc" if make is resnet18 else "classifier.1"
    model = make(num_classes=5)
    total = sum(parameter.numel() for parameter in model.parameters())
    head = sum(parameter.numel() for parameter in model.get_submodule(last).parameters())
    assert finetune.freeze(model).trained == head
    assert trained(model) == {last}
    plan = finetune.train_only(model, ["*.0.conv1", last] if make is resnet18 else ["features.1?", last])
    assert head < plan.trained < total
    found = [layer.learning_rate for layer in finetune.layerwise_lr(model, 1e-3, 0.9).layers]
    assert found == sorted(found)
    assert found[0] < found[1] or make is resnet18  # conv1 and bn1 go together
    assert found[-1] == 1e-3
    finetune.unfreeze_gradually(model, 1)
    assert trained(model) == ({"layer4.1", "fc"} if make is resnet18 else {"features.18", last})


def test_a_published_network_is_trained_with_adapters_on_its_convolutions_and_merged() -> None:
    torch.manual_seed(0)
    model = resnet18(num_classes=5)
    keys = list(model.state_dict())
    plan = finetune.lora(model, 2, base_lr=1e-3)
    assert "layer1.0.conv1" in plan.matched
    assert "layer2.0.downsample.0" in plan.matched
    assert plan.matched[-1] == "fc"
    statistics = model.bn1.running_mean.clone()
    pictures, classes = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 3])
    before = model.eval()(pictures)
    Trainer(model, [plan.optimizer()], Schedule(epochs=1, steps=2)).fit(
        lambda _: [(pictures, classes)] * 2,
        lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1]),
    )
    assert torch.equal(model.bn1.running_mean, statistics)
    adapted = model(pictures)
    assert not torch.allclose(adapted, before, atol=1e-3)
    finetune.merge(model)
    assert list(model.state_dict()) == keys
    torch.testing.assert_close(model(pictures), adapted, atol=1e-4, rtol=1e-3)


# The face of the package


def test_the_package_imports_torch_when_a_function_is_used() -> None:
    code = "import sys; from demo_app import finetune; print('torch' in sys.modules); "
    code += "finetune.freeze; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_the_package_offers_its_functions_and_nothing_else() -> None:
    assert all(callable(getattr(finetune, name)) for name in finetune.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'unfreeze'"):
        finetune.unfreeze  # noqa: B018
