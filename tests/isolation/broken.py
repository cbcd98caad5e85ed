"""A healthy plugin, broken in every way that was seen, and at random."""

from __future__ import annotations

import random
import textwrap
from collections.abc import Callable
from pathlib import Path

PYPROJECT = """
[project]
name = "broken-{n}"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["demo-app"]

[project.entry-points.demo_app]
broken_{n} = "broken_{n}"
"""
MODULE = """
from demo_app import Demo, hookimpl

{top}
def load(folder, device):
    return str.upper

def build(handle):
    import gradio as gr

    {build}
    box, out = gr.Textbox(label="Text"), gr.Textbox(label="Louder")
    gr.Button("Shout").click(lambda text: text.upper(), box, out, api_name="shout")

{before}
@hookimpl
def register_demos():
    {hook}
    return [Demo(name="broken_{n}", title="Broken {n}", summary="Says it louder.", load=load, build=build)]
"""

# What a pyproject.toml may say wrong: a line, and what stands in its place
METADATA = (
    ('requires-python = ">=3.11"', "requires-python = 3.11"),
    ('name = "broken-{n}"', "name = 5"),
    ('name = "broken-{n}"', ""),
    ('version = "0.1.0"', "version = 0.1"),
    ('dependencies = ["demo-app"]', "dependencies = [1]"),
    ('dependencies = ["demo-app"]', 'dependencies = "demo-app"'),
    ('dependencies = ["demo-app"]', "dependencies = {{}}"),
    ('dependencies = ["demo-app"]', "dependencies = [\"pluggy; no_such_marker == '1'\"]"),
    ('dependencies = ["demo-app"]', 'dependencies = ["==="]'),
    ('dependencies = ["demo-app"]', 'dependencies = ["no-such-distribution-of-ours"]'),
    ('broken_{n} = "broken_{n}"', "broken_{n} = 1"),
    ('broken_{n} = "broken_{n}"', 'broken_{n} = ""'),
    ('broken_{n} = "broken_{n}"', 'broken_{n} = "1 : 2"'),
    ('broken_{n} = "broken_{n}"', 'broken_{n} = "no_such_module_{n}"'),
    ('broken_{n} = "broken_{n}"', 'broken_{n} = "statistics"'),
    ("[project]", "[project"),
    ("[project]", "\udcff[project]"),
)
RAISES = (
    "raise ValueError('no')",
    "raise SystemExit(3)",
    "raise GeneratorExit",
    "import asyncio; raise asyncio.CancelledError",
    "raise type('PanicException', (BaseException,), {})('a panic')",
    "raise type('Mute', (Exception,), {'__str__': lambda self: 1 / 0, '__repr__': lambda self: 1 / 0})()",
    "raise ValueError('x' * 10_000_000)",
    "raise ExceptionGroup('many', [ValueError('a'), TypeError('b')])",
    "raise StopIteration",
    "(lambda f: f(f))(lambda f: f(f))",
    "import no_such_module_at_all",
    "raise KeyError({'{': '}'})",
    "raise MemoryError",
)
HOOKS = (
    "import itertools; return itertools.repeat(Demo(name='a', title='a', summary='a', load=load, build=build))",
    "return None",
    "return [5]",
    "return type('Liar', (), {'__iter__': lambda self: 1 / 0})()",
    "return [type('Sly', (Demo,), {'title': property(lambda self: 1 / 0)})(name='a', title='a', summary='a', "
    "load=load, build=build)]",
    "return [Demo(name='a', title='a', summary='a', load=load, build=build, order='first')]",
    "return [Demo(name=5, title='a', summary='a', load=load, build=build)]",
    "return [Demo(name='a', title=None, summary='a', load=load, build=build)]",
    "return [Demo(name='a', title='a', summary='a', load=load, build=build, checkpoints=5)]",
    "return [Demo(name='a', title='a', summary='a', load=load, build=build, translations=5)]",
    "return [Demo(name='a_healthy', title='a', summary='a', load=load, build=build)]",
)
BUILDS = (
    "gr.LoginButton()",
    "gr.Navbar()",
    "gr.DeepLinkButton()",
    "gr.Blocks().__enter__()",
    "gr.Tab('open').__enter__(); raise SystemExit",
)
CHANGES = {
    "os.chdir": "import os; os.chdir('/')",
    "os.environ": "import os; os.environ['HOME'] = '/nowhere'; os.environ['BROKEN'] = '1'",
    "logging.disable": "import logging; logging.disable(100)",
    "logging.root": "import logging; logging.basicConfig(level=5, force=True)",
    "logging.Logger": "import logging.config; logging.config.dictConfig({'version': 1})",
    "warnings": "import warnings; warnings.simplefilter('error')",
    "locale": "import locale; locale.setlocale(locale.LC_ALL, 'C.UTF-8' if locale.setlocale(0) == 'C' else 'C')",
    "signal SIGTERM": "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "torch.set_default_dtype": "import torch; torch.set_default_dtype(torch.float64)",
    "torch.set_grad_enabled": "import torch; torch.set_grad_enabled(False)",
    "sys.path": "import sys; sys.path.insert(0, '/nowhere')",
    "sys.stdout": "import io, sys; sys.stdout = io.StringIO()",
    "sys.excepthook": "import sys; sys.excepthook = print",
    "sys.setrecursionlimit": "import sys; sys.setrecursionlimit(4999)",
    "socket.setdefaulttimeout": "import socket; socket.setdefaulttimeout(0.01)",
    "builtins.open": "import builtins; builtins.open = None",
    "Textbox.postprocess": "import gradio; gradio.Textbox.postprocess = lambda self, value: 'nonsense'",
    "gradio.Button": "import gradio; gradio.Button = None",
}


