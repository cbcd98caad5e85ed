"""What is trained, and how fast: freezing, chosen layers, layer-wise rates, gradual unfreezing, LoRA.

For any `nn.Module`. Each function sets `requires_grad` and returns a `Plan`, which prints as a table and makes the
optimiser:

>>> model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
>>> print(freeze(model))
layer  parameters  trained  learning rate
0              72  no
2              18  yes      0.001
18 of 90 parameters are trained (20 %)

A layer is a child of the network or, if the child is a list of blocks, each of its blocks. Layers are in the order in
which the network created them. `demo_app.training.trainer` trains, `demo_app.nn.stages` computes the frozen beginning
only once.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from demo_app.errors import InputError
from demo_app.finetune import adapters
from demo_app.finetune.adapters import merge

__all__ = ["Layer", "Plan", "freeze", "full", "layers", "layerwise_lr", "lora", "merge", "train_only"]
__all__ += ["unfreeze_gradually"]

NUMBERED = re.compile(r"(^|\.)\d+(\.|$)")
SHOWN = 24  # names listed in an error


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A row of a plan."""

    name: str
    parameters: int
    trained: int  # of the parameters; with LoRA only some
    learning_rate: float | None  # None if nothing is trained


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a strategy trains in a network, and how fast."""

    strategy: str
    layers: tuple[Layer, ...]
    groups: tuple[dict[str, Any], ...]  # parameter groups for an optimiser
    matched: tuple[str, ...] = ()  # names of what `train_only` or `lora` trains

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @property
    def trained(self) -> int:
        return sum(layer.trained for layer in self.layers)

    def optimizer(self, betas: tuple[float, float] = (0.9, 0.999)) -> torch.optim.Optimizer:
        """AdamW (Loshchilov and Hutter 2017, https://arxiv.org/abs/1711.05101) on the plan's groups."""
        return torch.optim.AdamW([dict(group) for group in self.groups], betas=betas, fused=True)

    def table(self) -> list[tuple[str, str, str, str]]:
        """Name, number of parameters, trained or not, and learning rate of each layer, as texts."""
        return [(layer.name, f"{layer.parameters:,}", _trained(layer), _rate(layer)) for layer in self.layers]

    def __str__(self) -> str:
        rows = [("layer", "parameters", "trained", "learning rate"), *self.table()]
        wide = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = [f"{a:<{wide[0]}}  {b:>{wide[1]}}  {c:<{wide[2]}}  {d}".rstrip() for a, b, c, d in rows]
        share = 100 * self.trained / max(1, self.parameters)
        return "\n".join([*lines, f"{self.trained:,} of {self.parameters:,} parameters are trained ({share:.3g} %)"])


def _trained(layer: Layer) -> str:
    if not layer.trained:
        return "no"
    return "yes" if layer.trained == layer.parameters else f"{layer.trained:,}"


def _rate(layer: Layer) -> str:
    return "" if layer.learning_rate is None else f"{layer.learning_rate:.3g}"


def layers(model: nn.Module) -> list[tuple[str, nn.Module | nn.Parameter]]:
    """The layers by name, from input to output: the children, and the blocks of children that are lists of blocks."""
    return list(_layers(model, ""))


def _layers(module: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module | nn.Parameter]]:
    yield from ((prefix + name, parameter) for name, parameter in module.named_parameters(recurse=False))
    for name, child in module.named_children():
        lists = any(isinstance(part, nn.ModuleList | nn.ModuleDict) for part in child.modules())
        if lists or type(child) is nn.Sequential:
            yield from _layers(child, f"{prefix}{name}.")
        else:
            yield prefix + name, child


def _parameters(layer: nn.Module | nn.Parameter) -> list[nn.Parameter]:
    return [layer] if isinstance(layer, nn.Parameter) else list(layer.parameters())


def freeze(model: nn.Module, upto: str | int = -1, *, base_lr: float = 1e-3, weight_decay: float = 0.01) -> Plan:
    """Freeze the first layers, up to and including `upto`, and train the rest.

    `upto` is a layer's name, or how many layers to freeze; a negative number counts from the end, so -1 trains only
    the last layer (feature extraction). Raises `InputError` for an unknown layer, or if nothing is left to train.
    """
    known = [(name, layer) for name, layer in layers(model) if _parameters(layer)]
    names = [name for name, _ in known]
    if isinstance(upto, str):
        order = [name for name, _ in model.named_modules() if name]
        if upto not in order and upto not in names:
            raise _no_layer(upto, names)
        before = set(order[: order.index(upto) + 1]) if upto in order else set()
        reached = [n for n, name in enumerate(names, 1) if name in before or _below(name, upto)]
        count = max(reached, default=0)
    else:
        count = upto if upto >= 0 else len(names) + upto
    if not 0 <= count < len(names):
        if not names:
            raise InputError("the model has no layers with parameters.")
        raise InputError(
            "freezing up to {upto} is more than the model has, or leaves nothing to train; choose a layer before "
            "{last}, or a number from -{count} to {most}.",
            upto=repr(upto),
            last=repr(names[-1]),
            count=len(names),
            most=len(names) - 1,
        )
    for place, (_, layer) in enumerate(known):
        for parameter in _parameters(layer):
            parameter.requires_grad_(place >= count)
    return _plan("freeze", model, lambda _: base_lr, weight_decay)


