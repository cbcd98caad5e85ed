"""Loaded models: the cache under a byte budget, visitors' own checkpoints, and what is known of each."""
