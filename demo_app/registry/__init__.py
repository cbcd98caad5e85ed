"""Plugins: found, checked against their requirements, imported and registered, one at a time."""
