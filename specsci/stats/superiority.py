"""Ordered grades compared by rank: how often an answer of one side has the higher grade (Brunner and Munzel 2000)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from specsci.stats.contrast import ContrastResult
from specsci.stats.intervals import NO_SPREAD
from specsci.stats.replicates import of_t, over_replicates

Array = np.ndarray
EVEN = 0.5
Grades = Mapping[str, Array]
"""Grades of one cell by cluster of items."""


def superiority(first: Array, second: Array) -> float:
    """P(a grade of `first` is higher) plus half of P(both are equal), over all pairs; NaN where a side has no grade."""
    if not len(first) or not len(second):
        return math.nan
    ordered = np.sort(second)
    below, up_to = np.searchsorted(ordered, first, "left"), np.searchsorted(ordered, first, "right")
    return float((below + up_to).mean() / 2 / len(second))


def compared(pairs: Sequence[tuple[Grades, Grades]], confidence: float = 0.95) -> ContrastResult:
    """The superiority of the first side over the second; .5 says that neither has the higher grades.

    Args:
        pairs: for every replicate the grades of both sides.

    With two replicates and more it is the mean over them with a t interval over them; with one, a jackknife over clusters of items. The
    test is against .5. Where nothing varies, or one cluster is all there is, interval and test are NaN.

    Raises:
        ValueError: no replicate has grades of both sides.
    """
    each = np.array([superiority(_all(first), _all(second)) for first, second in pairs])
    kept = [pair for pair, value in zip(pairs, each, strict=True) if not math.isnan(value)]
    each = each[~np.isnan(each)]
    if not len(each):
        raise ValueError("no replicate has grades of both sides")
    if len(each) > 1:
        mean = over_replicates(each[:, None] - EVEN, np.ones(1), confidence=confidence)
        method = f"superiority, t over {len(each)} replicates"
        estimate, se, freedom = mean.estimate, mean.se, float(len(each) - 1)
    else:
        estimate, se, freedom = float(each[0]) - EVEN, *_jackknife(*kept[0])
        method = f"superiority, jackknife over {int(freedom) + 1} item clusters"
    nan, values = math.nan, tuple(float(v) for v in each)
    above_even = ContrastResult(estimate, se, nan, nan, nan, nan, len(each), method, values)
    if not se > NO_SPREAD:
        return replace(above_even, estimate=EVEN + estimate)
    found = of_t(above_even, se, freedom, confidence)
    return replace(found, estimate=EVEN + estimate, ci_low=max(0.0, EVEN + found.ci_low), ci_high=min(1.0, EVEN + found.ci_high))


def _all(grades: Grades) -> Array:
    return np.concatenate(list(grades.values())) if grades else np.empty(0)


def _jackknife(first: Grades, second: Grades) -> tuple[float, float]:
    """The standard error of one replicate's superiority over clusters of items, and its degrees of freedom; NaN below two clusters."""
    clusters = sorted({*first, *second})
    without = [
        superiority(*(_all({c: g for c, g in side.items() if c != left}) for side in (first, second))) for left in clusters
    ]  # fmt: skip
    values = np.array([value for value in without if not math.isnan(value)])
    n = len(values)
    if n < 2:
        return math.nan, max(0.0, n - 1.0)
    return math.sqrt(float((n - 1) / n * ((values - values.mean()) ** 2).sum())), n - 1.0
