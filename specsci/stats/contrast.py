"""Contrasts: linear combinations of arms, paired within replicate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from specsci.stats.intervals import NO_SPREAD

Array = np.ndarray
Scale = Literal["rate", "logit", "arcsine"]


@dataclass(frozen=True)
class ContrastResult:
    """One contrast: its estimate, interval and test, and the value in each replicate."""

    estimate: float
    se: float
    statistic: float
    p: float
    ci_low: float
    ci_high: float
    n: int
    method: str
    per_replicate: tuple[float, ...]


def transform(rates: Array, scale: Scale, items: int) -> Array:
    """Rates on the declared scale; the logit adds half an item to both counts, so 0 and 1 are finite."""
    if scale == "rate":
        return rates
    if scale == "arcsine":
        return np.arcsin(np.sqrt(rates))
    smoothed = (rates * items + 0.5) / (items + 1)
    return np.log(smoothed / (1 - smoothed))


def paired_contrast(
    rates: Array, weights: Array, items: int, scale: Scale = "rate", confidence: float = 0.95
) -> ContrastResult:
    """A weighted sum of arms in each replicate, and a one-sample t over the replicates.

    Args:
        rates: shape (replicates, arms); the arms of a row share base model and data draw.
        weights: shape (arms,).
        items: items that a rate is over.

    Where all replicates agree exactly there is no test: statistic, p and interval are NaN.

    Raises:
        ValueError: fewer than two replicates, or shapes that do not fit.
    """
    rates, weights = np.asarray(rates, float), np.asarray(weights, float)
    if rates.ndim != 2 or rates.shape[1] != len(weights):
        raise ValueError(f"rates {rates.shape} do not fit {len(weights)} weights")
    values = transform(rates, scale, items) @ weights
    n = len(values)
    if n < 2:
        raise ValueError("a contrast over replicates needs at least two replicates")
    mean, se = float(values.mean()), float(values.std(ddof=1) / math.sqrt(n))
    method = f"paired t over {n} replicates ({scale} scale)"
    per_replicate = tuple(float(v) for v in values)
    if se < NO_SPREAD:
        nan = math.nan
        return ContrastResult(mean, 0.0, nan, nan, nan, nan, n, method + "; no spread, no test", per_replicate)
    statistic = mean / se
    half = float(stats.t.ppf(0.5 + confidence / 2, n - 1)) * se
    p = float(2 * stats.t.sf(abs(statistic), n - 1))
    return ContrastResult(mean, se, statistic, p, mean - half, mean + half, n, method, per_replicate)


def leave_one_out(rates: Array, weights: Array, items: int, scale: Scale = "rate") -> bool:
    """Whether dropping any single replicate makes the interval cover 0 that did not, or the reverse."""
    if len(rates) < 3:
        return False
    full = paired_contrast(rates, weights, items, scale)
    verdict = full.ci_low > 0 or full.ci_high < 0
    for dropped in range(len(rates)):
        part = paired_contrast(np.delete(rates, dropped, axis=0), weights, items, scale)
        if (part.ci_low > 0 or part.ci_high < 0) != verdict:
            return True
    return False
