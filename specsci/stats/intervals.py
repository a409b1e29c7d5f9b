"""Intervals over replicates, and Wilson intervals where only counts exist."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from specsci.stats.laws import normal_cdf, normal_quantile, t_quantile

Array = np.ndarray
NO_SPREAD = 1e-12
"""Below this standard deviation replicates agree: equal rates may differ in their last bits."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence limits, the number of replicates and the method."""

    estimate: float
    low: float
    high: float
    n: int
    method: str


def wilson(successes: float, trials: float, confidence: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval of a binomial rate (Wilson 1927)."""
    if trials <= 0:
        return 0.0, 1.0
    z = float(normal_quantile(0.5 + confidence / 2))
    rate = successes / trials
    scale = 1 + z * z / trials
    centre = (rate + z * z / (2 * trials)) / scale
    half = z / scale * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    low = 0.0 if successes <= 0 else max(0.0, centre - half)
    return low, 1.0 if successes >= trials else min(1.0, centre + half)


def rate_interval(rates: Array, items: Array | float, confidence: float = 0.95) -> Interval:
    """A mean rate over replicates with a t interval, the replicate being the unit.

    Args:
        rates: one rate per replicate, shape (replicates,).
        items: items with a valid answer of this arm in one replicate, or in each, shape (replicates,).

    Where all replicates agree exactly the t interval has no width; there, and with a single replicate,
    the Wilson interval of one replicate's items is given instead, and the method says so.
    """
    rates, items = np.asarray(rates, float), float(np.mean(items))
    n, mean = len(rates), float(rates.mean())
    spread = float(rates.std(ddof=1)) if n > 1 else 0.0
    if spread < NO_SPREAD:
        low, high = wilson(mean * items, items, confidence)
        return Interval(mean, low, high, n, "wilson, items of one replicate")
    half = float(t_quantile(0.5 + confidence / 2, n - 1)) * spread / math.sqrt(n)
    return Interval(mean, max(0.0, mean - half), min(1.0, mean + half), n, "t over replicates")


def mean_interval(values: Array, confidence: float = 0.95) -> Interval:
    """A mean over replicates with a t interval, of values on any scale; no limits with fewer than two replicates or no spread."""
    values = np.asarray(values, float)
    n = len(values)
    mean = float(values.mean()) if n else math.nan
    spread = float(values.std(ddof=1)) if n > 1 else 0.0
    if spread < NO_SPREAD:
        return Interval(mean, math.nan, math.nan, n, "no spread between replicates")
    half = float(t_quantile(0.5 + confidence / 2, n - 1)) * spread / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n, "t over replicates")


def expanded_level(n: int, confidence: float = 0.95) -> float:
    """The tail probability of an expanded percentile interval for `n` clusters.

    A percentile bootstrap of few clusters is too narrow: its spread lacks the factor sqrt(n/(n-1)) and
    its quantile is normal, not t. Widening the tails to this level repairs both (Hesterberg 2015,
    The American Statistician 69:371).
    """
    if n < 2:
        raise ValueError("an interval over replicates needs at least two")
    return float(normal_cdf(math.sqrt(n / (n - 1)) * t_quantile((1 - confidence) / 2, n - 1)))
