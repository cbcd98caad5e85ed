"""Models that are loaded before a visitor asks for one."""

from __future__ import annotations

import difflib
import logging
import time
from collections.abc import Iterator

from demo_app import zerogpu
from demo_app.errors import SettingsError
from demo_app.models.checkpoints import default_checkpoint, where
from demo_app.page.app import App
from demo_app.page.tabs import Tab

log = logging.getLogger(__name__)

PAGE_SECONDS = 10  # to wait for the first browser


def warm(app: App) -> None:
    """Load the models that `DEMO_APP_PRELOAD` names, once a browser has opened the page or 10 s have passed."""
    tabs = list(_preloaded(app))
    if tabs:
        app.page_seen.wait(timeout=PAGE_SECONDS)
        time.sleep(1)  # the browser is fetching the page's parts; `import torch` would take the CPU from it
    for tab in tabs:
        assert tab.demo is not None
        try:
            with app.models.use(tab.demo):
                log.info("%s: warmed", tab.name)
        except Exception as error:
            log.warning("%s: not warmed: %s", tab.name, error)


def warm_for_gpu(app: App) -> None:
    """Load embedded checkpoints and each demo's default one, so that `spaces` takes them along to the GPU."""
    for tab in app.tabs:
        if tab.demo is None:
            continue
        default = default_checkpoint(tab.demo)
        embedded = [checkpoint for checkpoint in tab.demo.checkpoints if not checkpoint.on_hub]
        for name in dict.fromkeys(checkpoint.name if checkpoint else None for checkpoint in (default, *embedded)):
            try:
                with zerogpu.warming(), app.models.use(tab.demo, name):
                    log.info("%s/%s: ready for the GPU", tab.name, name)
            except Exception as error:
                log.warning("%s/%s: not ready for the GPU: %s", tab.name, name, error)


def check_preload(app: App) -> None:
    """Raise `SettingsError` for a name in `DEMO_APP_PRELOAD` that no demo has, with the nearest one.

    Only log it while a plugin has failed or is disabled, whose demo it may be.
    """
    names = [tab.name for tab in app.tabs if tab.demo is not None]
    for name in app.settings.preload:
        if name in (*names, "first", "all", "none"):
            continue
        nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
        hint = f"did you mean {nearest[0]}?" if nearest else f"write {', '.join(['first', 'all', 'none', *names])}."
        text = f"DEMO_APP_PRELOAD: there is no demo {name!r}; {hint}"
        if all(plugin.state == "ok" for plugin in app.plugins):
            raise SettingsError(text)
        log.warning(text)


def _preloaded(app: App) -> Iterator[Tab]:
    """Tabs whose default model is loaded at start; never one that would have to be fetched first."""
    ready = [tab for tab in app.tabs if tab.demo is not None]
    wanted = app.settings.preload
    for i, tab in enumerate(ready):
        assert tab.demo is not None
        checkpoint = default_checkpoint(tab.demo)
        named = tab.name in wanted or "all" in wanted or ("first" in wanted and i == 0)
        if named and (checkpoint is None or not checkpoint.on_hub or where(checkpoint) == "on disk"):
            yield tab
