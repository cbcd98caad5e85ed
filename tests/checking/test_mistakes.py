"""The mistakes that authors make in what `demo-app new` wrote: `check` names each, with a fix.

Many mistakes are made in one plugin, to be found in one check; those that end everything are made alone.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from checked_plugins import assert_only, problems_in

from demo_app.checking.plugin import check_alone
from demo_app.scaffold.plugin import create
from demo_app.settings import Settings


def scaffold(
    folder: Path, *edits: tuple[str, str], pyproject: tuple[tuple[str, str], ...] = (), torch: bool = False
) -> Path:
    """What `demo-app new` writes, with texts replaced in the module and in pyproject.toml."""
    create(folder, torch=torch)
    (module,) = [*folder.glob("demo_app_*.py"), *folder.glob("demo_app_*/__init__.py")]
    for file, changes in ((module, edits), (folder / "pyproject.toml", pyproject)):
        text = file.read_text()
        for right, wrong in changes:
            assert right in text, right
            text = text.replace(right, wrong)
        file.write_text(text)
    return folder


# In the tab: what is written into build, and what is found

IN_BUILD = {
    "two values for one output": (
        """
        def pair(text):
            "Two. Args: text: any. Returns: two."
            return text, text

        gr.Button("A").click(pair, first, out, api_name="pair")
        """,
        "/pair returns 2 values and has 1 output (at",
    ),
    "values that are computed": (
        """
        def many(text):
            "Many. Args: text: any. Returns: two."
            return tuple(text for _ in range(2))

        gr.Button("A").click(many, first, out, api_name="many")
        """,
        "/many returns 2 values and has 1 output. Give outputs a component for each value",
    ),
    "fewer values than outputs": (
        """
        def few(text):
            "One. Args: text: any. Returns: one."
            return text

        gr.Button("A").click(few, first, [first, out], api_name="few")
        """,
        "/few returns 1 value and has 2 outputs",
    ),
    "a first yield that does not fit": (
        """
        def steps(text):
            "Two steps. Args: text: any. Returns: the text."
            yield "wait", text
            yield text

        gr.Button("A").click(steps, first, out, api_name="steps")
        """,
        "/steps yields 2 values and has 1 output (at",
    ),
    "outputs=None": (
        """
        def lost(text):
            "Lost. Args: text: any. Returns: the text."
            return text

        gr.Button("A").click(lost, first, None, api_name="lost")
        """,
        "/lost returns something and has no outputs (at",
    ),
    "inputs=None": (
        """
        def needs(text):
            "Needs. Args: text: any. Returns: the text."
            return text

        gr.Button("A").click(needs, None, out, api_name="needs")
        """,
        "/needs takes 1 value(s) and has 0 input(s). Give inputs a component for each parameter",
    ),
    "use without with": (
        """
        def bare(text):
            "Bare. Args: text: any. Returns: the text."
            if not text:
                raise InputError("Write something.")
            model = handle.use()
            return model(text)

        gr.Button("A").click(bare, first, out, api_name="bare")
        """,
        "handle.use() outside of a with statement (at",
    ),
    "no label": ("gr.Slider(0, 1)", "Slider without a label, which screen readers read out. Give label="),
    "an import that is not declared": ("import yaml", 'not among the dependencies. Add "pyyaml" to dependencies'),
    "a default that all calls share": (
        """
        def seen(text, before=[]):
            "Seen. Args: text: any. Returns: the text."
            before.append(text)
            return text

        gr.Button("A").click(seen, first, out, api_name="seen")
        """,
        "/seen has a list or a dict as default, which all calls share (at",
    ),
    "what all visitors share": (
        """
        count = 0

        def counted(text):
            "Counted. Args: text: any. Returns: the text."
            nonlocal count
            count += 1
            return text

        gr.Button("A").click(counted, first, out, api_name="counted")
        """,
        "/counted sets count outside of itself, for all visitors (at",
    ),
    "what cannot be pickled": (
        """
        def locked(text):
            "Locked. Args: text: any. Returns: nothing."
            import threading

            return threading.Lock()

        gr.Button("A").click(locked, first, gr.State(), api_name="locked")
        """,
        "/locked returns what cannot be pickled (TypeError: cannot pickle '_thread.lock' object)",
    ),
    "a name with capitals": (
        """
        def plain(text):
            "Plain. Args: text: any. Returns: the text."
            return text

        gr.Button("A").click(plain, first, out, api_name="Plain It")
        """,
        "/Plain It is no plain name. Take small letters",
    ),
    "a page of one's own": (
        """
        with gr.Blocks(css="a {}") as page:
            gr.Markdown("x")
        page.queue()
        """,
        "gr.Blocks(css=...) has no effect in a tab (at",
    ),
    "right: async, streams, timers, updates, helpers": (
        """
        async def later(text):
            "Later. Args: text: any. Returns: the text."
            return text

        def hear(sound):
            "Hear. Args: sound: any. Returns: a word."
            return "heard"

        def both(text):
            "Both. Args: text: any. Returns: two."
            return {first: text, out: text} if text else [gr.skip(), gr.update(value="")]

        def lent(name):
            return handle.use(name)

        gr.Button("A").click(later, first, out, api_name="later")
        microphone = gr.Audio(label="Sound", streaming=True)
        microphone.stream(hear, microphone, out, api_name="hear")
        gr.Timer(1).tick(later, first, out, api_name="tick")
        gr.Button("A").click(both, first, [first, out], api_name="both")
        gr.Button("A").click(lambda: None, None, None, api_visibility="private")
        """,
        "",
    ),
}
MORE = ("page.queue() is not for a tab (at",)  # of the page of one's own


def test_every_mistake_in_a_tab_is_named_with_its_line(tmp_path: Path) -> None:
    start = "    box, out = gr.Textbox"
    code = ["    first, out = gr.Textbox(label='First'), gr.Textbox(label='Last')"]
    for mistake, _ in IN_BUILD.values():
        code += ["    " + line.removeprefix("        ") for line in mistake.strip("\n").splitlines()]
    folder = scaffold(
        tmp_path / "tab", (start, "\n".join([*code, start])), ("import Demo, hook", "import Demo, InputError, hook")
    )
    found = problems_in(folder)
    assert_only(found, *(said for _, said in IN_BUILD.values() if said), *MORE)
    for problem in found:
        line = re.search(r"\(at (.+):(\d+)\)", problem)
        assert line is None or line[1].startswith(str(folder))


# In what a demo is made of: one plugin with many demos

DEMOS = {
    "load without device": (
        "lambda folder: 1",
        "build",
        "cannot be called as load(folder, device): too many positional",
    ),
    "load of nothing": ("lambda *_: None", "build", "its load returned nothing; it must return a model"),
    "load that fails": ("fails", "build", "load fails with KeyError: 'weights' (at"),
    "load that is async": ("late", "build", "load is async, and the host does not await it. Write def load(...)."),
    "build without handle": ("right", "lambda: None", "cannot be called as build(handle): too many positional"),
    "build that is async": ("right", "late", "build is async, and the host does not await it. Write def build(...)."),
    "build that uses a model": ("right", "early", "uses a model, which nobody has asked for yet; call handle.use() in"),
    "build of nothing": ("right", "lambda handle: None", "the tab is empty. Make components in build."),
}


def test_functions_that_the_host_cannot_call_are_named(tmp_path: Path) -> None:
    made = [
        f'Demo(name="d{i}", title="T", summary="S", load={load}, build={build})'
        for i, (load, build, _) in enumerate(DEMOS.values())
    ]
    code = """
