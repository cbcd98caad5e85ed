"""What a Space runs: every plugin in `plugins/`, one page. `DEMO_APP_*` variables win over what is named here."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:  # as with python -I, or PYTHONSAFEPATH
    sys.path.insert(0, str(HERE))

from demo_app import run  # noqa: E402

if __name__ == "__main__":
    run(plugins_dir=HERE / "plugins")
