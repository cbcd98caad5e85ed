"""Plugins: found, checked against their requirements, imported and registered, one at a time.

For the rest of the host:

* `plugin`: `Plugin`, an entry point and what became of it, and `PluginError`
* `discovery`: find plugins without importing anything
* `loading`: import and register them; add checkpoints of the host's own
* `requirements`: what a plugin requires that is not installed
* `guarded`: run a plugin's code, which may raise anything, take for ever, or change what all plugins share
* `process`: what all plugins share in this process, put back if one changes it
* `modules`: the modules of folder plugins
"""
