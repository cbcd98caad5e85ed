"""Importing a plugin: what it imports at once that takes seconds."""

from __future__ import annotations

import json
import subprocess
import sys

from demo_app.registry.plugin import Plugin

HEAVY = ("torch", "gradio", "transformers", "torchvision", "tensorflow", "jax")


def heavy_imports(plugin: Plugin) -> list[tuple[str, str]]:
    """(module, file:line) of each of `HEAVY` that importing the plugin imports, in a fresh interpreter.

    The line is in the plugin's own code, even if it imports something that imports torch.
    """
    module = plugin.value.partition(":")[0]
    code = f"""
import builtins, json, sys
sys.path[:] = {sys.path!r}
own, before, culprits, real = {module.partition(".")[0]!r}, set(sys.modules), {{}}, builtins.__import__
def watch(name, *args, **kwargs):
    top = name.partition(".")[0]
    if top in {HEAVY!r} and top not in culprits and top not in before:
        frame = first = sys._getframe(1)
        while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] != own:
            frame = frame.f_back
        frame = frame or first
        culprits[top] = f"{{frame.f_code.co_filename}}:{{frame.f_lineno}}"
    return real(name, *args, **kwargs)
builtins.__import__ = watch
try:
    real({module!r})
except BaseException:
    pass
print(json.dumps(culprits))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    culprits: dict[str, str] = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}
    return list(culprits.items())
