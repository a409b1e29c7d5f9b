"""Token efficiency: how many tokens a curve needs to reach a level, and the ratio of two arms.

A curve gives a misaligned rate per token budget. It is made monotone (isotonic, non-increasing) and
interpolated linearly in the rate and logarithmically in the tokens. Outside the grid nothing is
extrapolated: a curve at or below the level at its first budget needs *at most* that many tokens, one
above it at its last budget needs *more than* that many. A ratio of such numbers is a bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from specsci.stats.intervals import expanded_level

Array = np.ndarray


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

    A ratio above 1 says that the arm reaches the level with fewer tokens. A limit of the interval is None
    where it is open: it lies beyond the grid, or no ratio exists there. `undefined_share` is the share
    of bootstrap draws in which both curves lie outside the grid on the same side, so that no ratio exists.
    """

    ratio: Bound | None
    ci_low: float | None
    ci_high: float | None
    reference_tokens: Bound
    arm_tokens: Bound
    undefined_share: float
    n: int
    method: str


def tokens_to_reach(budgets: Array, rates: Array, level: float) -> Bound:
    """Tokens at which a falling curve reaches `level`; budgets increasing and positive."""
    budgets = np.asarray(budgets, float)
    curve = isotonic_regression(np.asarray(rates, float), increasing=False).x
    level += 1e-12  # pooling equal rates moves their last bits: a level met exactly must count as met
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


def token_ratio(
    budgets: Array,
    reference: Array,
    arm: Array,
    levels: Array,
    *,
    extra_arm_tokens: float = 0.0,
    extra_reference_tokens: float = 0.0,
    draws: int = 2000,
    seed: int = 0,
) -> TokenRatio:
    """Ratio of tokens to reach a level, in one way of counting; see `token_ratios`."""
    extras = [(extra_reference_tokens, extra_arm_tokens)]
    return token_ratios(budgets, reference, arm, levels, extras, draws=draws, seed=seed)[0]


def token_ratios(
    budgets: Array,
    reference: Array,
    arm: Array,
    levels: Array,
    extras: Sequence[tuple[float, float]],
    *,
    draws: int = 2000,
    seed: int = 0,
) -> list[TokenRatio]:
    """Ratios of tokens to reach a level, from curves averaged over replicates, one for each way of counting.

    Args:
        budgets: shape (budgets,), tokens.
        reference, arm: misaligned rates, shape (replicates, budgets); rows are paired.
        levels: the level in each replicate, shape (replicates,); their mean is the target.
        extras: tokens to add to what the reference and the arm need (their midtraining), by way of counting.

    The interval resamples replicates jointly for both arms and the level, and takes expanded
    percentiles. For either limit, a censored draw counts as the worst that it may be.
    """
    reference, arm, levels = (np.asarray(a, float) for a in (reference, arm, levels))

    def needed(index: Array) -> tuple[Bound, Bound]:
        level = float(levels[index].mean())
        return (
            tokens_to_reach(budgets, reference[index].mean(0), level),
            tokens_to_reach(budgets, arm[index].mean(0), level),
        )

    n = len(levels)
    # a draw is the replicates it holds, in any order: few of the draws are distinct where replicates are few
    drawn = np.sort(np.random.default_rng(seed).integers(0, n, (draws, n)), axis=1) if n > 1 else np.empty((0, n), int)
    indices, counts = np.unique(drawn, axis=0, return_counts=True)
    found, resampled = needed(np.arange(n)), [needed(index) for index in indices]
    return [_ratio(found, resampled, counts, extra, n) for extra in extras]


def _ratio(
    found: tuple[Bound, Bound],
    resampled: list[tuple[Bound, Bound]],
    counts: Array,
    extra: tuple[float, float],
    n: int,
) -> TokenRatio:
    """The ratio where so many tokens are added to either side; a resample stands for `counts` draws."""

    def counted(pair: tuple[Bound, Bound]) -> tuple[Bound, Bound]:
        first, second = (Bound(bound.value + more, bound.relation) for bound, more in zip(pair, extra, strict=True))
        return first, second

    reference_tokens, arm_tokens = counted(found)
    ratio = divide(reference_tokens, arm_tokens)
    method = "isotonic, log-linear interpolation; joint bootstrap over replicates, expanded percentiles"
    if not resampled:
        return TokenRatio(ratio, None, None, reference_tokens, arm_tokens, 0.0, n, method)
    ratios = [divide(*counted(pair)) for pair in resampled]
    draws, tail = int(counts.sum()), expanded_level(n)
    undefined = int(counts[[bound is None for bound in ratios]].sum()) / draws
    low = np.sort(np.repeat([_least(b) for b in ratios], counts))[math.floor(tail * draws)]
    high = np.sort(np.repeat([_most(b) for b in ratios], counts))[math.ceil((1 - tail) * draws) - 1]
    limits = (float(low) or None, None if math.isinf(high) else float(high))
    return TokenRatio(ratio, *limits, reference_tokens, arm_tokens, undefined, n, method)


def _least(bound: Bound | None) -> float:
    """The least that a draw may be: 0 where it is only bounded from above, or has no ratio."""
    return 0.0 if bound is None or bound.relation == "<=" else bound.value


def _most(bound: Bound | None) -> float:
    """The most that a draw may be: infinite where it is only bounded from below, or has no ratio."""
    return math.inf if bound is None or bound.relation == ">=" else bound.value
