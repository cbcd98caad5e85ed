"""What a Space runs: every plugin in `plugins/`, one page."""

from pathlib import Path

from demo_app import run

if __name__ == "__main__":
    run(plugins_dir=Path(__file__).parent / "plugins")
