"""Fine-tuning: which layers learn and how fast (`plans`), from which examples (`data`), how a demo takes part
(`tuner`).

The functions that choose what learns can be imported from here: `from demo_app.finetune import freeze, lora`. They need
torch, which is imported at their first use.
"""

from importlib import import_module
from typing import Any

__all__ = [
    "Layer",
    "Plan",
    "freeze",
    "full",
    "layers",
    "layerwise_lr",
    "lora",
    "merge",
    "train_only",
    "unfreeze_gradually",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("demo_app.finetune.plans"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
