"""Fine-tuning: what is trained and how fast (`plans`), on which examples (`data`), and what a demo provides (`tuner`).

The functions that choose what is trained can be imported from here: `from demo_app.finetune import freeze, lora`. They
need torch, which is imported when the first of them is used.
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
