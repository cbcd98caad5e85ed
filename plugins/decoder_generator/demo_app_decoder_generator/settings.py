"""The generation settings: their names and meanings, spelt out once for all endpoints that take them.

Gradio names an endpoint's parameters after its handler's signature and describes them by its docstring. A handler that
is marked `@takes(DRAWING)` has one parameter `settings` in their place, and Gradio sees each of them.
"""

from __future__ import annotations

import functools
import inspect
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, dataclass, field, fields
from types import MethodType
from typing import TYPE_CHECKING, Any

from demo_app import InputError
from demo_app.inputs.numbers import whole_number

if TYPE_CHECKING:
    from demo_app_decoder_generator.sampling import Sampling

DRAWING = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed")  # how a token is drawn
WRITING = (*DRAWING[:5], "max_tokens", "seed", "stop")  # how a text is written; the order of the API
MAX_STOPS, MAX_STOP = 16, 200  # texts that end it, and characters of each: all are sought after every token
LARGEST_TOP_K = 10**9
LARGEST_SEED = 2**53  # the largest whole number that JSON carries exactly


def _setting(meaning: str, default: Any = MISSING) -> Any:
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True, kw_only=True)
class GenerationSettings:
    """The settings as a visitor or a program sent them, not yet validated."""

    temperature: float = _setting("0 is greedy, 1 draws from the model's own probabilities.")
    top_p: float = _setting("keep the likeliest tokens that together have this probability.")
    top_k: int = _setting("keep so many of the likeliest tokens; 0 keeps all.")
    min_p: float = _setting("drop tokens with less than this share of the likeliest one's probability.")
    repetition_penalty: float = _setting("above 1, tokens that are in the text become less likely.")
    max_tokens: int = _setting("tokens to write at most.", default=1)
    seed: int | None = _setting("the same seed gives the same tokens; none draws one.")
    stop: str = _setting("texts that end it, one a line.", default="")

    def sampling(self) -> Sampling:
        """For the sampler, with a random seed if none was given. Raises `InputError` for a value out of its range."""
        from demo_app_decoder_generator.sampling import Sampling

        seed = random.randrange(2**31) if self.seed is None else self.seed
        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=whole_number(self.top_k, "top_k", least=0, most=LARGEST_TOP_K),
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            seed=whole_number(seed, "The seed", least=0, most=LARGEST_SEED),
        )

    def stop_strings(self) -> list[str]:
        """The non-empty lines of `stop`. Raises `InputError` for too many or too long ones."""
        lines = [line for line in (self.stop or "").splitlines() if line]
        if len(lines) > MAX_STOPS or any(len(line) > MAX_STOP for line in lines):
            raise InputError(
                "A text can stop at {most} lines of {length} characters each, at most; shorten 'Stop at'.",
                most=MAX_STOPS,
                length=MAX_STOP,
            )
        return lines


def takes(names: Sequence[str]) -> Callable[[Callable[..., Any]], property]:
    """Mark a method as a handler whose parameter `settings` stands for the named settings, in this order."""

    def mark(method: Callable[..., Any]) -> property:
        return property(lambda self: _expanded(MethodType(method, self), names), doc=method.__doc__)

    return mark


def _expanded(method: MethodType, names: Sequence[str]) -> Callable[..., Any]:
    """A function with the named settings as parameters, which calls `method` with its `settings`.

    It is no method, since `functools.wraps` copies a method's `__signature__` with `self` in it. Gradio passes all
    arguments by position.
    """
    signature = inspect.signature(method)
    place = list(signature.parameters).index("settings")
    end = place + len(names)
    types = {setting.name: setting.type for setting in fields(GenerationSettings)}

    def collected(args: tuple[Any, ...]) -> tuple[Any, ...]:
        settings = GenerationSettings(**dict(zip(names, args[place:end], strict=True)))
        return *args[:place], settings, *args[end:]

    def call(*args: Any) -> Any:
        return method(*collected(args))

    def iterate(*args: Any) -> Iterator[Any]:
        yield from method(*collected(args))

    expanded = functools.wraps(method)(iterate if inspect.isgeneratorfunction(method) else call)
    parameters = list(signature.parameters.values())
    parameters[place : place + 1] = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=types[name]) for name in names
    ]
    expanded.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": signature.return_annotation}
    expanded.__doc__ = _described(inspect.getdoc(method), names)
    return expanded


def _described(docstring: str | None, names: Sequence[str]) -> str | None:
    """The docstring with a line for each setting in place of the line on `settings`."""
    meanings = {setting.name: setting.metadata["meaning"] for setting in fields(GenerationSettings)}
    lines = "".join(rf"\g<indent>{name}: {meanings[name]}\n" for name in names)
    return docstring and re.sub(r"^(?P<indent> +)settings: .*\n", lines, docstring, flags=re.MULTILINE)
