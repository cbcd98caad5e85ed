"""What `demo-app check --load` finds when it fine-tunes with a plugin's tuner."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from checked_plugins import HEAD, HOOK, assert_only, problems_in
from plugins_on_disk import Plugins
from safetensors.numpy import save_file

TUNER = """
import json

import torch
from torch import nn

from demo_app.nn import weights
from demo_app.finetune.tuner import Tuner


class Counts:
    "Letters are counted, and the counts weighed."

    def __init__(self, network, labels):
        self.network, self.labels = network, labels


def net(labels):
    return nn.Sequential(nn.Linear(26, 8), nn.ReLU(), nn.Linear(8, len(labels)))


class LetterTuner(Tuner):
    reads = ("text",)
    head = ("2",)

    def labels(self, folder):
        return tuple(json.loads((folder / "config.json").read_text())["labels"])

    def load(self, folder):
        with weights.empty_weights():
            network = net(self.labels(folder))
        weights.fill(network, weights.read(folder / "model.safetensors"), "the weights")
        return Counts(network, self.labels(folder))

    def network(self, model):
        return model.network

    def new_network(self, model, labels):
        return net(labels)

    def outline(self, folder, labels):
        with weights.empty_weights():
            return net(labels)

    def encode(self, model, examples):
        letters = "abcdefghijklmnopqrstuvwxyz"
        return [(torch.tensor([float(example.text.count(one)) for one in letters]),) for example in examples]

    def with_network(self, model, network):
        labels = model.labels if network[2].out_features == len(model.labels) else ("no", "yes")
        return Counts(network.eval(), labels)

    def predict(self, model, examples):
        rows = torch.stack([row for (row,) in self.encode(model, examples)])
        return model.network(rows).softmax(-1).detach()

    def save(self, model, folder):
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file(model.network.state_dict(), folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps({"labels": model.labels}))

    def sample(self, folder):
        file = folder / "letters.csv"
        file.write_text("text,label\\n" + "aaa,yes\\nbbb,no\\n" * 10)
        return [file]
"""


@pytest.mark.parametrize(
    ("right", "wrong", "said_of_it"),
    [
        ("", "", ""),
        ('head = ("2",)', 'head = ("head",)', "head names head and the network has none of it; name its last layers"),
        (
            "return net(labels)\n\n    def out",
            "return nn.Linear(26, 2)\n\n    def out",
            "new_network gives another network",
        ),
        (
            "    with weights.empty_weights():\n            return net",
            "    if True:\n            return net",
            "outline has weights",
        ),
        ("bbb,no", "bbb,yes", "All examples are of the class 'yes'"),
        ("class LetterTuner(Tuner):", "class LetterTuner:", "the tuner is a LetterTuner; return an instance of"),
    ],
)
def test_a_tuner_is_checked_by_fine_tuning(
    right: str, wrong: str, said_of_it: str, plugins: Plugins, tmp_path: Path
) -> None:
    weights = plugins.path / "wrong" / "tiny"
    weights.mkdir(parents=True)
    (weights / "config.json").write_text('{"labels": ["x", "y", "z"]}')
    layers = {"0.weight": (8, 26), "0.bias": (8,), "2.weight": (3, 8), "2.bias": (3,)}
    save_file({name: np.ones(shape, np.float32) for name, shape in layers.items()}, weights / "model.safetensors")
    checkpoint = f'Checkpoint(name="tiny", title="Tiny", folder=Path({str(weights)!r}), license="mit")'
    written = TUNER.replace(right, wrong) if right else TUNER
    assert (written == TUNER) == (not right)
    module = f"{tmp_path.name}_tuner"  # what was imported once stays
    code = f"\ndef load_tuner():\n    from {module} import LetterTuner\n    return LetterTuner()\n"
    hook = HOOK.replace("CHECKPOINTS = ()", f"CHECKPOINTS = ({checkpoint},)")
    hook = hook.replace("checkpoints=CHECKPOINTS", "checkpoints=CHECKPOINTS, tuner=load_tuner")
    folder = plugins.add("wrong", HEAD + code + hook, requires=("demo-app", "torch", "safetensors"))
    with (folder / "pyproject.toml").open("a") as file:
        names = ["tiny", *(path.name for path in folder.glob("*.py"))]
        file.write(f"[tool.hatch.build.targets.wheel]\nonly-include = {names}\n")
    (folder / f"{module}.py").write_text(written)
    assert_only(problems_in(folder, load=True), *([said_of_it] if said_of_it else []))
