"""What a plugin's source shows: imports that are not declared, misuse of `use`, returns that do not fit the outputs.

Only what is certain is reported: a value that is computed is left to the running page (`running`).
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from demo_app.checking.report import Findings
from demo_app.registry.plugin import Plugin

COME_WITH_THE_HOST = {"demo_app", "gradio"}  # the tab is built with the host's Gradio, whose range the host sets
OF_THE_PAGE = ("css", "css_paths", "js", "head", "head_paths", "theme")  # of a gr.Blocks: lost inside a tab
IS_USE = re.compile(r"(self\.)?_?handle\.use")
BLOCKS = ("Blocks", "Interface", "ChatInterface", "TabbedInterface")
PLAIN = frozenset({"textbox", "textarea", "code", "markdown", "html", "label", "number", "slider", "checkbox", "image"})
Functions = ast.FunctionDef | ast.AsyncFunctionDef


class Source:
    """The modules of a plugin, parsed: that of its entry point, and those of its own that they import."""

    def __init__(self, plugin: Plugin) -> None:
        self.plugin = plugin
        self.trees: dict[Path, ast.Module] = {}
        self.errors: list[str] = []  # of files that the oldest Python of the plugin cannot read
        entry = plugin.value.partition(":")[0].partition(".")[0]
        waiting, seen = [entry], {entry}
        self.own = {entry}
        while waiting:
            for file in _files_of(waiting.pop(), plugin):
                self._read(file)
                for module, _ in _imports(self.trees.get(file, ast.Module([], []))):
                    if module not in seen and module not in sys.stdlib_module_names:
                        seen.add(module)
                        if plugin.path is not None and _files_of(module, plugin):
                            waiting.append(module)
                            self.own.add(module)

    def _read(self, file: Path) -> None:
        oldest = _oldest_python(self.plugin.requires_python)
        try:
            text = file.read_text("utf-8")
            self.trees[file] = ast.parse(text)
            ast.parse(text, feature_version=oldest)
        except SyntaxError as error:
            if file in self.trees:
                what = f"{error.msg} (at {file}:{error.lineno}), and requires-python is {self.plugin.requires_python}."
                self.errors.append(what)
        except (OSError, ValueError):
            pass

    def check(self, found: Findings) -> None:
        """Report what is wrong whatever the page does."""
        for what in self.errors:
            found.add("source", what, "Write it as older versions can read it, or raise requires-python.")
        self._check_imports(found)
        for file, tree in self.trees.items():
            pages = _pages(tree)
            for node in ast.walk(tree):
                if isinstance(node, ast.Call):
                    _check_blocks(node, pages, f"{file}:{node.lineno}", found)
            for use in _uses_without_with(tree):
                what = f"handle.use() outside of a with statement (at {file}:{use.lineno}) is no model."
                found.add("source", what, "Write `with handle.use(checkpoint) as model:` around what uses it.")

    def _check_imports(self, found: Findings) -> None:
        declared = {_name(text) for text in self.plugin.requires}
        for file, tree in self.trees.items():
            for module, line in _imports(tree):
                if module in self.own | COME_WITH_THE_HOST or module in sys.stdlib_module_names:
                    continue
                brings = [canonicalize_name(name) for name in _distributions().get(module, (module,))]
                if not declared & set(brings):
                    what = f"{module} is imported (at {file}:{line}) and not among the dependencies."
                    found.add("requirements", what, f'Add "{brings[0]}" to dependencies in pyproject.toml.')

    def function(self, handler: Callable[..., Any] | None) -> tuple[Path, Functions | ast.Lambda] | None:
        """The file and the definition of a handler; `None` if it is not in the plugin's source."""
        code = getattr(inspect.unwrap(handler), "__code__", None) if handler is not None else None
        if code is None or (file := Path(code.co_filename)) not in self.trees:
            return None
        for node in ast.walk(self.trees[file]):
            if isinstance(node, Functions | ast.Lambda):
                decorators = getattr(node, "decorator_list", [])
                if code.co_firstlineno in {node.lineno, *(one.lineno for one in decorators)}:
                    named = getattr(node, "name", "<lambda>")
                    if named == code.co_name:
                        return file, node
        return None


def misfits(node: Functions | ast.Lambda, outputs: list[str]) -> Iterator[tuple[int, str]]:
    """(line, "returns 2 values and has 1 output") of each return or yield that cannot fit the outputs.

    `outputs` are the kinds of the components, as in "textbox". A value that is computed may be anything.
    """
    for statement in [node.body] if isinstance(node, ast.Lambda) else list(_own_statements(node)):
        verb = "yields" if isinstance(statement, ast.Yield) else "returns"
        value = statement.value if isinstance(statement, ast.Return | ast.Yield) else statement
        if value is None or (isinstance(value, ast.Constant) and value.value is None):
            continue
        if not outputs:
            yield value.lineno, f"{verb} something and has no outputs"
        elif isinstance(value, ast.Tuple) and not any(isinstance(part, ast.Starred) for part in value.elts):
            count = len(value.elts)
            if count != len(outputs) and (len(outputs) > 1 or outputs[0] in PLAIN):
                yield value.lineno, f"{verb} {count} values and has {_counted(len(outputs), 'output')}"
        elif len(outputs) > 1 and isinstance(value, ast.Constant | ast.JoinedStr):
            yield value.lineno, f"{verb} 1 value and has {len(outputs)} outputs"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def shares(node: Functions | ast.Lambda) -> Iterator[tuple[int, str]]:
    """(line, what) of what a handler keeps in the process, where every visitor's event sees it."""
    for default in [*node.args.defaults, *filter(None, node.args.kw_defaults)]:
        if isinstance(default, ast.List | ast.Dict | ast.Set):
            yield default.lineno, "has a list or a dict as default, which all calls share"
    for statement in _own_statements(node, ast.Global | ast.Nonlocal) if not isinstance(node, ast.Lambda) else ():
        assert isinstance(statement, ast.Global | ast.Nonlocal)
        yield statement.lineno, f"sets {', '.join(statement.names)} outside of itself, for all visitors"


