"""Files that visitors uploaded, and files offered like uploads. Imports Gradio only when a function is called."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from demo_app.errors import InputError
from demo_app.inputs.pictures import MAX_PIXELS, check_picture, may_be_picture, pixels_of, turns

MAX_AT_ONCE = 2 * MAX_PIXELS
"""Pixels of all pictures, or layers of a drawing, that one component may have decoded for a handler."""


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


def bound_pictures(refuse: Callable[[InputError], Exception]) -> None:
    """Have pictures that Gradio decodes before a handler runs take turns with those of `open_picture`.

    `refuse` makes what is raised for one that has too many pixels, or whose turn does not come.
    """
    from demo_app.gradio_internals.files import around_pictures

    def around(decode: Callable[[], Any], pictures: Sequence[Path | bytes]) -> Any:
        try:
            for picture in pictures:
                if may_be_picture(picture):  # something else is the component's: it may take drawings or videos
                    check_picture(picture)
            count = [pixels_of(picture) for picture in pictures]
            if sum(count) > MAX_AT_ONCE:
                raise InputError(
                    "The pictures have {count} million pixels together and the limit is {limit} million; take fewer, "
                    "or smaller ones.",
                    count=f"{sum(count) / 1e6:,.0f}",
                    limit=f"{MAX_AT_ONCE / 1e6:,.0f}",
                )
            with turns.turn(sum(count)):
                return decode()
        except InputError as error:
            raise refuse(error) from error

    around_pictures(around)
