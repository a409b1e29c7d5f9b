"""Agreement of raters, and error rates corrected by a stratified human audit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from specsci.stats.laws import t_quantile

Array = np.ndarray
Level = Literal["nominal", "ordinal", "interval"]
SAME = 1e-12
MOST_GROUPS = 500
"""More units than this are left out by groups, so that a jackknife stays quick."""
FEW_UNITS = 8
"""Below so many units they do not tell how much a coefficient varies, and there is no interval."""


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
    """Cohen's kappa of two raters over nominal labels; the interval is the jackknife's over units.

    Args:
        first, second: labels of the same units in one order, shape (units,).
    """
    labels = np.unique(np.concatenate([first, second]))
    codes = np.searchsorted(labels, first), np.searchsorted(labels, second)

    def value(index: Array) -> float:
        table = np.zeros((len(labels), len(labels)))
        np.add.at(table, (codes[0][index], codes[1][index]), 1)
        shares = table / len(index)
        by_chance = float(shares.sum(axis=0) @ shares.sum(axis=1))
        return math.nan if by_chance > 1 - SAME else (float(np.trace(shares)) - by_chance) / (1 - by_chance)

    return _jackknifed("Cohen's kappa", value, len(first), 2, confidence)


def fleiss_kappa(ratings: Array, confidence: float = 0.95) -> Agreement:
    """Fleiss' kappa of any number of raters, all of whom rated every unit; the interval is the jackknife's over units.

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

    return _jackknifed("Fleiss' kappa", value, len(ratings), ratings.shape[1], confidence)


def krippendorff_alpha(ratings: Array, level: Level = "nominal", confidence: float = 0.95) -> Agreement:
    """Krippendorff's alpha, which takes units that not every rater rated; the interval is the jackknife's over units.

    Args:
        ratings: numbers (codes of labels), shape (units, raters); NaN where a rater gave none. Units with fewer than two
            ratings say nothing and are left out.

    Source: Krippendorff 2011, Computing Krippendorff's alpha-reliability.
    """
    ratings = np.asarray(ratings, float)
    kept = ratings[(~np.isnan(ratings)).sum(axis=1) >= 2]
    values = np.unique(kept[~np.isnan(kept)])
    counts = np.array([[(row == v).sum() for v in values] for row in kept], float).reshape(-1, len(values))
    return _jackknifed(
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
        scaled = values / max(float(np.abs(values).max()), np.finfo(float).tiny)  # alpha has no unit, and squares overflow
        return np.square(scaled[:, None] - scaled[None, :])
    until = np.cumsum(margins) - margins / 2  # ordinal: ratings between two values, half of the ends
    return np.square(until[:, None] - until[None, :])


def _jackknifed(name: str, value: Callable[[Array], float], units: int, raters: int, confidence: float) -> Agreement:
    """A coefficient with the jackknife's standard error over units and t, widened by sqrt(n / (n - 2)).

    Percentiles of resampled units and large-sample errors cover .85 to .92 with few units; this covers .95 and more from FEW_UNITS
    on (`benchmarks/agreement_coverage.py`). There is no interval below them, nor where the raters never differ, nor where a
    coefficient without one unit does not exist.
    """
    whole = np.arange(units)
    found = value(whole) if units else math.nan
    none = Agreement(name, found if units > 1 else math.nan, math.nan, math.nan, units, raters)
    if units < FEW_UNITS or math.isnan(found) or found > 1 - SAME:
        return none
    mixed = np.random.default_rng(0).permutation(units) if units > MOST_GROUPS else whole
    groups = np.array_split(mixed, min(units, MOST_GROUPS))
    without = np.array([value(np.setdiff1d(whole, group, assume_unique=True)) for group in groups])
    if np.isnan(without).any():
        return none
    n = len(groups)
    se = math.sqrt((n - 1) / n * float(np.square(without - without.mean()).sum()))
    half = float(t_quantile(0.5 + confidence / 2, n - 1)) * se * math.sqrt(n / (n - 2))
    if half < SAME:
        return none
    return Agreement(name, found, max(-1.0, found - half), min(1.0, found + half), units, raters)


def audited_error(strata: list[Stratum], confidence: float = 0.95) -> tuple[float, float, float]:
    """The judge's error rate over the whole, from strata that were audited unequally: (rate, low, high).

    Each stratum weighs by its population. The limits add the squares of the strata's own distances to their exact
    limits (Zou and Donner's MOVER with Clopper and Pearson's; Wilson's cover .89 where several strata are without an error), each lessened by the finite population's correction, so that a small audit without errors is no
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
        low, high = _exact(s.wrong, s.audited, confidence)
        weight, left, own = s.population / total, 1 - s.audited / s.population, s.wrong / s.audited
        below += weight**2 * left * (own - low) ** 2
        above += weight**2 * left * (high - own) ** 2
    return rate, max(0.0, rate - math.sqrt(below)), min(1.0, rate + math.sqrt(above))


def _exact(count: int, trials: int, confidence: float) -> tuple[float, float]:
    """Clopper and Pearson's interval of a binomial rate."""
    tail = (1 - confidence) / 2
    low = float(special.betaincinv(count, trials - count + 1, tail)) if count else 0.0
    high = float(special.betainccinv(count + 1, trials - count, tail)) if count < trials else 1.0
    return low, high
