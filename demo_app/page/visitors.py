"""Who a visitor is: a session of Gradio's, from opening the page until it is closed."""

from __future__ import annotations

import gradio as gr


def visitor(request: gr.Request) -> str:
    """Who asks, for as long as their page is open."""
    return str(request.session_hash or id(request))