def _below(name: str, other: str) -> bool:
    return name == other or name.startswith(f"{other}.") or other.startswith(f"{name}.")


def train_only(
    model: nn.Module,
    patterns: str | re.Pattern[str] | Sequence[str | re.Pattern[str]],
    *,
    base_lr: float = 1e-3,
    weight_decay: float = 0.01,
) -> Plan:
    """Train the named layers, freeze all others.

    A pattern is a glob such as `layers.3` or `*.attention.*`, or a regular expression: `re.compile(...)`, or a text
    that starts with `re:`. It must match the whole name of a module or parameter; everything inside a matched module is
    trained. `Plan.matched` has the names. Raises `InputError` for a pattern that matches nothing.
    """
    matched = _matched(model, patterns)
    chosen = {id(parameter) for name, parameter in _named(model) if inside(name, matched)}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in chosen)
    return _plan("layers", model, lambda _: base_lr, weight_decay, matched)


def _named(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Parameters by name; tied ones by each of their names."""
    return model.named_parameters(remove_duplicate=False)


def inside(name: str, outer: Iterable[str]) -> bool:
    """Whether the name is one of `outer`, or inside one."""
    return any(name == one or name.startswith(f"{one}.") for one in outer)


def _matched(model: nn.Module, patterns: str | re.Pattern[str] | Sequence[str | re.Pattern[str]]) -> tuple[str, ...]:
    """Names of the outermost modules and parameters that match a pattern."""
    wanted = [patterns] if isinstance(patterns, str | re.Pattern) else list(patterns)
    trainable = {name for name, module in model.named_modules() if name and any(True for _ in module.parameters())}
    names = [name for name, _ in model.named_modules() if name in trainable]
    names += [name for name, _ in _named(model)]
    found: set[str] = set()
    for pattern in wanted:
        here = [name for name in names if _matches(pattern, name)]
        if not here:
            text = pattern.pattern if isinstance(pattern, re.Pattern) else pattern
            raise _no_layer(text, [name for name, layer in layers(model) if _parameters(layer)])
        found.update(here)
    return tuple(name for name in names if name in found and not any(name.startswith(f"{one}.") for one in found))


def _matches(pattern: str | re.Pattern[str], name: str) -> bool:
    if isinstance(pattern, str) and not pattern.startswith("re:"):
        return fnmatch.fnmatchcase(name, pattern)
    text = pattern.removeprefix("re:") if isinstance(pattern, str) else pattern
    try:
        return re.fullmatch(text, name) is not None
    except re.error as error:
        raise InputError(
            "{pattern} is no regular expression ({error}); fix it.", pattern=repr(text), error=str(error)
        ) from error


def _no_layer(pattern: str, names: Sequence[str]) -> InputError:
    near = difflib.get_close_matches(pattern, names, n=1)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return InputError(
        "no layer matches {pattern} (there are: {known}); {hint}",
        pattern=repr(pattern[:60]),
        known=", ".join(names[:SHOWN]) + more,
        hint=f"did you mean {near[0]!r}?" if near else "choose some of them.",
    )


def full(model: nn.Module, *, base_lr: float = 1e-3, weight_decay: float = 0.01) -> Plan:
    """Train everything, at one rate."""
    model.requires_grad_(True)
    return _plan("full", model, lambda _: base_lr, weight_decay)


def layerwise_lr(model: nn.Module, base_lr: float = 1e-3, decay: float = 0.8, *, weight_decay: float = 0.01) -> Plan:
    """Train everything, each layer at `decay` times the rate of the layer above it; embeddings or the stem slowest.

    Discriminative fine-tuning (Howard and Ruder 2018, https://arxiv.org/abs/1801.06146), as in ELECTRA and BEiT.
    `base_lr` is the rate of the last layer. Norms and biases get no weight decay, here as in every plan.
    """
    _check_share("decay", decay)
    model.requires_grad_(True)
    depths = _depths(model)
    top = max(depths.values(), default=0)
    return _plan("layerwise", model, lambda name: base_lr * decay ** (top - depths[name]), weight_decay)


def unfreeze_gradually(
    model: nn.Module,
    epoch: int,
    *,
    every: int = 1,
    base_lr: float = 1e-3,
    decay: float = 1.0,
    weight_decay: float = 0.01,
) -> Plan:
    """Train the last layer first, and one more layer after every `every` epochs (Howard and Ruder 2018).

    Call it at the start of each epoch, counted from 0. The groups hold all parameters, so the optimiser is made once,
    from the first plan: it skips those that are frozen.
    """
    _check_share("decay", decay)
    if every < 1:
        raise InputError("a layer more every {every} epochs is not possible; choose 1 or more.", every=every)
    depths = _depths(model)
    top = max(depths.values(), default=0)
    for name, layer in layers(model):
        for parameter in _parameters(layer):
            parameter.requires_grad_(top - depths[name] <= epoch // every)
    rates = {name: base_lr * decay ** (top - depth) for name, depth in depths.items()}
    return _plan("gradual", model, lambda name: rates[name], weight_decay, everything=True)


def lora(
    model: nn.Module,
    rank: int = 8,
    alpha: float | None = None,
    patterns: str | Sequence[str] | None = None,
    *,
    also: Sequence[str] = (),
    base_lr: float = 1e-3,
    weight_decay: float = 0.0,
) -> Plan:
    """Freeze the weights and train a change of rank `rank` beside each linear map (see `demo_app.finetune.adapters`).

    `patterns` name the maps as in `train_only`; by default, all maps inside numbered blocks. The last layer and the
    layers in `also` are trained whole, without adapters. `alpha` scales the change; default: twice the rank. `merge`
    makes it an ordinary network again. Raises `InputError` if nothing matches, for a rank below 1, and for a network
    that has adapters already.
    """
    if rank < 1:
        raise InputError("rank {rank} is too small for LoRA; choose 1 or more.", rank=rank)
    if any(isinstance(module, adapters.LoRA) for module in model.modules()):
        raise InputError("the model has LoRA's adapters already; merge them first.")
    last = [name for name, layer in layers(model) if _parameters(layer)][-1:]
    whole = (*last, *(_matched(model, also) if also else ()))
    names = [name for name, module in model.named_modules() if adapters.adaptable(module)]
    if patterns is None:
        chosen = [name for name in names if NUMBERED.search(name)]
    else:
        matched = _matched(model, patterns)
        chosen = [name for name in names if inside(name, matched)]
    chosen = [name for name in chosen if not inside(name, whole)]
    if not chosen:
        raise InputError(
            "no linear map is left for LoRA (there are: {known}); name some of them.", known=", ".join(names[:SHOWN])
        )
    adapters.adapt(model, chosen, rank, 2.0 * rank if alpha is None else alpha)
    for name, parameter in _named(model):
        if inside(name, whole):
            parameter.requires_grad_(True)
    return _plan("lora", model, lambda _: base_lr, weight_decay, (*chosen, *whole))


def _check_share(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise InputError("{name} {value} is no share; choose more than 0 and up to 1.", name=name, value=value)


def _depths(model: nn.Module) -> dict[str, int]:
    """How far each layer is from the input: 0 for all before the first numbered block, then one more per layer.

    A layer of norms alone has the depth of the layer before it.
    """
    known = layers(model)
    blocks = any(NUMBERED.search(name) for name, _ in known)
    depth, found = 0, {}
    for place, (name, layer) in enumerate(known):
        blocks = blocks and not NUMBERED.search(name)  # still before the first one
        if place and not blocks and any(parameter.ndim > 1 for parameter in _parameters(layer)):
            depth += 1
        found[name] = depth
    return found


def _plan(
    strategy: str,
    model: nn.Module,
    rate_of: Callable[[str], float],
    weight_decay: float,
    matched: tuple[str, ...] = (),
    *,
    everything: bool = False,
) -> Plan:
    """The plan of what `requires_grad` says. With `everything`, the groups hold frozen parameters too."""
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    rows, seen = [], set[int]()
    for name, layer in layers(model):
        own = [
            p for p in _parameters(layer) if id(p) not in seen
        ]  # tied weights belong to the first layer that has them
        seen.update(map(id, own))
        trained = [p for p in own if p.requires_grad]
        for parameter in own if everything else trained:
            groups.setdefault((rate_of(name), parameter.ndim > 1), []).append(parameter)
        if own:
            count = sum(p.numel() for p in trained)
            rate = rate_of(name) if count else None
            rows.append(Layer(name=name, parameters=sum(p.numel() for p in own), trained=count, learning_rate=rate))
    return Plan(
        strategy=strategy,
        layers=tuple(rows),
        groups=tuple(
            {"params": group, "lr": rate, "weight_decay": weight_decay if decays else 0.0}
            for (rate, decays), group in groups.items()
        ),
        matched=matched,
    )
