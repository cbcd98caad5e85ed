"""Numbers that visitors and programs send, which may be missing, of another type, or without bound."""

from __future__ import annotations

import math
from typing import Any

from demo_app.errors import InputError


def whole_number(value: Any, name: str, *, least: int, most: int | None = None) -> int:
    """The value as an `int`; 3.0 counts as 3. Raises `InputError`, which names the bounds, for anything else.

    >>> whole_number(3.0, "Beams", least=1, most=8)
    3
    """
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if number and value == int(value) and value >= least and (most is None or value <= most):
        return int(value)
    if most is None:
        raise InputError("{name} is {value}; give a whole number from {least} up.", name=name, value=value, least=least)
    raise InputError(
        "{name} is {value}; give a whole number from {least} to {most}.",
        name=name,
        value=value,
        least=f"{least:,}",
        most=f"{most:,}",
    )


def number_between(value: Any, name: str, least: float, most: float) -> float:
    """The value as a `float`. Raises `InputError`, which names the bounds, for anything else.

    >>> number_between(1, "Decay", 0, 1)
    1.0
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise InputError(
            "{name} is {value}; give a number from {least} to {most}.",
            name=name,
            value=value,
            least=f"{least:g}",
            most=f"{most:g}",
        )
    return float(value)
