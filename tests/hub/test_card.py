"""The YAML header of a README."""

from __future__ import annotations

import pytest

from demo_app.errors import DemoError
from demo_app.hub.card import join_header, split_header


def test_headers_are_read_as_they_are_written() -> None:
    assert split_header(join_header({"a": "1", "b": ["ü"]}, "body\n")) == ({"a": "1", "b": ["ü"]}, "body\n")
    assert split_header("# no header\n---\nx\n---\n") == ({}, "# no header\n---\nx\n---\n")
    assert split_header("---\r\na: 1\r\n---\r\nx") == ({"a": 1}, "x")
    assert split_header("---\n---\nx") == ({}, "x")
    for broken in ("---\na: [\n---\n", "---\njust words\n---\n"):
        with pytest.raises(DemoError, match="The header of README"):
            split_header(broken)
