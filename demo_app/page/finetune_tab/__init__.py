"""The tab "Fine-tune" of a demo."""
