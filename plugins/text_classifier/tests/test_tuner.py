"""Fine-tuning a text classifier on sentences."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from demo_app_text_classifier.checkpoints import WEIGHTS
from demo_app_text_classifier.classifier import Classifier
from demo_app_text_classifier.model import Config, TextClassifier
from demo_app_text_classifier.tuner import TextTuner
from tokenizers import Tokenizer

from demo_app import DemoError, InputError, finetune
from demo_app.finetune.data import Data, Example, read_data
from demo_app.finetune.recipe import STRATEGIES, Recipe
from demo_app.finetune.run import Listener, tune
from demo_app.finetune.strategies import in_checkpoint_order, preview
from demo_app.finetune.tuner import start_network, with_old_head
from demo_app.nn import stages

ROOT = Path(__file__).parents[3]
SST2 = WEIGHTS / "sst2"
TUNER = TextTuner()


@pytest.fixture(scope="module")
def topics(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return read_data(TUNER.sample(tmp_path_factory.mktemp("topics")), TUNER.reads, max_rows=None)


@pytest.fixture(scope="module")
def sst2() -> Classifier:
    return TUNER.load(SST2)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A checkpoint with random weights: three post-norm layers, as in published checkpoints."""
    torch.manual_seed(0)
    shape = {"width": 16, "heads": 2, "layers": 3, "feed_forward": 32, "norm": "post", "head_hidden": True}
    config = Config(labels=("no", "yes"), vocab_size=12000, max_tokens=32, **shape)
    Classifier(TextClassifier(config), Tokenizer.from_file(str(SST2 / "tokenizer.json"))).save(tmp_path / "small")
    return tmp_path / "small"


@pytest.mark.parametrize("name", ["sst2", "emotion", "zh_reviews"])
def test_the_stages_compute_what_the_whole_network_does(name: str) -> None:
    model = TUNER.load(WEIGHTS / name)
    texts = ("a fine film", "it is not bad, but far too long for what it says", "房间很大")
    ids, mask = stages.collate(TUNER.encode(model, [Example(label="", text=text) for text in texts]))
    state: stages.Tensors = (ids, mask)
    for stage in model.network.stages():
        state = stage(state)
    torch.testing.assert_close(state[0], model.network(ids, mask).logits)


def test_every_parameter_is_in_one_stage(sst2: Classifier) -> None:
    found = [id(parameter) for stage in sst2.network.stages() for parameter in stage.parameters]
    assert sorted(found) == sorted(id(parameter) for parameter in sst2.network.parameters())


def test_the_outline_is_the_network_without_its_weights(sst2: Classifier) -> None:
    outline = TUNER.outline(SST2, ("a", "b", "c"))
    made = TUNER.new_network(sst2, ("a", "b", "c"))
    shapes = [{name: tensor.shape for name, tensor in net.state_dict().items()} for net in (outline, made)]
    assert shapes[0] == shapes[1]
    assert all(parameter.is_meta for parameter in outline.parameters())
    assert TUNER.labels(SST2) == sst2.labels


def test_a_new_head_keeps_what_is_known_of_classes_of_the_same_name(sst2: Classifier) -> None:
    network = start_network(TUNER, sst2, sst2.labels, ("neutral", "positive"))
    assert isinstance(network, TextClassifier)
    assert torch.equal(network.head.weight[1], sst2.network.head.weight[1])
    assert not torch.equal(network.head.weight[0], sst2.network.head.weight[0])
    assert torch.equal(network.head_hidden.weight, sst2.network.head_hidden.weight)
    assert torch.equal(network.token_embedding.weight, sst2.network.token_embedding.weight)
    fresh = start_network(TUNER, sst2, sst2.labels, ("neutral", "positive"), scratch=True)
    assert not torch.equal(
        fresh.state_dict()["layers.0.ln_1.weight"].sum() * 0, fresh.state_dict()["head.weight"].sum()
    )
    assert not torch.equal(fresh.state_dict()["token_embedding.weight"], sst2.network.token_embedding.weight)


def test_the_old_head_on_what_did_not_change_answers_as_before(sst2: Classifier) -> None:
    network = start_network(TUNER, sst2, sst2.labels, ("a", "b", "c"))
    again = with_old_head(TUNER, sst2, sst2.labels, network)
    texts = ["a warm and funny film", "dull"]
    torch.testing.assert_close(again.predict(texts), sst2.predict(texts))


def test_classes_that_are_the_same_keep_the_checkpoint_s_order() -> None:
    assert in_checkpoint_order(("negative", "positive"), ("positive", "negative")) == ("positive", "negative")
    assert in_checkpoint_order(("a", "b"), ("positive", "negative")) == ("a", "b")


def test_the_plan_is_known_before_anything_is_loaded() -> None:
    plan = preview(TUNER, SST2, ("a", "b", "c"), Recipe(strategy="layers", layers="layers.2.*"))
    assert [layer.name for layer in plan.layers if layer.trained] == ["layers.2", "head_hidden", "head"]
    same = preview(TUNER, SST2, ("positive", "negative"), Recipe(strategy="layers", layers="layers.2.*"))
    assert [layer.name for layer in same.layers if layer.trained] == ["layers.2"]  # its head knows these classes
    with pytest.raises(InputError, match=r"no layer matches 'layer\.2' .*did you mean 'layers\.2'"):
        preview(TUNER, SST2, ("a", "b"), Recipe(strategy="layers", layers="layer.2"))


