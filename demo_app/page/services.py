"""What the tabs of all demos share."""

from __future__ import annotations

from dataclasses import dataclass

from demo_app.finetune.jobs import Trainings
from demo_app.models.cache import Models
from demo_app.page.guard import Handlers
from demo_app.page.visits import Visits
from demo_app.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Services:
    """The models, the trainings, the guard and the visitors of one page."""

    models: Models
    trainings: Trainings
    handlers: Handlers
    visits: Visits

    @property
    def settings(self) -> Settings:
        """The host's settings."""
        return self.handlers.settings
