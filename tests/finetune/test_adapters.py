"""LoRA: nothing changes at first, only the adapters are trained, and the merged network computes the same."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from demo_app.finetune import adapters

RANK, ALPHA = 2, 6.0


def convolution(**more: object) -> nn.Conv2d:
    return nn.Conv2d(4, 6, 3, **more)  # type: ignore[arg-type]


LAYERS = {
    "linear": (lambda: nn.Linear(4, 6), (5, 4)),
    "linear of sequences": (lambda: nn.Linear(4, 6, bias=False), (2, 5, 4)),
    "convolution": (convolution, (2, 4, 9, 8)),
    "stride and padding": (lambda: convolution(stride=2, padding=1, bias=False), (2, 4, 9, 8)),
    "reflected padding": (lambda: convolution(padding=2, padding_mode="reflect"), (2, 4, 9, 8)),
    "dilation": (lambda: convolution(dilation=(2, 1), padding="same"), (2, 4, 9, 8)),
    "pointwise": (lambda: nn.Conv2d(4, 6, 1), (2, 4, 9, 8)),
}


def trained(layer: nn.Module, x: Tensor, steps: int = 3) -> nn.Sequential:
    """An adapted network after a few steps."""
    network = nn.Sequential(layer, nn.Tanh())
    adapters.adapt(network, ["0"], RANK, ALPHA)
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.5)
    for _ in range(steps):
        optimizer.zero_grad()
        (network(x) - 0.5).square().mean().backward()
        optimizer.step()
    return network


@pytest.mark.parametrize("name", LAYERS)
def test_nothing_changes_at_first_and_merging_keeps_the_output(name: str) -> None:
    torch.manual_seed(0)
    make, shape = LAYERS[name]
    layer, x = make(), torch.randn(shape)
    untouched = copy.deepcopy(layer)
    torch.testing.assert_close(trained(layer, x, steps=0)(x), untouched(x).tanh())

    layer = copy.deepcopy(untouched)
    network = trained(layer, x)
    adapted = network(x)
    assert not torch.allclose(adapted, untouched(x).tanh(), atol=1e-2)
    assert torch.equal(layer.weight, untouched.weight)  # the weight itself is unchanged, until
    assert adapters.merge(network)[0] is layer
    torch.testing.assert_close(network(x), adapted)
    assert not torch.equal(layer.weight, untouched.weight)
    assert network.state_dict().keys() == nn.Sequential(untouched).state_dict().keys()


def test_the_change_has_the_rank_and_is_scaled() -> None:
    torch.manual_seed(0)
    adapter = adapters.LoRALinear(nn.Linear(10, 8), rank=3, alpha=6.0)
    nn.init.normal_(adapter.lora_b)
    assert torch.linalg.matrix_rank(adapter.change()).item() == 3
    torch.testing.assert_close(adapter.change(), 2.0 * adapter.lora_b @ adapter.lora_a)


def test_only_the_adapters_are_trained() -> None:
    network = trained(nn.Linear(4, 6), torch.randn(5, 4), steps=1)
    learning = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert learning == {"0.lora_a", "0.lora_b"}
    assert network[0].base.weight.grad is None


def test_torchs_encoder_computes_the_same_with_adapters_in_its_fused_kernel() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
    adapters.adapt(layer, ["linear1", "linear2"], RANK, ALPHA)
    for adapter in (layer.linear1, layer.linear2):
        nn.init.normal_(adapter.lora_b)
    x = torch.randn(2, 5, 16)
    plain = layer.train()(x)
    with torch.no_grad():
        fused = layer.eval()(x)  # reads the weights without calling `forward`
    torch.testing.assert_close(fused, plain, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(adapters.merge(layer).train()(x), plain, atol=1e-5, rtol=1e-4)


def test_a_module_without_an_adapter_is_an_error() -> None:
    depthwise = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.LayerNorm(4))
    assert not any(adapters.adaptable(module) for module in depthwise)
    for name in ("0", "1"):
        with pytest.raises(ValueError, match=f"{name} is .*; LoRA is for linear maps and full convolutions"):
            adapters.adapt(depthwise, [name], RANK, ALPHA)
