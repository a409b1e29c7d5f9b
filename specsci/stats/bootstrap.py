"""Hierarchical bootstrap: replicates, clusters of items in them, items in those."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from specsci.stats.intervals import expanded_level
from specsci.stats.laws import normal_quantile, t_cdf, t_quantile, t_tail

Array = np.ndarray
RESOLVED = 10
"""So many draws lie beyond a percentile that may be read."""
DRAWS, FEWEST_DRAWS = 10_000, 2_000
CLUSTER_DRAWS = 50_000_000
"""Draws times clusters in about half a minute of one core."""


@dataclass(frozen=True)
class Draws:
    """The bootstrap distribution of a mean; `p` is two-sided, the level at which the limits meet 0; `limits` says what they are."""

    estimate: float
    se: float
    low: float
    high: float
    p: float
    draws: int
    limits: str


def draws_for(clusters: int) -> int:
    """How many draws are worth their time: fewer where each resamples many clusters, but enough for limits of 95 %."""
    return min(DRAWS, max(FEWEST_DRAWS, CLUSTER_DRAWS // max(clusters, 1)))


def hierarchical_bootstrap(
    values: list[list[Array]], *, draws: int = DRAWS, seed: int = 0, confidence: float = 0.95
) -> Draws:
    """The mean of replicate means under resampling of replicates, of clusters within them, and of items within those.

    Args:
        values: for each replicate, for each of its clusters, one number per item: an answer (0 or 1), or a contrast of
            answers (a difference of paired arms). A cluster weighs by its items.

    What an item adds to a resampled cluster depends on its value alone, so that items of equal value are drawn together: the
    number of each distinct value in a resample is multinomial. Limits are expanded percentiles over the replicates; where these
    lie beyond what the draws resolve (four replicates and fewer), they are those of a t with the bootstrap's standard error.

    Raises:
        ValueError: fewer than two replicates, or a replicate without items.
    """
    n = len(values)
    if n < 2:
        raise ValueError("a bootstrap over replicates needs at least two")
    rng = np.random.default_rng(seed)
    picked = rng.multinomial(n, np.full(n, 1 / n), size=draws)
    totals = np.zeros(draws)
    for index, clusters in enumerate(values):
        chosen = np.repeat(np.arange(draws), picked[:, index])  # one entry for every copy of this replicate in every draw
        totals += np.bincount(chosen, weights=_resampled_means(clusters, len(chosen), rng), minlength=draws)
    means = totals / n
    tail = expanded_level(n, confidence)
    estimate, se = float(np.mean([np.concatenate(clusters).mean() for clusters in values])), float(means.std(ddof=1))
    wide = se * math.sqrt(n / (n - 1))
    p_of_t = float(2 * t_tail(abs(estimate) / wide, n - 1)) if wide > 0 else math.nan
    if tail * draws >= RESOLVED:
        low, high = np.quantile(means, [tail, 1 - tail])
        return Draws(estimate, se, float(low), float(high), _level(means, n, p_of_t), draws, "expanded percentiles")
    half = float(t_quantile(0.5 + confidence / 2, n - 1)) * wide
    return Draws(estimate, se, estimate - half, estimate + half, p_of_t, draws, "t of the bootstrap's standard error")


def _level(means: Array, n: int, p_of_t: float) -> float:
    """The two-sided level at which an expanded percentile limit meets 0; beyond what the draws resolve, that of the t."""
    beyond = min(int((means <= 0).sum()), int((means >= 0).sum()))
    share = min(0.5, max(beyond, RESOLVED) / len(means))
    statistic = float(normal_quantile(share)) / math.sqrt(n / (n - 1))
    level = float(2 * t_cdf(statistic, n - 1))
    return level if beyond >= RESOLVED else min(p_of_t, level)


def _resampled_means(clusters: list[Array], copies: int, rng: np.random.Generator) -> Array:
    """Means of `copies` resamples of one replicate: clusters with replacement, items within each."""
    sizes = np.array([len(c) for c in clusters])
    if not len(sizes) or not sizes.all():
        raise ValueError("a replicate, or a cluster of it, has no items")
    taken = rng.multinomial(len(clusters), np.full(len(clusters), 1 / len(clusters)), size=copies)
    sums = np.zeros(copies)
    for index, cluster in enumerate(clusters):
        distinct, counts = np.unique(cluster, return_counts=True)
        drawn = rng.multinomial(taken[:, index] * sizes[index], counts / sizes[index])
        sums += drawn @ distinct
    means: Array = sums / (taken @ sizes)
    return means
