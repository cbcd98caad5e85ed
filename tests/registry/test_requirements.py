"""Requirements against what is installed: what is missing, and a fix that breaks nobody else."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError

import pytest

from demo_app.registry import requirements
from demo_app.registry.plugin import Plugin, PluginError
from demo_app.registry.requirements import check_requirements, unmet_requirements

INSTALLED = {"there": "2.5", "odd": "not a version", "demo-app": "1.0"}


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name.lower() not in INSTALLED:
            raise PackageNotFoundError(name)
        return INSTALLED[name.lower()]

    monkeypatch.setattr(requirements.importlib.metadata, "version", version)
    monkeypatch.setattr(requirements, "__version__", "1.0")
    monkeypatch.setattr(requirements, "_installed_requirements", lambda: [("host", "There>=2,<3"), ("tried", "there")])


def plugin(*requires: str, python: str = "", name: str = "tried") -> Plugin:
    return Plugin(
        name=name,
        value=name,
        distribution=name,
        version="1",
        source="folder",
        requires=requires,
        requires_python=python,
    )


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        ("absent", "missing requirement 'absent'", "pip install 'absent'"),
        ("absent[more]>=2", "missing requirement 'absent'", "pip install 'absent[more]>=2'"),
        ("there>=2.6", "needs there>=2.6, and 2.5 is installed", "pip install 'there>=2.6'"),
        ("demo_app>=2", "needs demo_app>=2, and 1.0 is installed", "pip install 'demo_app>=2'"),
        (
            "there>=3",
            "needs there>=3, and host needs there<3,>=2; 2.5 is installed",
            "widen it in the plugin's pyproject.toml, so that 2.5 fits",
        ),
        ("there ==", "requirement 'there ==' cannot be read", "fix it"),
        ("there; a_variable == '1'", "requirement \"there; a_variable == '1'\" cannot be read", "fix it"),
        ("odd>=1", "needs odd>=1, and not a version is installed", "pip install 'odd>=1'"),
    ],
)
def test_what_is_not_met_is_said_with_a_fix(text: str, what: str, fix: str) -> None:
    ((found, advice),) = unmet_requirements(plugin(text))
    assert found.lower().startswith(what.lower())
    assert advice == fix
    with pytest.raises(PluginError) as caught:
        check_requirements(plugin(text))
    assert str(caught.value) == f"{found} ({fix})."
    assert caught.value.stage == "discovery"


@pytest.mark.parametrize(
    "text",
    [
        "there", "there>=2", "There==2.5", "demo-app", "demo_app>=1", "absent; python_version < '3'",
        "absent; extra == 'test'",
    ],
)  # fmt: skip
def test_what_is_met_or_does_not_apply_is_passed_over(text: str) -> None:
    assert list(unmet_requirements(plugin(text))) == []


def test_a_neighbour_counts_as_the_host_does_and_the_plugin_itself_does_not() -> None:
    ((what, fix),) = unmet_requirements(plugin("there>=2.6"), [plugin("there<2.6", name="neighbour")])
    assert what == "needs there>=2.6, and neighbour needs there<2.6; 2.5 is installed"
    assert fix.startswith("widen it")
    ((_, fix),) = unmet_requirements(plugin("there>=2.6"), [plugin("there<2.6; python_version < '3'", name="other")])
    assert fix == "pip install 'there>=2.6'"
    ((_, fix),) = unmet_requirements(plugin("there>=2.6"), [plugin("there <", name="unreadable")])
    assert fix == "pip install 'there>=2.6'"


@pytest.mark.parametrize(
    ("python", "suits"), [("", True), (">=3.9", True), (">=4", False), ("<3", False), ("three", True)]
)
def test_the_python_it_needs(python: str, suits: bool) -> None:
    found = list(unmet_requirements(plugin(python=python)))
    assert (found == []) == suits
    if not suits:
        this = ".".join(map(str, sys.version_info[:3]))
        assert found == [
            (f"needs Python {python} and this is {this}", "use a newer Python, or widen requires-python of the plugin")
        ]


def test_all_that_is_not_met_is_listed() -> None:
    found = list(unmet_requirements(plugin("absent", "there", "there>=3", python=">=4")))
    assert [what.split()[0] for what, _ in found] == ["needs", "missing", "needs"]


def test_the_host_and_all_distributions_say_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    found = requirements._installed_requirements.__wrapped__()
    assert any(text.startswith("gradio") for who, text in found if who == "demo-app")
    assert any(text.startswith("click") or "pillow" in text.lower() for who, text in found if who == "gradio")


def test_metadata_that_cannot_be_read_require_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    class Unreadable:
        def __init__(self, error: Exception) -> None:
            self.error = error

        def read_text(self, name: str) -> str:
            raise self.error

    broken = [Unreadable(OSError("gone")), Unreadable(UnicodeDecodeError("utf-8", b"", 0, 1, "no"))]
    monkeypatch.setattr(requirements.importlib.metadata, "distributions", lambda: broken)
    assert {who for who, _ in requirements._installed_requirements.__wrapped__()} == {"demo-app"}
