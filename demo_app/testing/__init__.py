"""For tests of plugins: `check_demo` lists everything that is wrong with one, `serve` runs it as visitors meet it.

The fixtures are in `demo_app.testing.fixtures`, which pytest loads by itself; the Hub of the tests is
`demo_app.testing.hub`, its faults are in `demo_app.testing.faults`. Calls without `gradio_client` are in
`demo_app.serving.client`.
"""

from demo_app.checking.plugin import check_demo
from demo_app.checking.report import Problem, Report
from demo_app.serving.local import serve
from demo_app.testing.host import DemoHost, scores, serve_plugin

__all__ = ["DemoHost", "Problem", "Report", "check_demo", "scores", "serve", "serve_plugin"]
