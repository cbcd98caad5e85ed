"""Why a Space or a checkpoint cannot be published."""

from __future__ import annotations

from demo_app.errors import DemoError


class PublishError(DemoError):
    """The checkpoint cannot be published as it is; the sentence says what to change."""


class SpaceError(DemoError):
    """No Space can be made of these plugins; the sentence says what to change."""