def fails(folder, device):
    raise KeyError("weights")


async def late(handle, device=None):
    return 1


def early(handle):
    with handle.use() as model:
        model("x")


def right(folder, device):
    return str.upper


def build(handle):
    import gradio as gr

    gr.Markdown("x")
"""
    folder = scaffold(tmp_path / "many")
    (module,) = folder.glob("*.py")
    hook = f"\n\n@hookimpl\ndef register_demos():\n    return [{', '.join(made)}]\n"
    module.write_text(f"from demo_app import Demo, hookimpl\n{code}{hook}")
    found = problems_in(folder, load=True)
    for i, (_, _, said) in enumerate(DEMOS.values()):
        assert [problem for problem in found if f"d{i}: " in problem and said in problem], (said, found)


# In the metadata, the checkpoints and the wheel


def test_every_mistake_in_the_metadata_is_named(tmp_path: Path) -> None:
    requires = '"demo-app>=9", "gradio==5.0.0", "no-such-package", "numpy<1"'
    folder = scaffold(
        tmp_path / "meta",
        pyproject=(
            ('"demo-app>=0.1"', requires),
            ('">=3.11"', '">=3.99"'),
            ('version = "0.1.0"', 'version = "one"'),
            ('readme = "README.md"', 'readme = "READ.md"'),
        ),
    )
    found = problems_in(folder)
    assert_only(
        found,
        "the version 'one' is none for pip. Write it as in",
        "READ.md is not there, and pyproject.toml names it",
        "needs Python >=3.99 and this is 3.",
        "needs demo-app>=9, and ",
        "needs gradio==5.0.0, and demo-app needs gradio<7,>=6.31; ",
        "missing requirement 'no-such-package'. Run: pip install 'no-such-package'.",
        "needs numpy<1, and demo-app needs numpy>=1.26 and ",
    )
    for problem in found:  # what would break the host is not advised
        assert ("Widen it in the plugin's pyproject.toml" in problem) == ("gradio" in problem or "numpy" in problem)


SETUPTOOLS = 'requires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"'
HATCHLING = 'requires = ["hatchling>=1.25"]\nbuild-backend = "hatchling.build"'
DATA = '\n[tool.setuptools.package-data]\n{module} = ["**/*"]\n'
ARTIFACTS = '\n[tool.hatch.build.targets.wheel]\npackages = ["{module}"]\nartifacts = ["{module}/**"]\n'


@pytest.mark.parametrize("backend", ["setuptools", "hatchling"])
def test_a_wheel_without_the_weights_is_named_and_the_fix_fixes_it(backend: str, tmp_path: Path) -> None:
    from demo_app.checking.report import Findings
    from demo_app.checking.wheel import check_wheel
    from demo_app.registry.discovery import plugins_in

    def lacking(folder: Path) -> list[str]:
        found = Findings()
        for plugin in plugins_in(folder):
            check_wheel(plugin, [], found)
        return [str(problem) for problem in found.problems]

    name = f"wheel_{backend}"
    change = ((HATCHLING, SETUPTOOLS),) if backend == "setuptools" else ()
    folder = scaffold(tmp_path / name, torch=True, pyproject=change)
    if backend == "hatchling":
        assert lacking(folder) == []
        (folder / ".gitignore").write_text("*.safetensors\n")
    (found,) = lacking(folder)
    assert f"a wheel of it lacks demo_app_{name}/weights/tiny/" in found
    fix = (DATA if backend == "setuptools" else ARTIFACTS).replace("{module}", f"demo_app_{name}")
    assert all(line in found or not line for line in fix.strip().splitlines() if line.startswith("[")), found
    with (folder / "pyproject.toml").open("a") as file:
        file.write(fix)
    assert lacking(folder) == []


CHECKPOINTS = {
    'folder=WEIGHTS / "tinny"': "tinny is not there, and ",
    'folder=Path("weights")': "its folder weights depends on where the host is started. Write folder=Path(__file__)",
    'folder=Path("/usr"), files=("bin/env",)': "lies outside of the plugin, so nobody else gets it. Put the weights",
    'folder=WEIGHTS / "tiny", size=12': "states size=12 and has ",
    'folder=WEIGHTS / "tiny", files=("vocab.txt",)': "lacks vocab.txt in ",
    'repo_id="me/it", revision="main", size=1': "revision 'main' must be a commit of 40 hex digits",
}


def test_every_mistake_in_a_checkpoint_is_named(tmp_path: Path) -> None:
    made = [
        f'Checkpoint(name="c{i}", title="T", {fields}, license="apache-2.0")' for i, fields in enumerate(CHECKPOINTS)
    ]
    right = 'Checkpoint(name="tiny", title="Tiny, embedded", folder=WEIGHTS / "tiny", license="apache-2.0")'
    folder = scaffold(tmp_path / "weighed", (right, ", ".join([right, *made])), torch=True)
    found = problems_in(folder)
    for i, said in enumerate(CHECKPOINTS.values()):
        assert [problem for problem in found if f"/c{i}" in problem and said in problem], (said, found)


# What ends everything else, each alone; none is served, so each takes half a second

ALONE = {
    "a module that is not there": (
        (),
        (('= "demo_app_', '= "demo_app_not_'),),
        "Correct the entry point in pyproject",
    ),
    "an object that is not there": ((), (('_one"\n', '_one:plugin"\n'),), "has no plugin; write "),
    "one demo, no list": ((("return [", "return ("), ("build=build)]", "build=build))")), (), "return a list of Demo"),
    "no hookimpl": ((("@hookimpl\n", ""),), (), "has no @demo_app.hookimpl function"),
    "an async hook": (
        (("def register", "async def register"),),
        (),
        "register_demos returned coroutine; return a list",
    ),
    "no slug": ((('name="', 'name="My '),), (), "name must be a slug like 'text_classifier'"),
    "an unknown field": ((("title=", "titel="),), (), "got an unexpected keyword argument 'titel' (at"),
    "a syntax error": ((("def build(handle):", "def build(handle:"),), (), "SyntaxError: '(' was never closed"),
    "a relative path": ((("def build", "open('w.txt')\n\n\ndef build"),), (), "No such file or directory: 'w.txt' (at"),
    "a group that is misspelt": ((), (("points.demo_app", "points.demo-app"),), "but one named 'demo-app'"),
    "what is not installed": (
        (("from demo_app", "import not_there\nfrom demo_app"),),
        (),
        'Add "not-there" to dependenc',
    ),
}


@pytest.mark.filterwarnings("ignore:coroutine")
@pytest.mark.parametrize("mistake", ALONE)
def test_a_mistake_that_ends_everything_is_named(mistake: str, tmp_path: Path) -> None:
    edits, pyproject, said = ALONE[mistake]
    folder = scaffold(tmp_path / f"{mistake.replace(' ', '_').replace(',', '')}_one", *edits, pyproject=pyproject)
    found = problems_in(folder)
    assert [problem for problem in found if said in problem], found


# What a plugin may do to its process

DEATHS = {
    "os._exit(0)": "ended the process with exit code 0. Take that out",
    "os.kill(os.getpid(), 11)": "ended the process with signal 11",
    "import time; time.sleep(600)": "did not end within 2 s (at ",
}


@pytest.mark.parametrize("deadly", DEATHS)
def test_an_import_that_hangs_or_ends_the_process_is_a_problem(deadly: str, tmp_path: Path) -> None:
    folder = scaffold(tmp_path / "deadly", ("from demo_app", f"import os\n\n{deadly}\nfrom demo_app"))
    (found,) = check_alone(folder, settings=Settings(plugins_dir=tmp_path), seconds=2).problems
    assert (found.stage, DEATHS[deadly] in str(found)) == ("import", True), found


def test_a_neighbour_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from demo_app.checking import probe

    monkeypatch.setattr(probe, "NEIGHBOUR_SECONDS", 1.0)
    scaffold(tmp_path / "hangs", ("from demo_app", "import time\n\ntime.sleep(600)\nfrom demo_app"))
    from demo_app.checking.plugin import check_demo

    report = check_demo(scaffold(tmp_path / "good"), settings=Settings(plugins_dir=tmp_path))
    assert report.problems == ()
    (note,) = report.notes
    assert "folder hangs/) was not compared: importing it did not end within 1 s (at" in note


@pytest.mark.slow
def test_what_a_handler_does_to_its_process_does_not_end_the_check(tmp_path: Path) -> None:
    rude = """\
import atexit, sys
            atexit.register(print, "bye")
            sys.stdout.close()
            open("out.txt", "w").write(text)
            if text:
                import os

                os._exit(3)
            return model(text)"""
    folder = scaffold(tmp_path / "rude", ("return model(text)", rude))
    (written,) = check_alone(folder, settings=Settings(plugins_dir=tmp_path)).problems
    assert "rude writes out.txt into the current folder, which visitors share. Use tempfile" in str(written)
    (ended,) = check_alone(folder, settings=Settings(plugins_dir=tmp_path), load=True).problems
    assert "/shout on a sample ended the process with exit code 3. Take that out" in str(ended)
