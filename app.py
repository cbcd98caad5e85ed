"""What a Space runs: every plugin in `plugins/`, one page. `DEMO_APP_*` variables win over what is named here."""

from pathlib import Path

from demo_app import run

if __name__ == "__main__":
    run(plugins_dir=Path(__file__).parent / "plugins")
