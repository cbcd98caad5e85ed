"""A checkpoint's files on this disk: embedded, cached, or fetched from the Hugging Face Hub at a pinned commit.

For the rest of the host:

* `files`: where files are, without a request
* `fetch`: bring them here and check them; `shared`: one download for all visitors who wait for it; `progress`
* `upload`: write a repository; `card`: read and write the header of a model card
* `errors`: what any of these raises, one tree

For this package alone: `download` runs one fetch, `client` watches huggingface_hub's HTTP client, `faults` translates
its exceptions into `errors`, `checksums` remembers what was verified. `download`, `client` and `faults` import
huggingface_hub, which takes 0.3 s: the others import them inside functions.
"""
