"""What `demo-app check` finds when it serves a plugin, loads its models and calls its actions."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
from checked_plugins import HEAD, HOOK, PIN, assert_only, problems, problems_in
from plugins_on_disk import Plugins
from safetensors.numpy import save_file

from demo_app.checking.plugin import check_demo
from demo_app.settings import Settings


def test_handlers_that_fail_on_empty_input(plugins: Plugins) -> None:
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

        box, picture, drawing = gr.Textbox("A text", label="T"), gr.Image(label="P"), gr.ImageEditor(label="D")
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
        "numpy is imported (at ",
        "wrong: /first fails on empty input with IndexError: string index out of range (at ",
        "wrong: /shape fails on empty input with AttributeError: 'NoneType' object has no attribute 'shape' (at ",
        "wrong: /short returns 1 value and has 2 outputs. Give outputs a component for each value",
    )
    assert 'Raise InputError("Write something first.") for what cannot be used.' in found[1]


def test_a_model_is_loaded_and_its_actions_are_called(plugins: Plugins, tmp_path: Path) -> None:
    module = f"demo_wrong_{tmp_path.name}"
    weights = plugins.path / "wrong" / module / "tiny"
    weights.mkdir(parents=True)
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

        gr.Button().click(total, [gr.Image(label="P"), gr.Textbox(label="T")], gr.Number(label="N"), api_name="total")
    """
    hook = HOOK.replace(
        "CHECKPOINTS = ()",
        f"""CHECKPOINTS = (
            Checkpoint(name="tiny", title="Tiny", folder=Path(__file__).parent / "tiny", license="mit"),
            Checkpoint(name="far", title="Far", {PIN}, size=1, license="mit"),
        )""",
    )
    text = HEAD + textwrap.dedent(code) + hook
    folder = plugins.add("wrong", text, requires=("demo-app", "safetensors"), module=f"{module}/__init__")
    pyproject = folder / "pyproject.toml"
    wheel = f'[tool.hatch.build.targets.wheel]\npackages = ["{module}"]\n'
    pyproject.write_text(pyproject.read_text().replace("/__init__", "") + wheel)
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
    assert_only(problems_in(plugins.add("dumb", dumb), load=True), "dumb: no action answers 'Hello, world.'.")


def test_a_crash_on_a_sample_is_a_problem(plugins: Plugins) -> None:
    code = HEAD.replace("return upper(text)", "return upper(text) if not text else 1 / 0") + HOOK
    folder = plugins.add("wrong", code)
    assert problems_in(folder) == []
    assert_only(
        problems_in(folder, load=True),
        "/shout fails on a sample with ZeroDivisionError: division by zero (at ",
        "no act",
    )
