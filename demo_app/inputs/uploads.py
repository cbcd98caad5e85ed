"""Files that visitors uploaded, and files offered like uploads. Imports Gradio only when a function is called."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from demo_app.errors import InputError


def uploaded(value: Any) -> Path:
    """The file behind the value of a `gr.Image` or `gr.File` whose event has `preprocess=False`.

    With `preprocess=False` Gradio does not decode the file and save it again before the handler runs, and
    `open_picture` reports what is wrong with a picture. The check that the file is an upload is needed: Gradio 6.31
    accepts `{"path": "/etc/passwd"}` for a `gr.Image` if the value has no `meta`.

    Raises `InputError` if the value is empty, is a URL, or names a file that is not an upload.
    """
    path = value.get("path") if isinstance(value, dict) else value
    if not path or not isinstance(path, str):
        raise InputError("Nothing is uploaded yet; choose a file.")
    from demo_app.gradio_internals import upload_folder

    file = Path(os.path.realpath(path))
    if not file.is_relative_to(os.path.realpath(upload_folder())) or not file.is_file():
        raise InputError("The upload is not on this server any more; upload it again.")
    return file


def add_upload(file: Path) -> Path:
    """A copy of the file among the uploads: a handler may return its path, and the page may show it."""
    from demo_app.gradio_internals import add_to_uploads

    return add_to_uploads(file)