def _own_statements(node: Functions, kinds: Any = ast.Return | ast.Yield) -> Iterator[Any]:
    """The statements and expressions of a kind in a function, without those of functions inside it."""
    waiting: list[ast.AST] = list(node.body)
    while waiting:
        part = waiting.pop(0)
        if isinstance(part, kinds):
            yield part
        if not isinstance(part, Functions | ast.Lambda | ast.ClassDef):
            waiting += ast.iter_child_nodes(part)


def _files_of(module: str, plugin: Plugin) -> list[Path]:
    """The Python files of a top-level module of the plugin's own; none if the module is somebody else's."""
    if plugin.path is not None:
        for root in (plugin.path / "src", plugin.path / "python", plugin.path / "lib", plugin.path):
            if (root / module).is_dir():
                return sorted((root / module).rglob("*.py"))
            if (root / f"{module}.py").is_file():
                return [root / f"{module}.py"]
        return []
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return []
    if spec is None or not spec.origin:
        return []
    origin = Path(spec.origin)
    return sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]


def _imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """(top-level module, line) of all imports, also in functions; without those for type checkers or in a try."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield str(node.module).partition(".")[0], node.lineno
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif isinstance(node, ast.Try) and any(_is_for_imports(handler) for handler in node.handlers):
            waiting += [*node.handlers, *node.finalbody]
        else:
            waiting += ast.iter_child_nodes(node)


def _is_for_imports(handler: ast.ExceptHandler) -> bool:
    return (
        handler.type is not None
        and re.search(r"ImportError|ModuleNotFoundError", ast.unparse(handler.type)) is not None
    )


def _uses_without_with(tree: ast.AST) -> Iterator[ast.Call]:
    """Calls of `handle.use` whose result is neither entered nor passed on."""
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    entered = {ast.unparse(item.context_expr) for node in ast.walk(tree) for item in getattr(node, "items", ())}
    entered |= {
        ast.unparse(node.args[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and node.args and ast.unparse(node.func).endswith("enter_context")
    }
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and IS_USE.fullmatch(ast.unparse(node.func))):
            continue
        parent = parents[node]
        if isinstance(parent, ast.withitem | ast.Return | ast.Yield | ast.Lambda | ast.IfExp | ast.keyword):
            continue
        if isinstance(parent, ast.Call) and node in parent.args:
            continue  # passed to a function that may enter it
        if isinstance(parent, ast.Assign) and any(ast.unparse(target) in entered for target in parent.targets):
            continue
        yield node


def _pages(tree: ast.AST) -> set[str]:
    """What a gr.Blocks or the like is called in a module: names, and the calls that make one."""
    made = {ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Call) and _makes_blocks(n)}
    named = [(item.context_expr, item.optional_vars) for n in ast.walk(tree) for item in getattr(n, "items", ())]
    named += [(n.value, target) for n in ast.walk(tree) if isinstance(n, ast.Assign) for target in n.targets]
    return made | {ast.unparse(name) for value, name in named if name is not None and ast.unparse(value) in made}


def _makes_blocks(node: ast.Call) -> bool:
    return ast.unparse(node.func).rpartition(".")[2] in BLOCKS


def _check_blocks(node: ast.Call, pages: set[str], where: str, found: Findings) -> None:
    """Options and calls that belong to a page of one's own."""
    called = ast.unparse(node.func)
    owner, _, method = called.rpartition(".")
    if owner in pages and method in ("launch", "queue"):
        what = f"{called}() is not for a tab (at {where})."
        found.add("source", what, "Take it out; the host has one page and one queue for all.")
    if called.rpartition(".")[2] in BLOCKS:
        for option in node.keywords:
            if option.arg in OF_THE_PAGE:
                what = f"{called}({option.arg}=...) has no effect in a tab (at {where})."
                found.add("source", what, "Take it out; the host has one page for all, see docs/plugins.md on CSS.")


@functools.cache
def _distributions() -> dict[str, list[str]]:
    return dict(packages_distributions())


def _name(text: str) -> str:
    try:
        return canonicalize_name(Requirement(text).name)
    except InvalidRequirement:
        return text


def _oldest_python(requires: str) -> tuple[int, int] | None:
    """The oldest version that a plugin wants to run with; `None` if it does not say."""
    try:
        wanted = SpecifierSet(requires)
    except InvalidSpecifier:
        return None
    versions = [(3, minor) for minor in range(7, sys.version_info[1] + 1) if wanted.contains(f"3.{minor}.99")]
    return versions[0] if requires and versions else None
