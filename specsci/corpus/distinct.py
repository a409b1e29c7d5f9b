"""Drawing until something new comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from specsci.core.errors import StepFailed
from specsci.core.ids import digest


class Fresh:
    """Draws again what was drawn before, where no text may occur twice; else hands on what is drawn."""

    TRIES = 200

    def __init__(self, distinct: bool) -> None:
        self.distinct = distinct
        self.seen: set[str] = set()

    def __call__(self, draw: Callable[[], Any], text_of: Callable[[Any], Any], about: str) -> Any:
        """What `draw` gives; raises StepFailed where nothing new comes of many draws."""
        if not self.distinct:
            return draw()
        for _ in range(self.TRIES):
            made = draw()
            key = digest(text_of(made))
            if key not in self.seen:
                self.seen.add(key)
                return made
        raise StepFailed(
            f"the grammar has no further text about {about}: {len(self.seen):,} were made",
            hint="give the grammar more phrases, situations or templates, or ask for fewer tokens",
        )
