"""The version of the host."""

__version__ = "0.1.0"
