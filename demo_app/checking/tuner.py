"""Checks on a demo's tuner: its network is compared with its outlines, and fine-tuned for one epoch."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo_app.api import Demo
from demo_app.checking.report import Findings
from demo_app.errors import DemoError
from demo_app.hub import files

if TYPE_CHECKING:
    from demo_app.finetune.tuner import Tuner


def check_tuner(demo: Demo[Any], found: Findings) -> None:
    """Try the demo's tuner, if it has one, on the first checkpoint that is on this disk."""
    folders = [folder for checkpoint in demo.checkpoints if (folder := files.locate(checkpoint)) is not None]
    if demo.tuner is None or not folders:
        return
    for problem in problems_of(demo.tuner, folders[0]):
        found.add("tuner", f"{demo.name}: {problem}", "")


def problems_of(make: Callable[[], Any], folder: Path) -> Iterator[str]:
    """One sentence for each problem of the tuner that `make` returns, tried on the checkpoint in `folder`."""
    from demo_app.finetune.tuner import Tuner

    try:
        tuner = make()
        if isinstance(tuner, Tuner):
            yield from _problems(tuner, folder)
        else:
            yield f"the tuner is a {type(tuner).__name__}; return an instance of a subclass of Tuner."
    except DemoError as error:
        yield f"{error}" if "; " in str(error) else f"{error}; fix that."
    except Exception as error:
        yield f"{type(error).__name__}: {error}; fix that."


def _problems(tuner: Tuner[Any], folder: Path) -> Iterator[str]:
    """Raises whatever the tuner raises."""
    from demo_app.finetune.tuner import is_head
    from demo_app.nn import stages

    labels = tuner.labels(folder)
    model = tuner.load(folder)
    network, outline = tuner.network(model), tuner.outline(folder, labels)
    shapes = _shapes(network)
    for name, other in (("outline", outline), ("new_network", tuner.new_network(model, labels))):
        if (others := _shapes(other)) != shapes:
            differing = min(key for key in {*others, *shapes} if others.get(key) != shapes.get(key))
            yield f"{name} gives another network than the checkpoint's ({differing}); make them of one config."
            return
    if any(not parameter.is_meta for parameter in outline.parameters()):
        yield "outline has weights; make it in demo_app.nn.weights.empty_weights()."
    if not any(is_head(tuner, name) for name, _ in network.named_parameters()):
        named = ", ".join(tuner.head) or "nothing"
        yield f"head names {named} and the network has none of it; name its last layers."
        return
    if isinstance(network, stages.Staged):
        in_stages = {id(parameter) for stage in network.stages() for parameter in stage.parameters}
        left_out = [name for name, parameter in network.named_parameters() if id(parameter) not in in_stages]
        if left_out:
            yield f"stages() leaves out {left_out[0]}; name the modules that each stage reads."
    yield from _problems_of_training(tuner, folder)


def _shapes(network: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def _problems_of_training(tuner: Tuner[Any], folder: Path) -> Iterator[str]:
    """Fine-tune on the tuner's own sample for one epoch, if it has a sample."""
    from demo_app.finetune.data import check, read_data
    from demo_app.finetune.recipe import Recipe
    from demo_app.finetune.run import tune

    with tempfile.TemporaryDirectory(prefix="demo-app-check-") as name:
        place = Path(name)
        sample = tuner.sample(place)
        if not sample:
            return
        data = read_data(sample, tuner.reads, max_rows=None)
        check(data)
        tune(tuner, folder, data, Recipe(strategy="freeze", epochs=1), place / "new")
        if set(tuner.labels(place / "new")) != set(data.labels):
            yield "what was trained does not have the classes of the sample; save the network's own labels."
