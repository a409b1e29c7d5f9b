"""What `specsci doctor` finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Check:
    """One finding: `ok`, `warn` (works, with a limit) or `error` (specsci will not work)."""

    name: str
    level: Literal["ok", "warn", "error"]
    text: str
    hint: str = ""
