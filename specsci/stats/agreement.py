"""Agreement of raters, and error rates corrected by a stratified human audit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

from specsci.stats.intervals import wilson

Array = np.ndarray
Level = Literal["nominal", "ordinal", "interval"]
DRAWS = 2000
FEW_UNITS = 5
"""Below so many units resampling them says nothing, and there is no interval."""


@dataclass(frozen=True)
class Agreement:
    """A coefficient of agreement with its interval, over how many units and raters."""

    name: str
    value: float
    ci_low: float
    ci_high: float
    units: int
    raters: int


@dataclass(frozen=True)
class Stratum:
    """A stratum of an audit: how many there are of it, how many a person looked at, and in how many the judge was wrong."""

    name: str
    population: int
    audited: int
    wrong: int


def cohen_kappa(first: Array, second: Array, confidence: float = 0.95) -> Agreement:
    """Cohen's kappa of two raters over nominal labels, with the large-sample interval (Fleiss, Cohen and Everitt 1969).

    Args:
        first, second: labels of the same units in one order, shape (units,).
    """
    from statsmodels.stats.inter_rater import cohens_kappa

    labels = np.unique(np.concatenate([first, second]))
    table = np.zeros((len(labels), len(labels)))
    np.add.at(table, (np.searchsorted(labels, first), np.searchsorted(labels, second)), 1)
    if len(labels) == 1:
        return Agreement("Cohen's kappa", math.nan, math.nan, math.nan, len(first), 2)
    found: Any = cohens_kappa(table)
    kappa, spread = float(found.kappa), float(found.std_kappa)
    half = float(stats.norm.ppf(0.5 + confidence / 2)) * spread if spread > 0 else math.nan  # no spread, no interval
    low, high = (max(-1.0, kappa - half), min(1.0, kappa + half)) if spread > 0 else (math.nan, math.nan)
    return Agreement("Cohen's kappa", kappa, low, high, len(first), 2)


def fleiss_kappa(ratings: Array, confidence: float = 0.95) -> Agreement:
    """Fleiss' kappa of any number of raters, all of whom rated every unit; the interval resamples units.

    Args:
        ratings: labels, shape (units, raters).
    """
    from statsmodels.stats.inter_rater import aggregate_raters
    from statsmodels.stats.inter_rater import fleiss_kappa as kappa_of

    codes = np.unique(ratings, return_inverse=True)[1].reshape(ratings.shape)
    table = aggregate_raters(codes)[0]

    def value(index: Array) -> float:
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(kappa_of(table[index]))

    return _resampled("Fleiss' kappa", value, len(ratings), ratings.shape[1], confidence)


def krippendorff_alpha(ratings: Array, level: Level = "nominal", confidence: float = 0.95) -> Agreement:
    """Krippendorff's alpha, which takes units that not every rater rated; the interval resamples units.

    Args:
        ratings: numbers (codes of labels), shape (units, raters); NaN where a rater gave none. Units with fewer than two
            ratings say nothing and are left out.

    Source: Krippendorff 2011, Computing Krippendorff's alpha-reliability.
    """
    ratings = np.asarray(ratings, float)
    kept = ratings[(~np.isnan(ratings)).sum(axis=1) >= 2]
    values = np.unique(kept[~np.isnan(kept)])
    counts = np.array([[(row == v).sum() for v in values] for row in kept], float).reshape(-1, len(values))
    return _resampled(
        "Krippendorff's alpha", lambda i: _alpha(counts[i], values, level), len(kept), ratings.shape[1], confidence
    )


def _alpha(counts: Array, values: Array, level: Level) -> float:
    """Alpha from how often each unit got each value; counts of shape (units, values)."""
    given = counts.sum(axis=1)
    coincidence = ((counts[:, :, None] * counts[:, None, :]) / (given - 1)[:, None, None]).sum(axis=0)
    coincidence -= np.diag((counts / (given - 1)[:, None]).sum(axis=0))
    margins = coincidence.sum(axis=1)
    distance = _distance(values, margins, level)
    total = margins.sum()
    expected = float((np.outer(margins, margins) * distance).sum()) / (total - 1)
    return math.nan if expected == 0 else 1 - float((coincidence * distance).sum()) / expected


def _distance(values: Array, margins: Array, level: Level) -> Array:
    if level == "nominal":
        return 1.0 - np.eye(len(values))
    if level == "interval":
        return np.square(values[:, None] - values[None, :])
    until = np.cumsum(margins) - margins / 2  # ordinal: ratings between two values, half of the ends
    return np.square(until[:, None] - until[None, :])


def _resampled(name: str, value: Callable[[Array], float], units: int, raters: int, confidence: float) -> Agreement:
    """A coefficient with a percentile interval over resampled units."""
    rng, whole = np.random.default_rng(0), np.arange(units)
    if units < 2:
        return Agreement(name, math.nan, math.nan, math.nan, units, raters)
    if units < FEW_UNITS:
        return Agreement(name, value(whole), math.nan, math.nan, units, raters)
    drawn = np.array([value(rng.integers(0, units, units)) for _ in range(DRAWS)])
    drawn = drawn[~np.isnan(drawn)]
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2]) if len(drawn) else (math.nan, math.nan)
    return Agreement(name, value(whole), float(low), float(high), units, raters)


def audited_error(strata: list[Stratum], confidence: float = 0.95) -> tuple[float, float, float]:
    """The judge's error rate over the whole, from strata that were audited unequally: (rate, low, high).

    Each stratum weighs by its population. The limits add the squares of the strata's own distances to their Wilson limits
    (Zou and Donner's MOVER), each lessened by the finite population's correction, so that a small audit without errors is no
    proof of none, and a whole one leaves nothing to chance.

    Raises:
        ValueError: a stratum that was not audited, or of which more was audited than there is.
    """
    for s in strata:
        if not 0 < s.audited <= s.population or not 0 <= s.wrong <= s.audited:
            raise ValueError(f"stratum '{s.name}': {s.wrong} wrong of {s.audited} audited of {s.population}")
    total = sum(s.population for s in strata)
    rate = sum(s.population / total * s.wrong / s.audited for s in strata)
    below = above = 0.0
    for s in strata:
        low, high = wilson(s.wrong, s.audited, confidence)
        weight, left, own = s.population / total, 1 - s.audited / s.population, s.wrong / s.audited
        below += weight**2 * left * (own - low) ** 2
        above += weight**2 * left * (high - own) ** 2
    return rate, rate - math.sqrt(below), rate + math.sqrt(above)
