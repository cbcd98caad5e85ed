"""The command line `demo-app`: one file a command."""

from demo_app.cli.main import main

__all__ = ["main"]
