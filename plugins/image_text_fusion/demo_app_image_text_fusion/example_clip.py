"""The clip that the tab opens with: a red circle moves past a blue square, from its left to its right.

python -m demo_app_image_text_fusion.example_clip      rewrites assets/clip.webm
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image

from demo_app_image_text_fusion.scenes import SIZE, Scene, Thing, draw

FILE = Path(__file__).parent / "assets" / "clip.webm"
QUESTION = "is there a red circle to the left of the blue square?"
SECONDS, RATE = 6, 12  # frames a second
SCALE = 6  # a scene's pixel is SCALE x SCALE pixels of the clip


def scene(share: float) -> Scene:
    """The scene after that share of the clip, 0 to 1."""
    things = (
        Thing(shape="square", colour="blue", x=SIZE / 2, y=44.0, radius=7.5),
        Thing(shape="circle", colour="red", x=9 + share * (SIZE - 18), y=22 + 6 * math.sin(7 * share), radius=7.0),
        Thing(shape="triangle", colour="green", x=53.0, y=54.0, radius=7.0),
    )
    return Scene(things=things, ground=(245, 243, 238), grain=1)


def write(file: Path = FILE) -> None:
    import av

    file.parent.mkdir(exist_ok=True)
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=RATE)
        stream.width = stream.height = SCALE * SIZE
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 120_000
        for number in range(SECONDS * RATE):
            picture = Image.fromarray(draw(scene(number / (SECONDS * RATE - 1))))
            large = picture.resize((SCALE * SIZE, SCALE * SIZE), Image.Resampling.BICUBIC)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(large), format="rgb24")))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    write()