def test_an_encoder_without_a_head_gets_one(topics: Data, tmp_path: Path) -> None:
    shape = {"width": 16, "heads": 2, "layers": 2, "feed_forward": 32, "norm": "post", "pooling": "mean"}
    config = Config(labels=(), vocab_size=12000, max_tokens=32, **shape)
    tokenizer = Tokenizer.from_file(str(SST2 / "tokenizer.json"))
    Classifier(TextClassifier(config), tokenizer).save(tmp_path / "encoder")
    assert [layer.name for layer in preview(TUNER, tmp_path / "encoder", ("a", "b"), Recipe()).layers][-1] == "head"
    for strategy in STRATEGIES:
        recipe = Recipe(strategy=strategy, layers="layers.1" if strategy == "layers" else "", epochs=1)
        result = tune(TUNER, tmp_path / "encoder", topics, recipe, tmp_path / strategy)
        assert strategy != "freeze" or result.trained == 17 * len(topics.labels)
        assert result.forgetting is None  # it had no task to forget
        assert TUNER.labels(tmp_path / strategy) == topics.labels


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_learns_and_saves(strategy: str, topics: Data, tmp_path: Path) -> None:
    layers = "layers.2.*" if strategy == "layers" else ""
    plans: list[finetune.Plan] = []
    told: list[float] = []
    listener = Listener(planned=plans.append, progress=lambda now: told.append(now.loss))
    recipe = Recipe(strategy=strategy, layers=layers, epochs=3, rank=4)
    result = tune(TUNER, SST2, topics, recipe, tmp_path / "new", listener=listener)
    assert (result.steps, result.examples + result.held_out) == (len(told) - 3, len(topics.examples))
    assert result.labels == topics.labels
    assert sum(map(sum, result.confusion)) == result.held_out
    assert plans[0].parameters >= result.parameters  # LoRA's adapters are merged into the weights
    assert result.cached == {"freeze": 6, "gradual": 6, "layers": 4, "lora": 2}.get(strategy, 0)
    model = TUNER.load(tmp_path / "new")
    assert model.labels == topics.labels
    base = TUNER.load(SST2).network.state_dict()
    changed = {
        name.split(".")[0] + "." + name.split(".")[1] * name.startswith("layers")
        for name, tensor in model.network.state_dict().items()
        if tensor.shape == base[name].shape and not torch.allclose(tensor, base[name], atol=2e-3)
    }
    if strategy in ("freeze", "layers"):
        assert changed <= {"head.", "head_hidden."} | ({"layers.2"} if strategy == "layers" else set())
    if strategy == "scratch":
        assert result.forgetting is None
    else:
        assert result.forgetting is not None
        assert result.forgetting.before > 0.9
    assert (tmp_path / "new" / "metrics.json").is_file()


def test_the_same_seed_gives_the_same_weights(small: Path, topics: Data, tmp_path: Path) -> None:
    states = []
    for place, seed in enumerate((0, 0, 1)):
        recipe = Recipe(strategy="full", epochs=2, seed=seed, precision="fp32")
        tune(TUNER, small, topics, recipe, tmp_path / str(place))
        states.append(TUNER.load(tmp_path / str(place)).network.state_dict())
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    assert not torch.equal(states[0]["head.weight"], states[2]["head.weight"])


def test_a_killed_training_resumes_to_the_same_weights(small: Path, topics: Data, tmp_path: Path) -> None:
    recipe = Recipe(strategy="layerwise", epochs=3, precision="fp32")
    tune(TUNER, small, topics, recipe, tmp_path / "whole")

    class Killed(Exception):
        pass

    def die(now: object) -> None:
        if now.epoch == 2 and now.measured is None:  # type: ignore[attr-defined]
            raise Killed

    state = tmp_path / "training.pt"
    with pytest.raises(Killed):
        tune(TUNER, small, topics, recipe, tmp_path / "cut", state=state, listener=Listener(progress=die))
    assert state.is_file()
    tune(TUNER, small, topics, recipe, tmp_path / "cut", state=state)
    whole, cut = (TUNER.load(tmp_path / name).network.state_dict() for name in ("whole", "cut"))
    assert all(torch.equal(tensor, cut[name]) for name, tensor in whole.items())
    assert not state.exists()


def test_it_stops_when_told_to(topics: Data, small: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    listener = Listener(progress=lambda now: seen.append(now.step), stop=lambda: len(seen) >= 7)
    result = tune(TUNER, small, topics, Recipe(strategy="full", epochs=50), tmp_path / "new", listener=listener)
    assert result.ended == "stopped"
    assert result.steps < 12
    assert TUNER.load(tmp_path / "new").labels == topics.labels


def test_a_checkpoint_of_another_architecture_says_so(topics: Data, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"labels": ["a", "b"], "stem": 8, "stages": []}')
    with pytest.raises(DemoError, match=r"config\.json in .* cannot be read"):
        tune(TUNER, tmp_path, topics, Recipe(), tmp_path / "new")


@pytest.mark.slow
def test_two_processes_give_the_weights_of_one(small: Path, topics: Data, tmp_path: Path) -> None:
    data = TUNER.sample(tmp_path)[0]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    common = [f"text_classifier={small}", "--plugins-dir", str(ROOT / "plugins"), "--data", str(data)]
    common += ["--strategy", "full", "--epochs", "2", "--batch-size", "8", "--learning-rate", "0.001"]
    common += ["--dropout", "0", "--precision", "fp32"]
    for launcher, out in (
        ([sys.executable], tmp_path / "one"),
        (
            [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", port],
            tmp_path / "two",
        ),
    ):
        command = [*launcher, "-m", "demo_app", "finetune", *common, "--device", "cpu", "--out", str(out)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("written to") == 1  # only one of the processes prints
    one, two = (TUNER.load(tmp_path / name).network.state_dict() for name in ("one", "two"))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=1e-3, rtol=1e-3)  # halves on disk
