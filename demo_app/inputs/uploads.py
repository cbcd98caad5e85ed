"""Files that a visitor uploaded, and files that are shown as if one had. Gradio is imported when one is used."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from demo_app.errors import InputError


def uploaded(value: Any) -> Path:
    """The file behind the value of a `gr.Image` or `gr.File` whose event has `preprocess=False`.

    With it nothing is decoded, let alone saved again, before the handler runs, and what is wrong with a picture is said
    by `open_picture`. That the file is an upload has to be checked here: Gradio 6.31 lets `{"path": "/etc/passwd"}`
    pass for a `gr.Image` where the value has no `meta`.

    Raises `InputError` for nothing, for an address instead of a file, and for a file that is no upload.
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
