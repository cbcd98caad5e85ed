"""Models in memory, and the checkpoints they are loaded from.

For the rest of the host:

* `cache`: `Models`, all models of this process by demo and checkpoint; `demo_models`: the same as one demo sees it
* `state`: what a page can show of a checkpoint, and the errors of a checkpoint that cannot be used
* `checkpoints`: which checkpoint is the default, where its files are, how it is labelled
* `batching`: compute in one batch what many visitors ask at the same time (for plugins too)

* `lease`: what `handle.use()` gives; while a tab is built it gives none
* `measuring`: bytes that a model takes

For this package alone: `slots` holds the loaded models under the memory budget, `own` the checkpoints that visitors
added for themselves.
"""
