"""`demo-app plugins`: list plugins, their demos and checkpoints."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from demo_app.cli.arguments import add_command
from demo_app.models.checkpoints import where
from demo_app.registry.loading import load_plugins
from demo_app.registry.plugin import Plugin
from demo_app.settings import Settings


def add_parser(commands: Any) -> None:
    parser = add_command(commands, "plugins", run, "List plugins, their demos and checkpoints; 1 if one failed.")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    plugins = load_plugins(Settings.from_env(plugins_dir=args.plugins_dir))
    if args.json:
        sys.stdout.write(json.dumps([_as_json(plugin) for plugin in plugins], indent=2) + "\n")
    else:
        for plugin in plugins:
            sys.stdout.write(_as_text(plugin))
        if not plugins:
            sys.stdout.write("No plugins. Install one, or name a folder with --plugins-dir.\n")
    return any(plugin.state == "failed" for plugin in plugins)


def _as_json(plugin: Plugin) -> dict[str, Any]:
    return {
        "name": plugin.name,
        "status": plugin.state,
        "stage": plugin.stage,
        "reason": plugin.reason,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "source": plugin.source,
        "path": str(plugin.path) if plugin.path else None,
        "import_ms": round(plugin.import_ms, 1),
        "demos": [
            {
                "name": demo.name,
                "title": demo.title,
                "summary": demo.summary,
                "order": demo.order,
                "checkpoints": [
                    {
                        "name": checkpoint.name,
                        "title": checkpoint.title,
                        "where": where(checkpoint),
                        "repo_id": checkpoint.repo_id,
                        "revision": checkpoint.revision,
                        "size": checkpoint.size,
                        "license": checkpoint.license,
                    }
                    for checkpoint in demo.checkpoints
                ],
            }
            for demo in plugin.demos
        ],
    }


def _as_text(plugin: Plugin) -> str:
    lines = [f"{plugin.name}  {plugin.provider}  {plugin.origin}  {plugin.state}  {plugin.import_ms:.0f} ms"]
    if plugin.reason:
        lines.append(f"  {plugin.stage + ': ' if plugin.stage else ''}{plugin.reason}")
    for demo in plugin.demos:
        lines.append(f"  {demo.name}: {demo.summary}")
        lines += [f"    {checkpoint.name}: {checkpoint.title} ({where(checkpoint)})" for checkpoint in demo.checkpoints]
    return "\n".join(lines) + "\n"
