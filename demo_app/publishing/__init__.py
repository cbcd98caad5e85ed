"""Spaces and checkpoints as repositories for the Hub."""
