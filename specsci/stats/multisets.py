"""What a bootstrap over few replicates can draw: all multisets of them with their chances, or a sample of the multisets."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import combinations

import numpy as np

Array = np.ndarray


def multisets(n: int, draws: int, seed: int, *, exact_up_to: int) -> tuple[Array, Array]:
    """Resamples of `n` replicates as weights that sum to 1, and the chance of each.

    Args:
        draws: how many to draw where there are more than `exact_up_to` replicates; else all are listed (6,435 for 8).

    Returns:
        Weights of shape (resamples, n), chances of shape (resamples,).
    """
    if n <= exact_up_to:
        return _all(n)
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws)
    return counts / n, np.full(draws, 1 / draws)


@lru_cache(maxsize=4)
def _all(n: int) -> tuple[Array, Array]:
    """Every multiset of size `n`: n! / (product of counts!) of the n**n equally likely sequences give it."""
    bars = np.array(list(combinations(range(2 * n - 1), n - 1)), int).reshape(math.comb(2 * n - 1, n - 1), n - 1)
    ends = np.hstack([np.full((len(bars), 1), -1), bars, np.full((len(bars), 1), 2 * n - 1)])
    counts = np.diff(ends, axis=1) - 1
    logs = math.lgamma(n + 1) - n * math.log(n) - np.vectorize(math.lgamma)(counts + 1.0).sum(axis=1)
    return counts / n, np.exp(logs)


def limits(low: Array, high: Array, chances: Array, tail: float) -> tuple[float, float]:
    """The least value that the lowest `tail` of a distribution does not reach, and the greatest that the highest does not.

    Args:
        low, high: the least and the most that each resample's value may be (equal where it is known).
    """
    return _from_below(low, chances, tail), -_from_below(-high, chances, tail)


def _from_below(values: Array, chances: Array, tail: float) -> float:
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(chances[order])
    at = int(np.searchsorted(reached, tail + 1e-12, side="right"))
    return float(values[order][min(at, len(values) - 1)])
