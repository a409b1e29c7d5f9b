"""Tuning curves: the best value to be expected after k trials, with bands that hold exactly.

The estimate is the mean of the best over all subsets of k of the n trials (unbiased; Dodge and others 2019 with the correction of
Dodge and others 2021). The band rests on the exact distribution of the Kolmogorov statistic: with the given confidence the true
distribution of a trial's value lies everywhere inside [F_n - e, F_n + e], and so does every function of it (Lourie and others 2023).
Trials are draws of one random search; evenly spread points (Sobol) lie closer together than random ones, so that the band is wide for
them. Where nothing bounds the values, an end of the band is infinite: the number is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import kstwo


@dataclass(frozen=True)
class CurvePoint:
    """After `trials` trials: the best value to be expected, and a band around the whole curve; its ends may be infinite."""

    trials: int
    expected_best: float
    low: float
    high: float


def tuning_curve(
    values: Sequence[float], *, maximise: bool, confidence: float = 0.95, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> list[CurvePoint]:
    """The expected best after 1, 2, ..., n trials; none for no values.

    Args:
        values: of the trials that gave one; a failed trial gives `bounds`' worse end where that is finite, and is left out else.
        maximise: whether more is better.
        bounds: between which values lie: (0, 1) for a rate, (0, inf) for a loss.
    """
    signed = np.sort(np.asarray(values if maximise else [-v for v in values], dtype=float))
    low, high = bounds if maximise else (-bounds[1], -bounds[0])
    n = len(signed)
    if n == 0:
        return []
    width = float(kstwo.ppf(confidence, n))
    points = []
    for k in range(1, n + 1):
        best = _mean_best(signed, k)
        worse = _mean_of_best(signed, k, np.minimum(1.0, np.arange(n + 1) / n + width), low, high)
        better = _mean_of_best(signed, k, np.maximum(0.0, np.arange(n + 1) / n - width), low, high)
        ends = (worse, better) if maximise else (-better, -worse)
        points.append(CurvePoint(k, best if maximise else -best, *ends))
    return points


def _mean_best(ordered: np.ndarray, k: int) -> float:
    """The mean of the largest of k over all subsets of size k."""
    n = len(ordered)
    whole = math.comb(n, k)
    return float(sum(math.comb(i, k - 1) / whole * value for i, value in enumerate(ordered) if i >= k - 1))


def _mean_of_best(ordered: np.ndarray, k: int, below: np.ndarray, low: float, high: float) -> float:
    """E[max of k] under a distribution whose value is below[i] between the i-th and the next ordered value, and 1 at `high`."""
    edges = np.concatenate([[low], np.clip(ordered, low, high), [high]])
    mass = np.diff(np.concatenate([[0.0], below**k]))  # at low, and at each ordered value
    total = 0.0
    for weight, value in zip([*mass, 1.0 - below[-1] ** k], edges, strict=True):
        if weight > 0:
            total += weight * value
    return float(total)
