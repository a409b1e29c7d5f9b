"""Contrasts where only counts exist: two proportions, exact tables, and linear combinations of rates."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from specsci.stats.contrast import ContrastResult, Scale
from specsci.stats.intervals import wilson
from specsci.stats.laws import normal_quantile, normal_tail

SMALL = 5.0
"""Below this expected count in any cell of a two by two table the normal approximation is not leant on (Cochran 1954)."""


@dataclass(frozen=True)
class Count:
    """Aligned answers of one arm out of a denominator (valid, or attempted)."""

    aligned: float
    out_of: float

    @property
    def rate(self) -> float:
        """The aligned answers' share of the denominator."""
        return self.aligned / self.out_of


def is_small(first: Count, second: Count) -> bool:
    """Whether a two by two table is too thin for a z-test."""
    pooled = (first.aligned + second.aligned) / (first.out_of + second.out_of)
    return min(n * share for n in (first.out_of, second.out_of) for share in (pooled, 1 - pooled)) < SMALL


def two_proportion(first: Count, second: Count, confidence: float = 0.95) -> ContrastResult:
    """Difference of two independent rates: z with the pooled variance, Newcombe's interval from either arm's Wilson interval.

    Source: Newcombe 1998, Statistics in Medicine 17:873, method 10. Where nothing or everything is aligned in both arms the
    variance is 0 and there is no test.
    """
    difference = first.rate - second.rate
    pooled = (first.aligned + second.aligned) / (first.out_of + second.out_of)
    se = math.sqrt(pooled * (1 - pooled) * (1 / first.out_of + 1 / second.out_of))
    statistic = difference / se if se > 0 else math.nan
    p = float(2 * normal_tail(abs(statistic))) if se > 0 else math.nan
    low, high = newcombe(first, second, confidence)
    return ContrastResult(
        difference, se, statistic, p, low, high, 2, "two-proportion z, pooled variance; Newcombe interval", ()
    )


def newcombe(first: Count, second: Count, confidence: float = 0.95) -> tuple[float, float]:
    """The hybrid score interval of a difference of two rates."""
    (low1, high1), (low2, high2) = (wilson(c.aligned, c.out_of, confidence) for c in (first, second))
    difference = first.rate - second.rate
    low = difference - math.hypot(first.rate - low1, high2 - second.rate)
    high = difference + math.hypot(high1 - first.rate, second.rate - low2)
    return max(-1.0, low), min(1.0, high)


def fisher(first: Count, second: Count, confidence: float = 0.95) -> ContrastResult:
    """Difference of two independent rates with Fisher's exact two-sided p-value, for small tables."""
    table = [[first.aligned, first.out_of - first.aligned], [second.aligned, second.out_of - second.aligned]]
    from scipy import stats  # takes two seconds to import

    p = float(stats.fisher_exact(np.asarray(table, int)).pvalue)
    low, high = newcombe(first, second, confidence)
    return ContrastResult(
        first.rate - second.rate, math.nan, math.nan, p, low, high, 2, "Fisher exact; Newcombe interval", ()
    )


def mcnemar(first: np.ndarray, second: np.ndarray, confidence: float = 0.95) -> ContrastResult:
    """Difference of two rates on the same items, with McNemar's exact test on the discordant pairs.

    The interval is the adjusted Wald one of the paired difference (Bonett and Price 2012), which has a width where no pair
    is discordant too.

    Args:
        first, second: aligned (1) or not (0) per item, shape (items,); rows are paired.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    gained, lost = int(((first == 1) & (second == 0)).sum()), int(((first == 0) & (second == 1)).sum())
    n = len(first)
    from scipy import stats  # takes two seconds to import

    p = float(stats.binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0
    difference = (gained - lost) / n
    up, down = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    half = float(normal_quantile(0.5 + confidence / 2)) * math.sqrt((up + down - (up - down) ** 2) / (n + 2))
    low, high = max(-1.0, up - down - half), min(1.0, up - down + half)
    se = math.sqrt(max(0.0, (gained + lost) / n - difference**2) / n)
    statistic = difference / se if se > 0 else math.nan
    return ContrastResult(difference, se, statistic, p, low, high, n, "exact McNemar over items", ())


def linear(counts: list[Count], weights: np.ndarray, scale: Scale = "rate", confidence: float = 0.95) -> ContrastResult:
    """A weighted sum of independent rates on a scale, with the delta method's variance (the logit adds half an answer)."""
    values, variances = zip(*(_on_scale(count, scale) for count in counts), strict=True)
    weights = np.asarray(weights, float)
    estimate = float(np.dot(weights, values))
    se = math.sqrt(float(np.dot(weights**2, variances)))
    statistic = estimate / se if se > 0 else math.nan
    p = float(2 * normal_tail(abs(statistic))) if se > 0 else math.nan
    half = float(normal_quantile(0.5 + confidence / 2)) * se
    method = f"linear combination of independent rates ({scale} scale), Wald"
    return ContrastResult(estimate, se, statistic, p, estimate - half, estimate + half, len(counts), method, ())


def _on_scale(count: Count, scale: Scale) -> tuple[float, float]:
    """A rate on a scale, and its variance there."""
    if scale == "arcsine":
        return math.asin(math.sqrt(count.rate)), 1 / (4 * count.out_of)
    if scale == "logit":
        yes, no = count.aligned + 0.5, count.out_of - count.aligned + 0.5
        return math.log(yes / no), 1 / yes + 1 / no
    rate = count.rate if 0 < count.rate < 1 else (count.aligned + 0.5) / (count.out_of + 1)  # no certainty from 0 of n
    return count.rate, rate * (1 - rate) / count.out_of
