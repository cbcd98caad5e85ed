"""What is written in the log: no visitor's token, and one line for each record, whatever a visitor sent."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any, TextIO

_SECRETS = re.compile(
    r"(?P<kept>\bhf_(?:org_)?|\bBearer\s+|\b(?:password|passwd|secret|token|api_?key|authorization)"
    r"[\"']?\s*[:=]\s*[\"']?(?:Bearer\s+)?)(?P<secret>[A-Za-z0-9_\-.=/+~]{6,})",
    re.IGNORECASE,
)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")  # all but the tab


def masked(text: str) -> str:
    """The text without tokens and passwords.

    >>> masked("refused: hf_abcdefghij, Bearer xyzxyzxyz")
    'refused: hf_***, Bearer ***'
    """
    return _SECRETS.sub(lambda found: f"{found['kept']}***", text)


def one_line(text: str) -> str:
    r"""The text with control characters escaped.

    >>> one_line("a\nb")
    'a\\nb'
    """
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def guard() -> None:
    """Mask and escape all that this process logs from now on, and mask what it prints. For the process's main module.

    A traceback keeps its lines, each with a mark before it: none of them can be taken for a record of its own.
    """
    make = logging.getLogRecordFactory()
    if getattr(make, "guards", False):
        return

    def guarded(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        try:
            record.msg, record.args = one_line(masked(record.getMessage())), ()
            if record.exc_info:
                lines = masked(logging.Formatter().formatException(record.exc_info)).splitlines()
                record.exc_text = "\n".join(f"  | {one_line(line)}" for line in lines)
        except Exception:  # a record whose arguments do not fit: logging says so
            return record
        return record

    guarded.guards = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(guarded)
    sys.stdout, sys.stderr = _Masking(sys.stdout), _Masking(sys.stderr)


class _Masking:
    """A stream that masks what is written to it: Gradio prints what it was sent."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(masked(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