def write(folder: Path, n: int, *, pyproject: str = PYPROJECT, **places: str) -> None:
    """Write plugin `n`: its pyproject.toml, and its module with code at `top`, `before`, in the `hook` and `build`."""
    path = folder / f"broken_{n}"
    path.mkdir(parents=True)
    text = textwrap.dedent(pyproject).format(n=n)
    (path / "pyproject.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    code = MODULE
    for place in ("top", "before", "hook", "build"):
        code = code.replace("{" + place + "}", places.get(place, "pass"))
    (path / f"broken_{n}.py").write_text(code.replace("{n}", str(n)), encoding="utf-8")


def write_all(folder: Path) -> dict[int, str]:
    """One plugin for each way that was seen; returns the stage at which each fails, by its number."""
    stages: dict[int, str] = {}
    for old, new in METADATA:
        write(folder, len(stages), pyproject=PYPROJECT.replace(old, new))
        imported = "1 : 2" in new or 'broken_{n} = "' in new
        stages[len(stages)] = "import discovery hook" if imported else "discovery"
    for code in RAISES:
        for place, stage in (("top", "import"), ("hook", "hook"), ("build", "build")):
            write(folder, len(stages), **{place: code})
            stages[len(stages)] = stage
    for code in HOOKS:
        write(folder, len(stages), hook=code)
        stages[len(stages)] = "names" if "healthy" in code else "hook"
    for code in BUILDS:
        write(folder, len(stages), build=code)
        stages[len(stages)] = "build"
    return stages


def mutate(text: str, chance: random.Random) -> str:
    """The text with a few characters or lines lost, doubled, swapped or replaced."""
    changes: tuple[Callable[[list[str], int], list[str]], ...] = (
        lambda parts, i: parts[:i] + parts[i + 1 :],
        lambda parts, i: parts[: i + 1] + parts[i:],
        lambda parts, i: [*parts[:i], chance.choice(["", "\x00", "=", "[", '"', "é", "{}", "1"]), *parts[i + 1 :]],
        lambda parts, i: parts[:i],
    )
    for _ in range(chance.randint(1, 3)):
        by_line = chance.random() < 0.5
        parts = text.splitlines(keepends=True) if by_line else list(text)
        if parts:
            text = "".join(chance.choice(changes)(parts, chance.randrange(len(parts))))
    return text


def write_mutants(folder: Path, count: int, seed: int, first: int) -> None:
    """Plugins whose pyproject.toml or module is mutated at random; some of them still work."""
    chance = random.Random(seed)
    for n in range(first, first + count):
        write(folder, n)
        name = chance.choice(["pyproject.toml", f"broken_{n}.py"])
        file = folder / f"broken_{n}" / name
        file.write_text(mutate(file.read_text("utf-8"), chance), encoding="utf-8")
