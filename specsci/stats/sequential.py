"""Interim analyses (group-sequential tests): boundaries that keep the error of a test over all of them."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np
from scipy.optimize import brentq

from specsci.stats.laws import normal_cdf, normal_density, normal_quantile, normal_tail, t_tail

Spending = Literal["obrien_fleming", "pocock"]
GRID = 601
"""Points that the density between the boundaries is integrated on."""
DRAWN, STEPS = 100_000, 2
FAR = 12.0
"""A boundary that is never crossed."""


def spent(share: float, spending: Spending, alpha: float) -> float:
    """Error that may be spent until a share of the information is there (Lan and DeMets 1983)."""
    if spending == "pocock":
        return alpha * math.log(1 + (math.e - 1) * share)
    return float(4 * normal_tail(-normal_quantile(alpha / 4) / math.sqrt(share)))


def boundaries(analyses: list[int], spending: Spending = "obrien_fleming", alpha: float = 0.05) -> list[float]:
    """The p-value below which a two-sided test stops, for each interim analysis.

    Args:
        analyses: replicates at each analysis, increasing; the last is the planned number.

    These are the normal theory's; `t_boundaries` gives those of a t over few replicates.

    Raises:
        ValueError: analyses that do not increase, or start below two replicates.
    """
    if not analyses or analyses[0] < 2 or any(b <= a for a, b in pairwise(analyses)):
        raise ValueError("interim analyses are at increasing numbers of replicates, from 2 on")
    paths, levels, used = _Paths(), [], 0.0
    for analysis in analyses:
        share = analysis / analyses[-1]
        budget = max(spent(share, spending, alpha) - used, 1e-12)
        limit = paths.limit(share, budget)
        levels.append(float(2 * normal_tail(limit)))
        paths = paths.until(share, limit)
        used += budget
    return levels


def t_boundaries(analyses: list[int], spending: Spending = "obrien_fleming", alpha: float = 0.05) -> list[float]:
    """The same for a t-test over replicates: levels of the normal theory for the error at which the t's own is `alpha`.

    A t's p-value compared with the normal levels (Jennison and Turnbull 2000, section 11.4) errs in .052 to .063 over all analyses, most
    with many analyses from two replicates on. The error is that of DRAWN studies without an effect, the same ones each time.
    """
    levels = boundaries(analyses, spending, alpha)
    share = alpha
    for _ in range(STEPS if len(analyses) > 1 else 0):
        error = _error(analyses, levels)
        if error <= alpha:
            break
        share *= alpha / error  # the error is very nearly in proportion
        levels = boundaries(analyses, spending, share)
    return levels


def _error(analyses: list[int], levels: list[float]) -> float:
    """Share of studies without an effect that stop at some analysis."""
    return float((_null_p(tuple(analyses)) < np.array(levels)).any(axis=1).mean())


@lru_cache(maxsize=4)
def _null_p(analyses: tuple[int, ...]) -> np.ndarray:
    """p-values of a one-sample t at each analysis, of studies without an effect; shape (DRAWN, analyses)."""
    values = np.random.default_rng(0).normal(size=(DRAWN, analyses[-1]))
    sums, squares = np.cumsum(values, axis=1), np.cumsum(np.square(values), axis=1)
    out = []
    for n in analyses:
        mean = sums[:, n - 1] / n
        variance = (squares[:, n - 1] - n * np.square(mean)) / (n - 1)
        out.append(2 * t_tail(np.abs(mean) / np.sqrt(variance / n), n - 1))
    return np.stack(out, axis=1)


class _Paths:
    """Density of a Brownian path that has stayed within all boundaries so far (Armitage, McPherson and Rowe 1969)."""

    def __init__(self, share: float = 0.0, points: np.ndarray | None = None, density: np.ndarray | None = None) -> None:
        self.share, self.points, self.density = share, points, density

    def beyond(self, share: float, limit: float) -> float:
        """Chance to lie beyond ±limit standard deviations at a later share."""
        if self.points is None or self.density is None:
            return float(2 * normal_tail(limit))
        edge, step = limit * math.sqrt(share), math.sqrt(share - self.share)
        chance = normal_tail((edge - self.points) / step) + normal_cdf((-edge - self.points) / step)
        return float(np.trapezoid(self.density * chance, self.points))

    def limit(self, share: float, budget: float) -> float:
        """The boundary that is crossed with a given chance."""
        return float(brentq(lambda c: self.beyond(share, c) - budget, 0.0, FAR))

    def until(self, share: float, limit: float) -> _Paths:
        """The paths that stay within ±limit at a later share."""
        edge, step = limit * math.sqrt(share), math.sqrt(share - self.share)
        points = np.linspace(-edge, edge, GRID)
        if self.points is None or self.density is None:
            return _Paths(share, points, normal_density(points / step) / step)
        kernel = normal_density((points[:, None] - self.points[None, :]) / step) / step
        return _Paths(share, points, np.trapezoid(kernel * self.density[None, :], self.points, axis=1))
