"""Errors that a visitor or a host may read: one sentence each."""

from __future__ import annotations

import errno
from typing import Any


class DemoError(Exception):
    """One sentence that a visitor may read, ending in what to do.

    Raise it in a handler or a `load`: the host shows its text. The text of any other exception stays in the log.
    With `values` the text is a template, which is looked up in the visitor's language and then formatted.

    >>> str(DemoError("There are {n} rows; shorten the file.", n=3))
    'There are 3 rows; shorten the file.'
    """

    def __init__(self, text: str, /, **values: Any) -> None:
        super().__init__(text.format(**values) if values else text)
        self.text = text
        self.values = values

    def sentence(self) -> DemoError:
        """The same sentence as a new error, to be kept: without the traceback, whose frames hold models and tensors."""
        return DemoError(self.text, **self.values)

    def __reduce__(self) -> Any:
        return _unpickled, (type(self), self.args, self.__dict__)


def _unpickled(kind: type[DemoError], args: tuple[Any, ...], state: dict[str, Any]) -> DemoError:
    """An error as it was when it was pickled, whatever its constructor takes."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class InputError(DemoError):
    """The visitor's input cannot be used; the sentence says what can."""


class SettingsError(ValueError):
    """A variable or an option that cannot be read; the sentence names it and what it takes."""


DISK_FULL = "The server's disk is full; try again in a few minutes, and tell whoever runs it if it stays so."


def disk_is_full(error: BaseException | None) -> bool:
    """Whether an error, or one that it comes from, says that the disk or the quota is full."""
    while error is not None and not (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)):
        error = error.__cause__ or error.__context__
    return error is not None
