"""What a gate says of a plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """What a gate found: `refuse` stops a run, `warn` and `note` are printed."""

    level: Literal["refuse", "warn", "note"]
    gate: str
    text: str
    hint: str = ""
