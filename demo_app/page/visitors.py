"""Which visitor an event comes from: a session of Gradio's, from opening the page until it is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import gradio as gr


def visitor(request: gr.Request) -> str:
    """A name for the visitor who sent the request; the same for as long as their page is open."""
    return str(request.session_hash or id(request))
