"""Spaces and checkpoints, made here and uploaded to the Hub."""
