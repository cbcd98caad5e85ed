"""The tests here use the host from this folder, not an installed one: so its pytest plugin is named.

Each process that runs tests has a folder of its own for uploads: what one test counts, no other process adds to.
"""

import os
import tempfile

pytest_plugins = ["demo_app.testing.fixtures"]

_uploads = tempfile.TemporaryDirectory(prefix="demo-app-uploads-")
os.environ["GRADIO_TEMP_DIR"] = _uploads.name
