"""A bare Gradio app with as many tabs and components as the host's page, and a no-op event of each kind.

    python benchmarks/bare.py spec.json

`spec.json` is the outline of a running host's page (`common.outline`): the same tree of layout blocks and components,
with Gradio's defaults and no values, so that only the host differs, not the content of the page.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import gradio as gr

CLASSES = {name.lower(): value for name, value in vars(gr).items() if isinstance(value, type)}
CLASSES["nativeplot"] = gr.LinePlot  # what a page calls all plots of that family
LAYOUT = {"row", "column", "tabs", "tabitem", "group", "accordion", "sidebar"}


def main() -> None:
    spec = json.loads(Path(sys.argv[1]).read_text())
    made: list[Any] = []
    with gr.Blocks(title="Bare") as page:
        for node in spec:
            add(node, made)
        boxes = [block for block in made if isinstance(block, gr.Textbox)] or [gr.Textbox()]
        box = boxes[0]
        box.submit(queued, box, box, api_name="queued")
        box.submit(unqueued, box, box, api_name="unqueued", queue=False)
    page.launch(quiet=True)


def queued(text: str) -> str:
    return text


def unqueued(text: str) -> str:
    return text


def add(node: dict[str, Any], made: list[Any]) -> None:
    kind = node["type"]
    if kind == "form":  # Gradio makes forms itself, around neighbouring inputs
        for child in node["children"]:
            add(child, made)
    elif kind in LAYOUT:
        options = {"label": node["label"]} if kind in {"tabitem", "accordion"} else {}
        with CLASSES[kind](**options):
            for child in node["children"]:
                add(child, made)
    else:
        made.append(component(kind, node["label"]))


def component(kind: str, label: str | None) -> Any:
    if kind in {"dropdown", "radio", "checkboxgroup"}:
        return CLASSES[kind](["a", "b"], label=label)
    if kind == "dataset":
        return gr.Dataset(components=["textbox"], samples=[["a"], ["b"]])
    if kind == "button":
        return gr.Button(label or "Run")
    if kind in {"html", "markdown", "state"}:
        return CLASSES[kind]("")
    return CLASSES[kind](label=label)


if __name__ == "__main__":
    main()
