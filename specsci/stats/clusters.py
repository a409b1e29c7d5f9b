"""Contrasts over clusters of items: ratios of counts with cluster-robust errors, where there is one replicate."""

from __future__ import annotations

import math

import numpy as np

from specsci.stats.contrast import ContrastResult, Scale, slope, transform
from specsci.stats.intervals import NO_SPREAD
from specsci.stats.replicates import of_t

Array = np.ndarray


def over_clusters(
    aligned: Array, out_of: Array, weights: Array, arm: Array | None = None, scale: Scale = "rate", confidence: float = 0.95
) -> ContrastResult:
    """A weighted sum of rates, each the ratio of an arm's counts, with errors that are robust to clusters.

    The model is one rate per cell over single answers, so that the estimate is that of the counts, however unequal the clusters
    are. The variance is CR2, and the degrees of freedom are Satterthwaite's with independent answers of equal variance as the
    working model (Bell and McCaffrey 2002; Pustejovsky and Tipton 2018). With equal clusters it is the paired t over them.

    Args:
        aligned, out_of: counts by cell and cluster, shape (cells, clusters).
        weights: shape (arms,).
        arm: the arm of each cell, shape (cells,); an arm's rate is the mean over its cells. None: each cell is an arm.

    Where nothing varies between clusters, or an arm lies in one cluster alone, there is no test: p and interval are NaN.

    Raises:
        ValueError: a cell without answers.
    """
    aligned, out_of, weights = np.asarray(aligned, float), np.asarray(out_of, float), np.asarray(weights, float)
    arm = np.arange(len(aligned)) if arm is None else np.asarray(arm, int)
    kept = out_of.sum(axis=0) > 0
    aligned, out_of = aligned[:, kept], out_of[:, kept]
    total = out_of.sum(axis=1)
    if not (total > 0).all():
        raise ValueError("a cell has no answers")
    cells = aligned.sum(axis=1) / total
    each = np.bincount(arm, minlength=len(weights))
    rates = np.bincount(arm, weights=cells, minlength=len(weights)) / each
    answers = np.bincount(arm, weights=total, minlength=len(weights)) / each
    estimate = float(weights @ transform(rates, scale, answers))
    clusters = aligned.shape[1]
    result = ContrastResult(
        estimate,
        0.0,
        math.nan,
        math.nan,
        math.nan,
        math.nan,
        clusters,
        f"ratio of counts over {clusters} item clusters ({scale} scale)",
        (),
    )
    share = out_of / total[:, None]
    if clusters < 2 or (share >= 1).any():
        return result
    pull = (weights * slope(rates, scale, answers) / each)[arm] / total
    factor = pull[:, None] / np.sqrt(1 - share)
    scores = (factor * (aligned - cells[:, None] * out_of)).sum(axis=0)
    se = math.sqrt(float((scores**2).sum()))
    if se < NO_SPREAD:
        return result
    found = of_t(result, se, _freedom(factor, share, out_of), confidence)
    equal = bool(np.ptp(out_of, axis=1).max() == 0) and scale == "rate"
    name = f"paired t over {clusters} item clusters" if equal else f"ratio of counts, t over {clusters} item clusters, CR2"
    return ContrastResult(**{**vars(found), "method": f"{name} ({scale} scale)"})


def _freedom(factor: Array, share: Array, out_of: Array) -> float:
    """Satterthwaite's degrees of freedom where answers are independent with equal variances."""
    clusters = share.shape[1]
    middle = np.zeros((clusters, clusters))
    for k, h, n in zip(factor, share, out_of, strict=True):
        map_ = k[:, None] * (np.eye(clusters) - h[:, None])
        middle += (map_ * n) @ map_.T
    return float(np.trace(middle) ** 2 / (middle**2).sum())
