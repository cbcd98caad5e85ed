"""The generation settings are spelt out once: what Gradio sees of them, and which values are accepted."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from typing import Any

import pytest
from demo_app_decoder_generator.settings import DRAWING, WRITING, GenerationSettings, takes

from demo_app import InputError

VALUES = {"temperature": 1.0, "top_p": 0.9, "top_k": 5, "min_p": 0.1, "repetition_penalty": 1.2, "seed": 3}


class Handlers:
    @takes(DRAWING)
    def draw(self, walk: str, settings: GenerationSettings, request: object) -> tuple[Any, ...]:
        """Draw one.

        Args:
            walk: kept by the session.
            settings: how.

        Returns:
            The token.
        """
        return self, walk, settings, request

    @takes(WRITING)
    def write(self, settings: GenerationSettings) -> Iterator[GenerationSettings]:
        try:
            yield settings
            yield settings
        finally:
            self.closed = True


def settings(**changes: Any) -> GenerationSettings:
    return GenerationSettings(**(VALUES | changes))


def test_a_handler_gets_the_settings_as_one_and_gradio_sees_each() -> None:
    handlers = Handlers()
    names = ["walk", *DRAWING, "request"]
    assert list(inspect.signature(handlers.draw).parameters) == names
    assert list(handlers.draw.__annotations__) == [*names, "return"]
    assert inspect.signature(handlers.draw).return_annotation == "tuple[Any, ...]"
    assert handlers.draw.__name__ == "draw"
    assert handlers.draw("here", *VALUES.values(), "request") == (handlers, "here", settings(), "request")
    assert list(inspect.signature(handlers.write).parameters) == list(WRITING)


def test_a_handlers_docstring_describes_each_setting() -> None:
    described = inspect.getdoc(Handlers().draw)
    assert described is not None
    arguments = described.partition("Args:\n")[2].partition("\n\nReturns:")[0].splitlines()
    assert [line.split(":")[0].strip() for line in arguments] == ["walk", *DRAWING]
    assert all(line.startswith("    ") and line.endswith(".") for line in arguments)


def test_a_generator_stays_one_and_is_closed_with_its_wrapper() -> None:
    handlers = Handlers()
    assert inspect.isgeneratorfunction(handlers.write)
    assert not inspect.isgeneratorfunction(handlers.draw)
    written = handlers.write(1.0, 0.9, 5, 0.1, 1.2, 20, 3, "END\n\nSTOP")
    found = next(written)
    assert found == settings(max_tokens=20, stop="END\n\nSTOP")
    assert found.stop_strings() == ["END", "STOP"]
    written.close()
    assert handlers.closed


def test_too_few_arguments_are_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        Handlers().draw("here", 1.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, "hot", None, True])
@pytest.mark.parametrize("name", ["temperature", "top_p", "min_p", "repetition_penalty", "top_k"])
def test_a_value_that_is_no_number_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"{name} is .*; give a (whole )?number from \S+ to \S+\."):
        settings(**{name: value}).sampling()


@pytest.mark.parametrize(("name", "called", "most"), [("seed", "The seed", 2**53), ("top_k", "top_k", 10**9)])
def test_the_message_for_a_whole_number_names_the_bounds_that_hold(name: str, called: str, most: int) -> None:
    for accepted in (0, 7.0, most):
        assert getattr(settings(**{name: accepted}).sampling(), name) == accepted
    for refused in (-1, 0.5, most + 1, "x", math.nan):
        with pytest.raises(InputError) as raised:
            settings(**{name: refused}).sampling()
        assert str(raised.value) == f"{called} is {refused}; give a whole number from 0 to {most:,}."


def test_without_a_seed_each_sampling_has_one_of_its_own() -> None:
    assert len({settings(seed=None).sampling().seed for _ in range(5)}) == 5
