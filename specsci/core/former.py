"""Names of earlier versions, for what reads files, commands and records that they wrote."""

from __future__ import annotations

from typing import Any

COUNTS = {"decided": "valid", "asked": "attempted"}
"""Counts of answers, and denominators of rates."""


def today(name: Any) -> Any:
    """Today's name of a count or a denominator; whatever else is given comes back."""
    return COUNTS.get(name, name) if isinstance(name, str) else name
