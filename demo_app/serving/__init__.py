"""Serve the page: launch, limits of requests, metrics, MCP."""
