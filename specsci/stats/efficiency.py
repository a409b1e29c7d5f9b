"""Token efficiency: how many tokens a curve needs to reach a level, and the ratio of two arms.

The estimand is the crossing of the *mean* curve (over replicates) with a share of the *mean* rate of the base; it is not the
mean of the replicates' own crossings. A curve gives a misaligned rate per token budget. It is made monotone (isotonic,
non-increasing) and interpolated linearly in the rate and logarithmically in the tokens. Outside the grid nothing is
extrapolated: a curve at or below the level at its first budget needs *at most* that many tokens, one above it at its last
budget needs *more than* that many. A ratio of such numbers is a bound.

Intervals: below EXACT replicates by jackknife and t on the log ratio, at EXACT by the bootstrap's exact distribution, above
by DRAWS draws of it. `benchmarks/efficiency_coverage.py` measures how often they cover.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from specsci.stats.intervals import NO_SPREAD, expanded_level
from specsci.stats.laws import t_quantile
from specsci.stats.multisets import limits, multisets

Array = np.ndarray
EXACT = 8
"""With so many replicates the bootstrap is enumerated (6,435 multisets); with fewer its intervals are too narrow."""
DRAWS = 20_000
"""Draws of the bootstrap above EXACT replicates."""
CURVE = "isotonic mean curve, log-linear interpolation"
SAME = 1e-12
"""Added to a level: pooling equal rates moves their last bits, and a level met exactly must count as met."""


@dataclass(frozen=True)
class Bound:
    """A number that may be known only up to a bound: relation is `=`, `<=` or `>=`."""

    value: float
    relation: str = "="

    def __str__(self) -> str:
        sign = {"=": "", "<=": "≤ ", ">=": "≥ "}[self.relation]
        rounded = float(f"{self.value:.3g}")
        return sign + (f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:g}")


@dataclass(frozen=True)
class TokenRatio:
    """Tokens that the reference needs over tokens that the arm needs, with an interval.

    A ratio above 1 says that the arm reaches the level with fewer tokens. A limit of the interval is None where it is open: it
    lies beyond the grid, or no ratio exists there. `undefined_share` is the probability, under resampling of replicates, that
    both curves lie outside the grid on the same side, so that no ratio exists. `open_because` says why a limit is open
    (`one_replicate`, `no_spread`, `undetermined`: both are; `censored`: one is); empty where both limits are known.
    """

    ratio: Bound | None
    ci_low: float | None
    ci_high: float | None
    reference_tokens: Bound
    arm_tokens: Bound
    undefined_share: float
    n: int
    method: str
    open_because: str = ""


def tokens_to_reach(budgets: Array, rates: Array, level: float) -> Bound:
    """Tokens at which a falling curve reaches `level`; budgets increasing and positive."""
    budgets = np.asarray(budgets, float)
    curve = isotonic_regression(np.asarray(rates, float), increasing=False).x
    level += SAME
    if curve[0] <= level:
        return Bound(float(budgets[0]), "<=")
    if curve[-1] > level:
        return Bound(float(budgets[-1]), ">=")
    after = int(np.argmax(curve <= level))
    high, low = curve[after - 1], curve[after]
    share = (high - level) / (high - low)
    logs = np.log(budgets)
    return Bound(float(math.exp(logs[after - 1] + share * (logs[after] - logs[after - 1]))))


def divide(reference: Bound, arm: Bound) -> Bound | None:
    """The ratio of two bounds, itself a bound; None when nothing can be said.

    `reference >= a` over `arm = b` is `>= a/b`; `reference = a` over `arm <= b` is `>= a/b`; both known
    on opposite sides leave one bound, on the same side none.
    """
    value = reference.value / arm.value
    up = reference.relation == ">=" or arm.relation == "<="
    down = reference.relation == "<=" or arm.relation == ">="
    if up and down:
        return None
    return Bound(value, ">=" if up else "<=" if down else "=")


def fall_at_crossing(rates: Array, level: float) -> float:
    """How far the monotone curve falls between the two budgets that its crossing is interpolated from; 0 where there is none.

    The steeper the curve there, the more the crossing rests on the interpolation and the less on what was measured.
    """
    curve = isotonic_regression(np.asarray(rates, float), increasing=False).x
    if curve[0] <= level + SAME or curve[-1] > level + SAME:
        return 0.0
    after = int(np.argmax(curve <= level + SAME))
    return float(curve[after - 1] - curve[after])


def token_ratio(
    budgets: Array,
    reference: Array,
    arm: Array,
    levels: Array,
    *,
    extra_arm_tokens: float = 0.0,
    extra_reference_tokens: float = 0.0,
    draws: int = DRAWS,
    seed: int = 0,
) -> TokenRatio:
    """Ratio of tokens to reach a level, in one token accounting; see `token_ratios`."""
    extras = [(extra_reference_tokens, extra_arm_tokens)]
    return token_ratios(budgets, reference, arm, levels, extras, draws=draws, seed=seed)[0]


def token_ratios(
    budgets: Array,
    reference: Array,
    arm: Array,
    levels: Array,
    extras: Sequence[tuple[float, float]],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[TokenRatio]:
    """Ratios of tokens to reach a level, from curves averaged over replicates, one for each token accounting.

    Args:
        budgets: shape (budgets,), tokens.
        reference, arm: misaligned rates, shape (replicates, budgets); rows are paired.
        levels: the level in each replicate, shape (replicates,); their mean is the target.
        extras: tokens to add to what the reference and the arm need (their midtraining), one pair for each token accounting.
        draws: of the bootstrap; used above EXACT replicates alone.

    Replicates are resampled jointly for both arms and the level. For either limit a censored value counts as the worst that
    it may be. Sources: Efron and Tibshirani 1993, ch. 11 (jackknife); Hesterberg 2015 (expanded percentiles).
    """
    budgets, reference, arm, levels = (np.asarray(a, float) for a in (budgets, reference, arm, levels))
    n = len(levels)
    first, second = (tokens_to_reach(budgets, curve.mean(0), float(levels.mean())) for curve in (reference, arm))
    weights, chances = multisets(n, draws, seed, exact_up_to=EXACT)
    resampled = _Pairs.of(budgets, reference, arm, levels, weights)
    without = _Pairs.of(budgets, reference, arm, levels, (1 - np.eye(n)) / (n - 1)) if 1 < n < EXACT else None
    out = []
    for extra in extras:
        needed = (Bound(first.value + extra[0], first.relation), Bound(second.value + extra[1], second.relation))
        ratio, ratios = divide(*needed), resampled.ratios(extra)
        undefined = min(1.0, float(chances[ratios.undefined].sum()))
        if without is None:
            low, high, because, method = _percentiles(ratios, chances, n)
        else:
            low, high, because, method = _jackknife(ratio, without.ratios(extra), n)
        out.append(TokenRatio(ratio, low, high, *needed, undefined, n, f"{CURVE}; {method}", because))
    return out


@dataclass(frozen=True)
class _Ratios:
    """Ratios of many resamples: their values, and whether each may be more (`up`) or less (`down`) than its value."""

    values: Array
    up: Array
    down: Array

    @property
    def undefined(self) -> Array:
        both: Array = self.up & self.down
        return both


@dataclass(frozen=True)
class _Pairs:
    """Tokens that the reference and the arm need in many resamples: values, and on which side of the grid they lie.

    `side` is -1 where at most the first budget is needed, 1 where more than the last is, else 0.
    """

    reference: Array
    arm: Array
    reference_side: Array
    arm_side: Array

    @classmethod
    def of(cls, budgets: Array, reference: Array, arm: Array, levels: Array, weights: Array) -> _Pairs:
        """Crossings of the weighted mean curves, for weights of shape (resamples, replicates)."""
        level = weights @ levels
        (first, one), (second, other) = (_crossings(budgets, weights @ curve, level) for curve in (reference, arm))
        return cls(first, second, one, other)

    def ratios(self, extra: tuple[float, float]) -> _Ratios:
        values = (self.reference + extra[0]) / (self.arm + extra[1])
        up, down = (self.reference_side > 0) | (self.arm_side < 0), (self.reference_side < 0) | (self.arm_side > 0)
        return _Ratios(values, up, down)


def _crossings(budgets: Array, curves: Array, level: Array) -> tuple[Array, Array]:
    """`tokens_to_reach` of many curves at once, shape (curves, budgets): the tokens, and the side of the grid (see _Pairs)."""
    falling, level = _falling(curves), level + SAME
    reached = falling <= level[:, None]
    side = np.where(reached[:, 0], -1, np.where(reached[:, -1], 0, 1))
    after, rows, logs = reached.argmax(axis=1), np.arange(len(curves)), np.log(budgets)
    high, low = falling[rows, after - 1], falling[rows, after]
    share = np.divide(high - level, high - low, out=np.zeros_like(level), where=side == 0)
    tokens = np.exp(logs[after - 1] + share * (logs[after] - logs[after - 1]))
    return np.where(side < 0, budgets[0], np.where(side > 0, budgets[-1], tokens)), side


def _falling(curves: Array) -> Array:
    """Non-increasing isotonic regression of every row, by the min-max formula (Robertson, Wright and Dykstra 1988, 1.4)."""
    count = curves.shape[1]
    sums = np.concatenate([np.zeros((len(curves), 1)), np.cumsum(curves, axis=1)], axis=1)
    fitted = np.full(curves.shape, np.inf)
    for first in range(count):
        means = (sums[:, first + 1 :] - sums[:, first : first + 1]) / np.arange(1, count - first + 1)
        most = np.maximum.accumulate(means[:, ::-1], axis=1)[:, ::-1]
        fitted[:, first:] = np.minimum(fitted[:, first:], most)
    return fitted


Limits = tuple[float | None, float | None, str, str]
"""Lower and upper limit, why one is open, and the method."""


def _percentiles(ratios: _Ratios, chances: Array, n: int) -> Limits:
    """Expanded percentiles of the joint bootstrap over replicates; none of a single one."""
    if n == 1:
        return None, None, "one_replicate", "one replicate, no interval"
    how = f"all {len(chances):,} multisets" if n <= EXACT else f"{len(chances):,} draws"
    method = f"joint bootstrap over {n} replicates ({how}), expanded percentiles"
    least, most = np.where(ratios.down, 0.0, ratios.values), np.where(ratios.up, np.inf, ratios.values)
    low, high = limits(least, most, chances, expanded_level(n))
    if high - low < NO_SPREAD:
        return None, None, "no_spread", f"{method}; no spread, no interval"
    ends = low or None, None if math.isinf(high) else high
    because = "undetermined" if ends == (None, None) else "censored" if None in ends else ""
    return *ends, because, method


def _jackknife(ratio: Bound | None, without: _Ratios, n: int) -> Limits:
    """Jackknife and t on the log ratio; open on the side where leaving a replicate out puts a curve beyond the grid.

    Where a value is a bound the statistic is the ratio of tokens cut at the ends of the grid, of which the true ratio is on the
    open side: the other limit holds for both.
    """
    method = f"jackknife and t over {n} replicates, on the log ratio"
    up = bool(without.up.any()) or (ratio is not None and ratio.relation == ">=")
    down = bool(without.down.any()) or (ratio is not None and ratio.relation == "<=")
    if ratio is None or (up and down):
        return None, None, "undetermined", f"{method}; curves beyond the grid, no interval"
    logs = np.log(without.values)
    se = math.sqrt((n - 1) / n * float(np.square(logs - logs.mean()).sum()))
    if se < NO_SPREAD:
        return None, None, "no_spread", f"{method}; no spread, no interval"
    half, middle = float(t_quantile(0.975, n - 1)) * se, math.log(ratio.value)
    low, high = math.exp(middle - half), math.exp(min(middle + half, 700.0))
    return None if down else low, None if up else high, "censored" if up or down else "", method
