"""Variance components of a study's declared contrasts, as rows of the database."""

from __future__ import annotations

import math
from typing import Any

from specsci.inference.items import ItemTable
from specsci.stats.components import Components
from specsci.stats.laws import t_quantile


def noise_row(study: str, contrast: str, table: ItemTable) -> dict[str, Any] | None:
    """Standard deviations, their shares of the squared standard error, and the half-width of 95 % now and with twice as many.

    All of it is on the rate scale, whatever the contrast's own. Twice the repeats is None where no item was sampled twice: two
    option orders are all there are.
    """
    found = table.components()
    if found is None:
        return None
    parts, variance = found.parts(), found.se() ** 2
    shares = {f"{name}_share": part / variance if variance else None for name, part in parts.items()}
    spreads = {f"{name}_sd": math.sqrt(getattr(found, name)) for name in parts}
    return {
        "study": study,
        "contrast": contrast,
        "scale": "rate",
        "bases": found.bases,
        "replicates": found.replicates,
        "items": found.items,
        "clusters": found.clusters,
        "repeats": found.repeats,
        "incomplete_items": len(table.items) - found.items,
        **spreads,
        **shares,
        "half_width": half_width(found),
        "half_width_twice_replicates": half_width(found, replicates=2),
        "half_width_twice_items": half_width(found, items=2),
        "half_width_twice_repeats": half_width(found, repeats=2) if found.samples > 1 else None,
    }


def half_width(found: Components, *, replicates: float = 1, items: float = 1, repeats: float = 1) -> float:
    """Half of a 95 % interval over replicates and items to come."""
    freedom = found.freedom(replicates=replicates, items=items)
    return float(t_quantile(0.975, freedom)) * found.se(replicates=replicates, items=items, repeats=repeats)
