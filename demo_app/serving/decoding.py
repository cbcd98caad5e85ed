"""What files may cost that Gradio decodes before a handler runs: their bytes, their pixels, and how many at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from demo_app import zerogpu
from demo_app.errors import InputError
from demo_app.gradio_internals import files
from demo_app.inputs.pictures import MAX_PIXELS, check_picture, may_be_picture, pixels_of, turns
from demo_app.page.app import App
from demo_app.serving.bounds import Bound
from demo_app.serving.gate import too_large

MAX_AT_ONCE = 2 * MAX_PIXELS
"""Pixels of all pictures, or layers of a drawing, that one component may have decoded for a handler."""


def bound_files(app: App) -> None:
    """Bound the files that come with requests to the page, before Gradio reads them.

    Pictures take turns with those of `open_picture`, and are lent their memory from that of loaded models.
    """
    largest, refuse = app.settings.max_upload, app.handlers.refusal
    turns.borrow = app.models.borrow
    zerogpu.after_fork(turns.renew)
    files.around_pictures(lambda decode, pictures: _decode_in_turn(decode, pictures, refuse))
    files.bound_drawings(4 * largest)
    files.bound_files(largest, lambda: refuse(too_large(Bound(size=largest, seconds=0, files=True))))


def _decode_in_turn(
    decode: Callable[[], Any], pictures: Sequence[Path | bytes], refuse: Callable[[InputError], Exception]
) -> Any:
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
