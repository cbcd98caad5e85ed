"""What is wrong with a plugin's tuner: takes its models apart, puts them together, and trains for an epoch."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from demo_app.errors import DemoError


def problems_of(make: Callable[[], Any], folder: Path) -> Iterator[str]:
    """Sentences about the tuner that `make` makes, tried on the checkpoint in `folder`."""
    from demo_app.finetune.data import check, read_data
    from demo_app.finetune.recipe import Recipe
    from demo_app.finetune.run import tune
    from demo_app.finetune.tuner import Tuner, is_head
    from demo_app.nn import stages

    try:
        tuner = make()
        if not isinstance(tuner, Tuner):
            yield f"the tuner is a {type(tuner).__name__}; return an instance of a subclass of Tuner."
            return
        labels = tuner.labels(folder)
        model = tuner.load(folder)
        network, outline = tuner.network(model), tuner.outline(folder, labels)
        new = tuner.new_network(model, labels)
        shapes = [{name: tuple(t.shape) for name, t in net.state_dict().items()} for net in (network, outline, new)]
        for shape, name in zip(shapes[1:], ("outline", "new_network"), strict=True):
            if shape != shapes[0]:
                odd = sorted(name for name in {*shape, *shapes[0]} if shape.get(name) != shapes[0].get(name))
                yield f"{name} gives another network than the checkpoint's ({odd[0]}); make them of one config."
                return
        if any(not parameter.is_meta for parameter in outline.parameters()):
            yield "outline has weights; make it in demo_app.nn.weights.empty_weights()."
        names = [name for name, _ in network.named_parameters()]
        if not any(is_head(tuner, name) for name in names):
            named = ", ".join(tuner.head) or "nothing"
            yield f"head names {named} and the network has none of it; name its last layers."
            return
        if isinstance(network, stages.Staged):
            told = {id(parameter) for stage in network.stages() for parameter in stage.parameters}
            lost = [name for name, parameter in network.named_parameters() if id(parameter) not in told]
            if lost:
                yield f"stages() leaves out {lost[0]}; name the modules that each stage reads."
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
    except DemoError as error:
        yield f"{error}" if "; " in str(error) else f"{error}; fix that."
    except Exception as error:
        yield f"{type(error).__name__}: {error}; fix that."
