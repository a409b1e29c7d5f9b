"""Contrasts: linear combinations of arms, paired within replicate."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from specsci.stats.intervals import NO_SPREAD
from specsci.stats.laws import t_quantile, t_tail

Array = np.ndarray
Scale = Literal["rate", "logit", "arcsine"]


@dataclass(frozen=True)
class ContrastResult:
    """One contrast: its estimate, interval and test, and the value in each replicate.

    `freedom` is that of the t distribution which the interval is from; infinite where it is the normal one.
    """

    estimate: float
    se: float
    statistic: float
    p: float
    ci_low: float
    ci_high: float
    n: int
    method: str
    per_replicate: tuple[float, ...]
    freedom: float = math.inf

    @property
    def verdict(self) -> int:
        """1 or -1 where the interval lies on that side of 0, else 0."""
        return 1 if self.ci_low > 0 else -1 if self.ci_high < 0 else 0


def transform(rates: Array, scale: Scale, items: Array | float) -> Array:
    """Rates on the declared scale; the logit adds half an item to both counts, so 0 and 1 are finite.

    `items` is what each rate is over: one number, or one for every rate.
    """
    if scale == "rate":
        return rates
    if scale == "arcsine":
        angles: Array = np.arcsin(np.sqrt(rates))
        return angles
    smoothed = (rates * items + 0.5) / (items + 1)
    logits: Array = np.log(smoothed / (1 - smoothed))
    return logits


def slope(rates: Array, scale: Scale, items: Array | float) -> Array:
    """The derivative of a rate's value on the scale, for the delta method; that of the arcsine is clipped to within half an item."""
    smoothed = (rates * items + 0.5) / (items + 1)
    if scale == "rate":
        return np.ones_like(rates)
    if scale == "arcsine":
        return np.asarray(1 / (2 * np.sqrt(smoothed * (1 - smoothed))))
    return np.asarray(items / (items + 1) / (smoothed * (1 - smoothed)))


def paired_contrast(
    rates: Array, weights: Array, items: Array | float, scale: Scale = "rate", confidence: float = 0.95
) -> ContrastResult:
    """A weighted sum of arms in each replicate, and a one-sample t over the replicates.

    Args:
        rates: shape (replicates, arms); the arms of a row share base model and data draw.
        weights: shape (arms,).
        items: items that a rate is over: one number, or one for every rate.

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
    half = float(t_quantile(0.5 + confidence / 2, n - 1)) * se
    p = float(2 * t_tail(abs(statistic), n - 1))
    return ContrastResult(mean, se, statistic, p, mean - half, mean + half, n, method, per_replicate, n - 1)


def leave_one_out(rates: Array, weights: Array, items: float, scale: Scale = "rate") -> bool:
    """Whether dropping any single replicate makes the interval cover 0 that did not, or the reverse.

    Of two replicates either is needed for an interval at all, so that any verdict hangs on one.
    """
    full = paired_contrast(rates, weights, items, scale)
    if len(rates) < 3:
        return full.verdict != 0
    parts = (paired_contrast(np.delete(rates, dropped, axis=0), weights, items, scale) for dropped in range(len(rates)))
    return any(leaning(part) != leaning(full) for part in parts)


def leaning(result: ContrastResult) -> int:
    """The verdict; where all replicates agree exactly and there is no test, the side that they are on."""
    if result.se > 0 or abs(result.estimate) < NO_SPREAD:
        return result.verdict
    return 1 if result.estimate > 0 else -1


def deciding_items(
    aligned: Array,
    valid: Array,
    weights: Array,
    clustered: Callable[[Array], Array],
    *,
    scale: Scale = "rate",
    items: Array | float = 1,
    confidence: float = 0.95,
) -> list[int]:
    """Items whose removal flips the verdict of the paired t over clusters of replicates (leave one item out).

    Args:
        aligned, valid: counts by cell, replicate and item, shape (cells, replicates, items).
        weights: weight of each cell, shape (cells,).
        clustered: averages rows of replicates into rows of clusters.
        items: items that a rate is over (for the logit): one number, or by cell and cluster, shape (cells, clusters, 1).

    Returns:
        Indices of such items; empty where the verdict stands whichever item is dropped.
    """
    all_aligned, all_valid = aligned.sum(axis=2, keepdims=True), valid.sum(axis=2, keepdims=True)
    left = all_valid - valid
    with np.errstate(invalid="ignore", divide="ignore"):
        rates = np.concatenate([all_aligned / all_valid, (all_aligned - aligned) / left], axis=2)  # first without none
    rates = np.stack([clustered(cell) for cell in rates])
    values = np.tensordot(np.asarray(weights, float), transform(rates, scale, items), axes=1)
    n = len(values)
    if n < 2:
        return []
    limit = float(t_quantile(0.5 + confidence / 2, n - 1)) / math.sqrt(n)
    middle, half = values.mean(axis=0), limit * values.std(axis=0, ddof=1)
    verdicts = np.where(middle - half > 0, 1, np.where(middle + half < 0, -1, 0))
    known = ~np.isnan(middle)
    return [int(i) for i in np.flatnonzero((verdicts[1:] != verdicts[0]) & known[1:])]
