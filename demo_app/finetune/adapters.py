"""LoRA: a low-rank change is trained beside each weight, which itself stays frozen.

Hu et al. 2021, https://arxiv.org/abs/2106.09685: W x becomes W x + (alpha / rank) B A x. A starts at random, B at zero,
so that nothing changes at first; `merge` finally adds B A to W and removes the adapters.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn


class LoRALinear(nn.Module):
    """A frozen linear map, and beside it two thin ones that are trained."""

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
        """The merged weight, (O, I): torch's fused encoder layer reads it without calling `forward`."""
        return self.base.weight + self.change()

    @property
    def bias(self) -> Tensor | None:
        return self.base.bias

    def change(self) -> Tensor:
        """(O, I): what `merge` adds to the weight."""
        return self.scale * self.lora_b @ self.lora_a


class LoRAConv2d(nn.Module):
    """A frozen convolution, and beside it one with R filters and a pointwise one, which are trained."""

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
        """(O, I, K, K): what `merge` adds to the weight."""
        return self.scale * torch.einsum("or,rikl->oikl", self.lora_b[:, :, 0, 0], self.lora_a)


LoRA = LoRALinear | LoRAConv2d


def adaptable(module: nn.Module) -> bool:
    """Whether there is an adapter for the module: for linear maps, and convolutions without groups."""
    return type(module) is nn.Linear or (type(module) is nn.Conv2d and module.groups == 1)


def adapt(model: nn.Module, names: Iterable[str], rank: int, alpha: float) -> None:
    """Put an adapter around each of the named modules, in place, and freeze everything else.

    Raises `ValueError` for a module that is not `adaptable`.
    """
    model.requires_grad_(False)
    for name in names:
        parent, _, last = name.rpartition(".")
        owner, module = model.get_submodule(parent), model.get_submodule(name)
        match module:
            case nn.Linear():
                setattr(owner, last, LoRALinear(module, rank, alpha))  # works by name, and by number in a list
            case nn.Conv2d() if module.groups == 1:
                setattr(owner, last, LoRAConv2d(module, rank, alpha))
            case _:
                raise ValueError(f"{name} is {type(module).__name__}; LoRA is for linear maps and full convolutions.")


@torch.no_grad()
def merge(model: nn.Module) -> nn.Module:
    """Add the adapters' changes to the weights, in place, and remove the adapters."""
    for owner in list(model.modules()):
        for name, child in list(owner.named_children()):
            if isinstance(child, LoRALinear | LoRAConv2d):
                child.base.weight += child.change()
                setattr(owner, name, child.base)
    return model
