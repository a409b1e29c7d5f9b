"""A table of strings, and how its cells say rates and tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from specsci.report.ablation import RateCell

STAR = "*"
NOTHING = "–"
"""Stands where there is no number."""


@dataclass
class Table:
    """A titled table of strings."""

    title: str
    header: list[str]
    rows: list[list[str]] = field(default_factory=list)
    note: str = ""


def rate(value: float) -> str:
    """A rate with three digits; a rate of exactly one is `1.000`."""
    return f"{value:.3f}".removeprefix("0") if value < 0.9995 else "1.000"


def tokens(value: int) -> str:
    """A number of tokens with commas between thousands."""
    return f"{value:,}"


def shown_rate(cell: RateCell | None) -> str:
    """A rate with its interval; without a valid answer what was attempted."""
    if cell is None:
        return NOTHING
    i = cell.interval
    if math.isnan(i.estimate):
        return f"– (0 of {cell.attempted:,} valid)"
    mark = "" if i.method.startswith("t ") else STAR
    return f"{rate(i.estimate)} [{rate(i.low)}, {rate(i.high)}]{mark}"


def shown_mean(cell: RateCell | None) -> str:
    """A mean value with its interval."""
    if cell is None or math.isnan(cell.interval.estimate):
        return NOTHING if cell is None else f"– (0 of {cell.attempted:,} valid)"
    i = cell.interval
    return f"{i.estimate:.3f}" + ("" if math.isnan(i.low) else f" [{i.low:.3f}, {i.high:.3f}]")
