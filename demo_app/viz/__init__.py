"""Drawings: numbers and texts in, safe HTML out. Imports neither gradio nor torch.

Each function returns one string for a `gr.HTML` with its default template: every text in it went through `escape`,
every number through `float`, and it holds no script. Never put it, or anything a visitor wrote, into an
`html_template`: that is evaluated in the page. Colours and sizes are in `viz.css`, which the host serves; they follow
the theme, light or dark, and show a sign by hue *and* by position (blue above or right of the line, orange below or
left), so the hue alone never carries it. Each drawing has a text alternative: the `label` and its largest values.

A drawing of many numbers (`heat_map`, `heads_grid`, `tiles`) carries them as one small PNG that masks a theme colour:
64 x 64 weights are 3 kB instead of 4,096 elements. `script()` is the JavaScript (`js_on_load`) that lets a mouse or
the arrow keys read a weight, and a click or Enter on a thumbnail open it.

    gr.HTML(viz.token_strip(["not", "bad"], [0.4, -0.9], label="What spoke for 'positive'", diverging=True))
"""

from demo_app.viz.charts import bars, confusion, lines, progress, table
from demo_app.viz.html import escape, note, script, side_by_side, stylesheet
from demo_app.viz.maps import heads_grid, heat_map, tiles
from demo_app.viz.tokens import token_buttons, token_strip

__all__ = [
    "bars",
    "confusion",
    "escape",
    "heads_grid",
    "heat_map",
    "lines",
    "note",
    "progress",
    "script",
    "side_by_side",
    "stylesheet",
    "table",
    "tiles",
    "token_buttons",
    "token_strip",
]
