"""LoRA: a small change of low rank is learned beside each weight, which itself stays as it is.

Hu et al. 2021, https://arxiv.org/abs/2106.09685: W x becomes W x + (alpha / rank) B A x. A starts at random, B at zero,
so that nothing changes at first; `merge` adds B A to W in the end, after which the network is an ordinary one again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn


class LoRALinear(nn.Module):
    """A linear map that is kept, and beside it two thin ones that learn."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.lora_a = nn.Parameter(base.weight.new_empty(rank, base.in_features))  # (R, I)
        self.lora_b = nn.Parameter(base.weight.new_zeros(base.out_features, rank))  # (O, R)
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))
        self.scale = alpha / rank

    def forward(self, x: Tensor) -> Tensor:
        """(..., I) to (..., O)."""
        added: Tensor = self.base(x) + (x @ self.lora_a.T @ self.lora_b.T) * self.scale
        return added

    @property
    def weight(self) -> Tensor:
        """As it will be: torch's fused encoder layer reads it, past `forward`."""
        return self.base.weight + self.change()

    @property
    def bias(self) -> Tensor | None:
        return self.base.bias

    def change(self) -> Tensor:
        """(O, I), what `merge` adds to the weight."""
        return self.scale * self.lora_b @ self.lora_a


class LoRAConv2d(nn.Module):
    """A convolution that is kept, and beside it one with R filters and a pointwise one, which learn."""

    def __init__(self, base: nn.Conv2d, rank: int, alpha: float) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.lora_a = nn.Parameter(base.weight.new_empty(rank, *base.weight.shape[1:]))  # (R, I, K, K)
        self.lora_b = nn.Parameter(base.weight.new_zeros(base.out_channels, rank, 1, 1))  # (O, R, 1, 1)
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))
        self.scale = alpha / rank

    def forward(self, x: Tensor) -> Tensor:
        """(B, I, H, W) to (B, O, H', W')."""
        base = self.base
        thin = base._conv_forward(x, self.lora_a, None)  # with its stride, padding and dilation
        added: Tensor = base(x) + nn.functional.conv2d(thin, self.lora_b) * self.scale
        return added

    def change(self) -> Tensor:
        """(O, I, K, K), what `merge` adds to the weight."""
        return self.scale * torch.einsum("or,rikl->oikl", self.lora_b[:, :, 0, 0], self.lora_a)


LoRA = LoRALinear | LoRAConv2d


def adaptable(module: nn.Module) -> bool:
    """Whether there is an adapter for it: a linear map, or a convolution that mixes channels."""
    return type(module) is nn.Linear or (type(module) is nn.Conv2d and module.groups == 1)


def adapt(model: nn.Module, names: Iterable[str], rank: int, alpha: float) -> None:
    """Put an adapter around each of the named modules; nothing else learns from then on."""
    model.requires_grad_(False)
    for name in names:
        parent, _, last = name.rpartition(".")
        owner, module = model.get_submodule(parent), model.get_submodule(name)
        match module:
            case nn.Linear():
                setattr(owner, last, LoRALinear(module, rank, alpha))  # by its name, or by its number in a list
            case nn.Conv2d() if module.groups == 1:
                setattr(owner, last, LoRAConv2d(module, rank, alpha))
            case _:
                raise ValueError(f"{name} is {type(module).__name__}; LoRA is for linear maps and full convolutions.")


@torch.no_grad()
def merge(model: nn.Module) -> nn.Module:
    """Add what the adapters learned to the weights, in place, and take the adapters away."""
    for owner in list(model.modules()):
        for name, child in list(owner.named_children()):
            if isinstance(child, LoRALinear | LoRAConv2d):
                child.base.weight += child.change()
                setattr(owner, name, child.base)
    return model
