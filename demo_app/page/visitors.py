"""Which visitor an event comes from: a session of Gradio's, from opening the page until a while after it is closed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import gradio as gr


def visitor(request: gr.Request) -> str:
    """A name for the visitor who sent the request; the same while their page is open, or is opened again soon."""
    from demo_app.page.visits import visits_of

    session, visits = str(request.session_hash or id(request)), visits_of(request)
    return visits.visitor(session) if visits is not None else session


def uploaded_by(request: gr.Request, file: Path) -> bool:
    """Whether the visitor who sent the request uploaded the file, and nobody else did: it may be deleted with them."""
    from demo_app.page.visits import cookie_of, visits_of

    visits = visits_of(request)
    return visits is not None and visits.owns(str(file), cookie_of(request.headers))
