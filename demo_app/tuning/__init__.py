"""Fine-tuning on one's own examples: what they are, how a demo learns from them, and who waits for whom."""
