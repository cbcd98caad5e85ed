"""A checkpoint's files on this disk: embedded, cached, or pulled from the Hugging Face Hub at a pinned commit."""
