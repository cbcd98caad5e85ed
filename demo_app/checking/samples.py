"""Values for the inputs of an action: what an empty page sends, and a sample for each empty input."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

TEXTS = ("textbox", "textarea", "code", "markdown", "html")
UPLOADS = ("image", "file", "audio", "video", "gallery", "model3d", "uploadbutton", "imageslider")
NO_DRAWING: dict[str, Any] = {"background": None, "layers": [], "composite": None}
SAMPLE_TEXT = "Hello, world."
SAMPLE_PICTURE = base64.b64decode(  # 8 x 8 pixels, grey
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAD0lEQVR42mNowAEYhpYEAILzYAEllbNjAAAAAElFTkSuQmCC"
)


def empty_value(component: Mapping[str, Any]) -> Any:
    """What the page sends for an input that a visitor has cleared; an input that cannot be empty keeps its value.

    `component`: its entry in the page's config, with `type` and `props`.
    """
    kind = component["type"]
    if kind in TEXTS:
        return ""
    if kind == "imageeditor":
        return NO_DRAWING
    if kind == "multimodaltextbox":
        return {"text": "", "files": []}
    return None if kind in UPLOADS else component["props"].get("value")


class SampleValues:
    """A value for each input: the one it starts with, or a sentence or a grey picture if it starts empty."""

    def __init__(self, url: str) -> None:
        self.url = url  # of the server that pictures are uploaded to

    def __call__(self, component: Mapping[str, Any]) -> Any:
        kind, value = component["type"], component["props"].get("value")
        if kind == "imageeditor" and not (value and value.get("composite")):
            picture = self._uploaded_picture()
            return NO_DRAWING | {"background": picture, "composite": picture}
        if value not in (None, "", []):
            return value
        if kind in TEXTS:
            return SAMPLE_TEXT
        return self._uploaded_picture() if kind == "image" else empty_value(component)

    def _uploaded_picture(self) -> dict[str, Any]:
        import httpx

        files = {"files": ("sample.png", SAMPLE_PICTURE, "image/png")}
        (path,) = httpx.post(f"{self.url}gradio_api/upload", files=files, timeout=60).json()
        return {"path": path, "meta": {"_type": "gradio.FileData"}}
