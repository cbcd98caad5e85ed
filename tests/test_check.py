"""`demo-app check` says all that is wrong with a plugin, each with what mends it. Each plugin here is a real folder."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plugins_on_disk import Plugins
from safetensors.numpy import save_file

from demo_app.settings import Settings
from demo_app.testing import check_demo
from demo_app.unsafe_files import UNSAFE_SUFFIXES

HEAD = """
from pathlib import Path
import demo_app
from demo_app import Checkpoint, Demo, InputError, hookimpl

def load(folder, device):
    return str.upper

def build(handle):
    import gradio as gr

    def shout(text):
        "Say it louder. Args: text: any. Returns: the same in capitals."
        with handle.use() as upper:
            return upper(text)

    box, out = gr.Textbox(label="Text"), gr.Textbox(label="Louder")
    gr.Button("Shout").click(shout, box, out, api_name="shout")
"""
HOOK = """
@hookimpl
def register_demos():
    return [Demo(name="wrong", title="Wrong", summary="S.", load=load, build=build, checkpoints=CHECKPOINTS)]
CHECKPOINTS = ()
"""
PIN = f'repo_id="some/model", revision="{"0" * 40}"'


def problems(plugins: Plugins, code: str, *, load: bool = False, **how: Any) -> list[str]:
    """What is said of a plugin whose module is that code, after a head and before a hook that are right."""
    folder = plugins.add("wrong", HEAD + textwrap.dedent(code) + HOOK, **how)
    return said(folder, load=load)


def said(folder: Path, *, load: bool = False, plugins_dir: Path | None = None) -> list[str]:
    report = check_demo(folder, settings=Settings(plugins_dir=plugins_dir), load=load)
    for problem in report.problems:  # each says what mends it
        assert problem.mend or "; " in problem.what, problem
    return [str(problem) for problem in report.problems]


def assert_only(found: list[str], *expected: str) -> None:
    """Each of the words is in one problem, and there are no others."""
    left = list(found)
    for words in expected:
        hit = next((text for text in left if words in text), None)
        assert hit is not None, (words, found)
        left.remove(hit)
    assert left == []


def test_what_is_right_has_no_problem(plugins: Plugins) -> None:
    assert problems(plugins, "") == []


# The folder


def test_a_folder_without_a_pyproject(tmp_path: Path) -> None:
    assert_only(said(tmp_path), "has no pyproject.toml. Write one; `demo-app new` shows how.")


def test_a_pyproject_that_cannot_be_read(plugins: Plugins) -> None:
    folder = plugins.add("wrong", HEAD + HOOK)
    (folder / "pyproject.toml").write_text("[project\n")
    assert_only(said(folder), "wrong/pyproject.toml cannot be read")


@pytest.mark.parametrize(
    ("group", "hint"), [("demo-app", "but one named 'demo-app'"), ("console_scripts", "table. Add [project.entry-p")]
)
def test_no_entry_point_and_a_group_that_is_nearly_ours(plugins: Plugins, group: str, hint: str) -> None:
    folder = plugins.add("wrong", HEAD + HOOK)
    pyproject = folder / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("entry-points.demo_app", f"entry-points.{group}"))
    assert_only(said(folder), hint)


def test_metadata_that_is_missing(plugins: Plugins) -> None:
    folder = plugins.add("wrong", HEAD + HOOK, requires=("demo-app-other",))
    pyproject = folder / "pyproject.toml"
    lines = pyproject.read_text().splitlines()
    pyproject.write_text("\n".join(line for line in lines if not line.startswith(("version", "requires-p", "license"))))
    assert_only(
        said(folder),
        'has no version. Add version = "0.1.0".',
        'requires-python is missing. Add requires-python = ">=3.11".',
        'demo-app is not among the dependencies. Add "demo-app>=0.1".',
        "states no license. Add license =",
        "missing requirement 'demo-app-other'. Run: pip install 'demo-app-other'.",
    )


def test_every_requirement_that_is_not_met(plugins: Plugins) -> None:
    requires = ("demo-app", "no-such-package>=2", "pluggy>=99", "not a requirement", "nor-this; python_version < '3'")
    assert_only(
        problems(plugins, "", requires=requires),
        "missing requirement 'no-such-package'. Run: pip install 'no-such-package>=2'.",
        "needs pluggy>=99, and ",
        "requirement 'not a requirement'",
    )


# The module


def test_an_import_that_fails_names_its_line(plugins: Plugins) -> None:
    (found,) = problems(plugins, "import nothing_of_this_name")
    assert "ModuleNotFoundError: No module named 'nothing_of_this_name'" in found
    assert found.endswith(".py:19). Mend that line.")


def test_a_heavy_import_names_the_plugins_own_line_also_when_another_module_does_it(plugins: Plugins) -> None:
    (direct,) = problems(plugins, "import torch")
    assert "imports torch (at " in direct
    assert ".py:19). Import it inside load or build." in direct
    folder = plugins.add("indirect", HEAD + "import safetensors.torch\n" + HOOK.replace('"wrong"', '"indirect"'))
    (indirect,) = said(folder)
    assert "imports torch (at " in indirect
    assert f"{folder.name}/demo_indirect_" in indirect


def test_a_heavy_import_is_told_even_if_the_module_then_fails(plugins: Plugins) -> None:
    assert_only(problems(plugins, "import gradio\n1 / 0"), "imports gradio", "ZeroDivisionError")


def test_hooks_that_do_not_fit(plugins: Plugins) -> None:
    for name, hook, words in [
        ("slip", "@hookimpl\ndef register_demo(): return []", "did you mean 'register_demos'?"),
        ("none", "", "has no @demo_app.hookimpl function; write `register_demos`."),
        ("dicts", "@hookimpl\ndef register_demos(): return [{}]", "return only Demo."),
        (
            "raises",
            "@hookimpl\ndef register_demos(): return [][1]",
            "failed with IndexError: list index out of range (at",
        ),
    ]:
        assert_only(said(plugins.add(name, HEAD + hook)), words)


# The demos


def test_a_name_that_another_plugin_has(plugins: Plugins) -> None:
    plugins.add("first", HEAD + HOOK)
    folder = plugins.add("second", HEAD + HOOK)
    (found,) = said(folder, plugins_dir=plugins.path)
    assert "the demo 'wrong' is also in demo-first 0.1.0 (folder first/). Rename it, or uninstall" in found


def test_a_branch_instead_of_a_commit_does_not_hide_what_comes_after_it(plugins: Plugins) -> None:
    code = """
    def build(handle):
        raise RuntimeError("no tab")
    """
    hook = HOOK.replace(
        "CHECKPOINTS = ()",
        f"""CHECKPOINTS = (
            Checkpoint(name="a", title="A", repo_id="some/model", revision="main", size=1, license="mit"),
            Checkpoint(name="b", title="B", {PIN}),
            Checkpoint(name="c", title="C", {PIN}, size=1, license="mit", files=("weights.pkl",)),
            Checkpoint(name="d", title="D", folder=Path("nowhere"), license="mit"),
        )""",
    )
    assert_only(
        said(plugins.add("wrong", HEAD + textwrap.dedent(code) + hook)),
        "wrong/a: Checkpoint 'a': revision 'main' must be a commit of 40 hex digits",
        "wrong/b states no license. Give license=",
        "wrong/b states no size. Give the bytes to fetch.",
        "wrong/c: weights.pkl is a pickle, or may hold one, and can run code when it is loaded. Publish safetensors.",
        "wrong/d lacks files of its own. Add them to the package.",
        "building the tab failed with RuntimeError: no tab (at ",
    )


def test_every_format_that_can_run_code_is_refused_but_a_published_state_dict(plugins: Plugins) -> None:
    names = [f"weights{suffix}" for suffix in (*UNSAFE_SUFFIXES, ".PTH")]
    published = ("pytorch_model.bin", "onnx/pytorch_model.bin", "config.json", "model.safetensors", "merges.txt")
    (plugins.path / "weights").mkdir(parents=True)
    for name in (*names, "pytorch_model.bin"):
        (plugins.path / "weights" / name).write_bytes(b"x")
    hook = HOOK.replace(
        "CHECKPOINTS = ()",
        f"""CHECKPOINTS = (
            Checkpoint(name="hub", title="A", {PIN}, size=1, license="mit", files={(*names, *published)!r}),
            Checkpoint(name="embedded", title="B", folder=Path({str(plugins.path / "weights")!r}), license="mit",
                       files={(*names, "pytorch_model.bin")!r}),
        )""",
    )
    refused = [f"wrong/hub: {name} is a pickle, or may hold one" for name in names]
    refused += [f"wrong/embedded: {name} is a pickle, or may hold one" for name in (*names, "pytorch_model.bin")]
    assert_only(said(plugins.add("wrong", HEAD + hook)), *refused)


def test_what_was_wrong_once_is_said_again(plugins: Plugins) -> None:
    hook = HOOK.replace(
        "CHECKPOINTS = ()", 'CHECKPOINTS = (Checkpoint(name="a", title="", folder=Path(), license="mit"),)'
    )
    folder = plugins.add("wrong", HEAD + hook)
    assert said(folder) == said(folder) != []


def test_names_and_words_of_actions(plugins: Plugins) -> None:
    code = """
    def build(handle):
        import gradio as gr

        def both(text, number: float, request: gr.Request, progress=gr.Progress()):
            '''Do it.

            Args:
                text: any.

            Returns:
                The text.
            '''
            return text

        def silent(text):
            return text

        def twice(text, count):
            "The same twice. Args: text: any. Returns: it."
            return text, count

        box, number, kept = gr.Textbox(), gr.Number(1), gr.State()
        gr.Button().click(both, [box, number], box, api_name="both")
        gr.Button().click(silent, box, box)
        gr.Button().click(lambda: "", None, box)
        gr.Button().click(twice, [box, kept], [box, kept], api_name="twice")
        gr.Button().click(twice, [box, kept], [box, kept], api_name="twice")
        gr.Button().click(lambda: "", None, box, api_visibility="private")
        gr.HTML(html_template="<b>{{value}}</b>")
    """
    assert_only(
        problems(plugins, code),
        '/both has a docstring that says nothing of number. Add "Args: number: what it is."',
        "/silent has no docstring. Say what it does, takes and returns.",
        "an event has no name of its own (lambda). Give api_name.",
        "/lambda has no docstring.",
        "two events are named /twice. Give each an api_name of its own.",
        "an html_template uses {{...}}, which runs code.",
    )


def test_handlers_that_do_not_survive_empty_input(plugins: Plugins) -> None:
    code = """
    def build(handle):
        import gradio as gr
        import numpy as np

        def first(text):
            "Its first letter. Args: text: any. Returns: a letter."
            return text[0]

        def shape(picture):
            "Its size. Args: picture: any. Returns: numbers."
            yield "looking"
            yield str(picture.shape)

        def drawn(drawing):
            "Whether there is one. Args: drawing: any. Returns: a word."
            return "nothing" if drawing["composite"] is None else "something"

        def refuses(text):
            "Nothing. Args: text: any. Returns: nothing."
            raise gr.Error("Write something.") if text == "" else ValueError

        def asks(text):
            "Nothing. Args: text: any. Returns: nothing."
            raise InputError("Write something.")

        def short(text):
            "Too little. Args: text: any. Returns: one of two."
            return text

        box, picture, drawing = gr.Textbox("a text to begin with"), gr.Image(), gr.ImageEditor()
        gr.Button().click(first, box, box, api_name="first", queue=False)
        gr.Button().click(shape, picture, box, api_name="shape")
        gr.Button().click(drawn, drawing, box, api_name="drawn")
        gr.Button().click(refuses, box, box, api_name="refuses")
        gr.Button().click(asks, box, box, api_name="asks")
        gr.Button().click(short, box, [box, box], api_name="short")
    """
    found = problems(plugins, code)
    assert_only(
        found,
        "wrong: /first fails on empty input with IndexError: string index out of range (at ",
        "wrong: /shape fails on empty input with AttributeError: 'NoneType' object has no attribute 'shape' (at ",
        "wrong: /short fails on empty input, outside the handler. See that what it returns fits its outputs",
    )
    assert 'Raise InputError("Write something first.") for what cannot be used.' in found[0]


# With --load


def test_a_model_is_loaded_and_asked(plugins: Plugins, tmp_path: Path) -> None:
    weights = tmp_path / "tiny"
    weights.mkdir()
    save_file({"weight": np.ones(500_000, np.float32)}, weights / "model.safetensors")
    (weights / "config.json").write_text("{}")
    code = """
    def load(folder, device):
        from safetensors.numpy import load_file
        return load_file(folder / "model.safetensors")

    def build(handle):
        import gradio as gr

        def total(picture, text):
            "How much it is. Args: picture: any. text: any. Returns: a number."
            if picture is None or not text:
                raise InputError("Give both.")
            with handle.use() as model:
                return float(model["weight"].sum())

        gr.Button().click(total, [gr.Image(), gr.Textbox()], gr.Number(), api_name="total")
    """
    hook = HOOK.replace(
        "CHECKPOINTS = ()",
        f"""CHECKPOINTS = (
            Checkpoint(name="tiny", title="Tiny", folder=Path({str(weights)!r}), license="mit"),
            Checkpoint(name="far", title="Far", {PIN}, size=1, license="mit"),
        )""",
    )
    folder = plugins.add("wrong", HEAD + textwrap.dedent(code) + hook)
    report = check_demo(folder, settings=Settings(), load=True)
    assert report.problems == ()
    tiny, far, answered = report.notes
    assert tiny.startswith("wrong/tiny: 2.0 MB in ")
    assert far == "wrong/far: not on this disk, not loaded; run: demo-app download wrong/far"
    assert answered.startswith("wrong: 1 of 1 actions answered a sample, the slowest after ")


def test_a_model_that_does_not_load_or_does_not_answer(plugins: Plugins) -> None:
    broken = "def load(folder, device):\n    raise OSError('no such weights')\n"
    found = problems(plugins, broken, load=True)
    assert_only([text for text in found if text.startswith("load: ")], "wrong: ")
    dumb = HEAD.replace("return upper(text)", "raise InputError('Never.')") + HOOK.replace('"wrong"', '"dumb"')
    assert_only(said(plugins.add("dumb", dumb), load=True), "dumb: no action answers 'Hello, world.'.")


def test_a_crash_on_a_sample_is_a_problem(plugins: Plugins) -> None:
    code = HEAD.replace("return upper(text)", "return upper(text) if not text else 1 / 0") + HOOK
    folder = plugins.add("wrong", code)
    assert said(folder) == []
    assert_only(
        said(folder, load=True), "/shout fails on a sample with ZeroDivisionError: division by zero (at ", "no act"
    )


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
def test_a_tuner_is_tried(right: str, wrong: str, said_of_it: str, plugins: Plugins, tmp_path: Path) -> None:
    weights = tmp_path / "tiny"
    weights.mkdir()
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
    folder = plugins.add("wrong", HEAD + code + hook)
    (folder / f"{module}.py").write_text(written)
    assert_only(said(folder, load=True), *([said_of_it] if said_of_it else []))
