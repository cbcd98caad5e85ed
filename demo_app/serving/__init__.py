"""Serve the page: launch, limits of requests, metrics, MCP; and a client of a running page."""
