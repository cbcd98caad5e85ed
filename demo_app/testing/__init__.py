"""For authors of plugins: `check_demo` says all that is wrong with one, `serve` runs it as visitors will meet it.

The fixtures are in `demo_app.testing.fixtures`, which pytest loads by itself; the Hub of the tests in
`demo_app.testing.hub`, calls over bare HTTP in `demo_app.serving.client`.
"""

from demo_app.checking.plugin import check_demo
from demo_app.checking.report import Problem, Report
from demo_app.serving.local import serve
from demo_app.testing.host import DemoHost, serve_plugin

__all__ = ["DemoHost", "Problem", "Report", "check_demo", "serve", "serve_plugin"]
