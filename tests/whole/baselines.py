"""Pictures of the page, layout boxes and computed styles: taken, compared with what is committed, renewed."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from whole import tour

FOLDER = Path(__file__).parent / "baselines"
CHANGED = 0.01  # share of pixels that may differ
SAME = 48  # of 255: how far a colour may be off, for the palette and for last digits of weights
COLOURS = 48  # of a baseline's palette
MOVED = 3  # px that a box may be off in another Chromium
MEASURED = {  # drawings of times: another machine's are others
    "decoder_generator-why_a_cache": (".gen-plot svg",),
    "separable_conv-what_it_costs": (".viz-bar i", ".vega-embed", "canvas"),
    "separable_conv-twins": (".viz-bar i",),
}
GIVEN = {
    "Dataset": 0,
    "Number": None,
    "Textbox": "none of that name",
}  # to endpoints that have no default, by component
MOVING = ("video", "canvas", ".meter > i")  # what a browser decodes or plays, and what a machine has


def font() -> Path:
    """A font with Latin and Chinese letters, the same on each machine."""
    from pylopdf_fonts_zh_cn import sans_path

    return Path(sans_path())


def take(stop: tour.Stop) -> tuple[Image.Image, list[Any]]:
    """A picture of the stop and its layout boxes, numbers masked."""
    page = stop.page
    hidden = [*MOVING, *MEASURED.get(stop.name, ())]
    page.evaluate("([scope, hidden]) => net.mask(document.querySelector(scope), hidden)", [stop.scope, hidden])
    boxes = stop.ask("boxes")
    clip = page.evaluate(
        """([scope, without]) => {
            const box = document.querySelector(scope).getBoundingClientRect();
            const end = without ? document.querySelector(without).getBoundingClientRect().top : box.bottom;
            return {x: box.x + scrollX, y: box.y + scrollY, width: box.width, height: Math.max(1, end - box.y)};
        }""",
        [stop.scope, stop.without],
    )
    data = page.screenshot(clip=clip, full_page=True, animations="disabled")
    page.evaluate("net.unmask()")
    return Image.open(io.BytesIO(data)).convert("RGB"), boxes


def write(pictures: dict[str, Image.Image], boxes: dict[str, list[Any]], chromium: str) -> None:
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.png"):
        if old.stem not in pictures:
            old.unlink()
    for name, picture in pictures.items():
        picture.quantize(COLOURS, dither=Image.Dither.NONE).save(FOLDER / f"{name}.png", optimize=True)
    lines = [f'"{name}": {json.dumps(found)}' for name, found in sorted(boxes.items())]
    text = f'{{"chromium": "{chromium}",\n"boxes": {{\n' + ",\n".join(lines) + "\n}}\n"
    (FOLDER / "boxes.json").write_text(text, encoding="utf-8")


def changed(now: Image.Image, before: Image.Image) -> tuple[float, Image.Image]:
    """The share of pixels that differ, and the two beside each other with the differences in red."""
    size = (max(now.width, before.width), max(now.height, before.height))
    framed = []
    for picture in (before, now):
        frame = Image.new("RGB", size, "magenta")  # where one ends before the other, all differs
        frame.paste(picture)
        framed.append(frame)
    apart = np.abs(np.asarray(framed[0], np.int16) - np.asarray(framed[1], np.int16)).max(axis=2) > SAME
    if now.size != before.size:
        covered = (min(now.height, before.height), min(now.width, before.width))
        apart[covered[0] :, :] = apart[:, covered[1] :] = True
    red = np.asarray(framed[1]) // 2 + 127
    red[apart] = (255, 0, 0)
    beside = Image.new("RGB", (3 * size[0] + 20, size[1]), "black")
    for place, picture in enumerate([*framed, Image.fromarray(red.astype(np.uint8))]):
        beside.paste(picture, (place * (size[0] + 10), 0))
    return float(apart.mean()), beside


def compare_pictures(pictures: dict[str, Image.Image], out: Path) -> list[str]:
    """What changed, with the path of before, now and their difference beside each other."""
    complaints = [f"{path.name}: no stop of the walk has it any more" for path in extra(pictures)]
    for name, picture in pictures.items():
        path = FOLDER / f"{name}.png"
        if not path.is_file():
            complaints.append(f"{name}: there is no baseline")
            continue
        with Image.open(path) as before:
            share, beside = changed(picture, before.convert("RGB"))
        if share > CHANGED:
            target = out / f"{name}.png"
            beside.save(target)
            complaints.append(f"{name}: {100 * share:.1f} % of the pixels changed; before, now, difference: {target}")
    return complaints


def extra(pictures: dict[str, Any]) -> Iterator[Path]:
    return (path for path in sorted(FOLDER.glob("*.png")) if path.stem not in pictures)


def recorded() -> dict[str, Any]:
    """The layout boxes, and the Chromium that everything was recorded with."""
    try:
        found: dict[str, Any] = json.loads((FOLDER / "boxes.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"chromium": "", "boxes": {}}
    return found


def compare_boxes(now: dict[str, list[Any]], before: dict[str, list[Any]]) -> list[str]:
    complaints = []
    for name in sorted(now.keys() | before.keys()):
        ours, theirs = now.get(name, []), before.get(name, [])
        if [box[0] for box in ours] != [box[0] for box in theirs]:
            complaints.append(f"{name}: other elements than before ({len(theirs)} then, {len(ours)} now)")
            continue
        for new, old in zip(ours, theirs, strict=True):
            if any(abs(a - b) > MOVED for a, b in zip(new[1:], old[1:], strict=True)):
                complaints.append(f"{name}: {new[0]} was at {old[1:]} and is at {new[1:]} (x, y, width, height)")
                break
    return complaints


def functions(request: Any) -> Iterator[int]:
    """The number of the event that a request of the page starts."""
    if request.method == "POST" and ("/queue/join" in request.url or "/run/" in request.url):
        number = (request.post_data_json or {}).get("fn_index")
        if isinstance(number, int):
            yield number


def call_the_rest(server: Any, called: set[int]) -> None:
    """Call, with its defaults, each endpoint that draws and that the walk did not use. Errors are answers too."""
    import gradio as gr
    from gradio_client import Client
    from gradio_client.exceptions import AppError

    client = Client(server.url, verbose=False)
    described = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    for number, fn in server.app.blocks.fns.items():
        draws = any(isinstance(part, gr.HTML) for part in fn.outputs)
        if number in called or not draws or f"/{fn.api_name}" not in described:
            continue
        needed = {
            p["parameter_name"]: p["component"]
            for p in described[f"/{fn.api_name}"]["parameters"]
            if not p["parameter_has_default"]
        }
        if not GIVEN.keys() >= set(needed.values()):
            continue  # a file, or a choice that only a page has
        given = {name: GIVEN[component] for name, component in needed.items()}
        try:
            client.predict(**given, api_name=f"/{fn.api_name}")
        except (AppError, ValueError):
            continue  # it asks for more than the defaults
