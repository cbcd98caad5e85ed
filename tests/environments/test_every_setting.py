"""Every setting with every nonsense: it is served, or refused in one sentence that names the variable."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from demo_app.errors import SettingsError
from demo_app.machine import prepare_environment, threads
from demo_app.settings import Settings

EMPTY = ("", " ", "\t\n", '""', "''", "' '")  # as if it were not set
NONSENSE = (
    *(
        "",
        " ",
        "\t\n",
        '""',
        "''",
        '"',
        "'",
        "' '",
        "0",
        "-1",
        "+1",
        "1.5",
        "1e9",
        "9" * 400,
        "9" * 5000,
        "٣",
        "²",
        "NaN",
    ),
    *("text", "gpu", "cuda:x", "None", "null", "true", "[1]", "{}", "=", ",", ",,", "a=", "=b", "~", "~nobody-here/x"),
    *(
        "tcp://10.0.0.1:7860",
        "http://0.0.0.0",
        "70000",
        "::1",
        "[::1]:80",
        "host:80",
        "a b",
        "..",
        "/nowhere",
    ),
    *(
        "\udcff",
        "a\nb",
        "a\rb",
        "\x1b[0m",
        "x" * 300,
        "/" + "x" * 5000,
        "${HOME}",
        "%s",
        "{0}",
        "<b>",
        "ü",
        "0x10",
        "1_000",
    ),
)


@pytest.mark.parametrize("name", [field.name for field in fields(Settings)])
def test_every_nonsense_is_served_or_refused_in_one_sentence(name: str) -> None:
    variable = f"DEMO_APP_{name.upper()}"
    for text in NONSENSE:
        try:
            settings = Settings.from_env({variable: text})
        except SettingsError as error:
            sentence = str(error)
            assert sentence.startswith(f"{variable}: "), text
            assert "\n" not in sentence, text
            assert sentence.isprintable(), text
            assert len(sentence) < 700 + len(repr(text)), text
        else:
            assert settings.budget > 0
            if text in EMPTY:
                assert settings == Settings(), text


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("PORT", '"8000"', 8000),
        ("PORT", "tcp://10.0.0.1:7860", None),
        ("HOST", "::1", "[::1]"),
        ("HOST", "[::1]", "[::1]"),
        ("HOST", "0.0.0.0", "0.0.0.0"),
        ("DEVICE", " CUDA ", "cuda"),
        ("DEVICE", "cuda:1", "cuda:1"),
        ("TITLE", "'Ours'", "Ours"),
        ("STRICT", '"yes"', True),
        ("MAX_UPLOAD", "'5M'", 5 * 2**20),
        ("PLUGINS_DIR", "~", Path("~").expanduser()),
        ("CHECKPOINTS", "a=~/b", (("a", Path("~/b").expanduser()),)),
    ],
)
def test_what_is_meant_is_served(name: str, text: str, value: object) -> None:
    assert getattr(Settings.from_env({f"DEMO_APP_{name}": text}), name.lower()) == value


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("PORT", "70000", "from 1 to 65535"),
        ("HOST", "http://0.0.0.0", "write it alone"),
        ("HOST", "[::1]:80", "write it alone"),
        ("DEVICE", "gpu", "write cuda"),
        ("PLUGINS_DIR", "/nowhere", "make it, or name another"),
        ("PLUGINS_DIR", __file__, "no folder that can be read"),
        ("MEMORY_BUDGET", "0", "no room"),
        ("THREADS", "5000", "up to 4096"),
    ],
)
def test_what_cannot_be_served_says_what_can(name: str, text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=rf"^DEMO_APP_{name}: .*{words}"):
        Settings.from_env({f"DEMO_APP_{name}": text})


def test_what_kubernetes_sets_for_a_service_of_that_name_is_no_slip() -> None:
    link = {
        "DEMO_APP_PORT": "tcp://10.0.0.1:7860",
        "DEMO_APP_SERVICE_HOST": "10.0.0.1",
        "DEMO_APP_SERVICE_PORT": "7860",
        "DEMO_APP_SERVICE_PORT_HTTP": "7860",
        "DEMO_APP_PORT_7860_TCP": "tcp://10.0.0.1:7860",
        "DEMO_APP_PORT_7860_TCP_PROTO": "tcp",
        "DEMO_APP_PORT_7860_TCP_PORT": "7860",
        "DEMO_APP_PORT_7860_TCP_ADDR": "10.0.0.1",
    }
    assert Settings.from_env(link) == Settings()


@pytest.mark.parametrize("variable", ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])
@pytest.mark.parametrize("text", ["", " ", "0", "-1", "many", "4.5", "9" * 30, "4,", ",2", "4;2"])
def test_a_number_of_threads_that_is_none_is_replaced(variable: str, text: str) -> None:
    environ = {variable: text}
    prepare_environment(3, environ)
    assert environ[variable] == "3"


def test_threads_of_nested_loops_are_kept_and_the_first_number_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"OMP_NUM_THREADS": "4,2"}
    prepare_environment(3, environ)
    assert environ["OMP_NUM_THREADS"] == "4,2"
    monkeypatch.setenv("OMP_NUM_THREADS", "4,2")
    assert threads() == 4
