"""Contrasts over replicates that the arms need not share: paired t where they do, Welch's t where they share none."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from specsci.stats.contrast import ContrastResult, Scale, leaning
from specsci.stats.intervals import NO_SPREAD
from specsci.stats.laws import t_quantile, t_tail

Array = np.ndarray
FEWEST_SHARED = 3
"""From so many shared replicates on, the correlation of two arms enters the degrees of freedom."""


def over_replicates(values: Array, weights: Array, scale: Scale = "rate", confidence: float = 0.95) -> ContrastResult:
    """A weighted sum of arm means, every arm over the replicates that it has itself.

    The model is one mean per arm, the cluster is the replicate, the variance is CR2 (Bell and McCaffrey 2002), and the degrees
    of freedom are Satterthwaite's with the arms' own variances. Where every arm has every replicate this is the paired t; where
    no two arms share one it is Welch's t, for any weights. An arm of one replicate has no spread of its own: the mean variance
    of the other arms stands in.

    Args:
        values: the arms' values on the contrast's scale, shape (replicates, arms); NaN where an arm lacks a replicate.
        weights: shape (arms,).

    Where nothing varies there is no test: statistic, p and interval are NaN.

    Raises:
        ValueError: an arm without a replicate, or no arm with two.
    """
    values, weights = np.asarray(values, float), np.asarray(weights, float)
    if values.ndim != 2 or values.shape[1] != len(weights):
        raise ValueError(f"values {values.shape} do not fit {len(weights)} weights")
    present = ~np.isnan(values)
    values, present = values[present.any(axis=1)], present[present.any(axis=1)]
    counts = present.sum(axis=0)
    if counts.min(initial=1) < 1 or counts.max(initial=0) < 2:
        raise ValueError("a contrast over replicates needs an arm with two replicates, and every arm one")
    if present.all():
        return _paired(values @ weights, scale, confidence, single=len(weights) == 1)
    means = np.nansum(values, axis=0) / counts
    rest = np.where(present, values - means, 0.0)
    estimate = float(weights @ means)
    shared = int(present.all(axis=1).sum())
    each = " and ".join(str(n) for n in counts)
    what = (
        f"Welch t over {each} replicates, none shared"
        if not _overlap(present)
        else f"t over {each} replicates, {shared} shared by all, CR2"
    )
    result = ContrastResult(
        estimate, 0.0, math.nan, math.nan, math.nan, math.nan, len(values), f"{what} ({scale} scale)", ()
    )
    scores, borrowed = _scores(rest, present, weights)
    variance = float((scores**2).sum() + (borrowed**2).sum())
    if math.sqrt(variance) < NO_SPREAD:
        return replace(result, method=result.method + "; no spread, no test")
    freedom = _freedom(rest, present, weights)
    return of_t(result, math.sqrt(variance), freedom, confidence)


def of_t(result: ContrastResult, se: float, freedom: float, confidence: float = 0.95) -> ContrastResult:
    """A result with its standard error's t interval and test."""
    half = float(t_quantile(0.5 + confidence / 2, freedom)) * se
    statistic = result.estimate / se
    p = float(2 * t_tail(abs(statistic), freedom))
    low, high = result.estimate - half, result.estimate + half
    return replace(result, se=se, statistic=statistic, p=p, ci_low=low, ci_high=high, freedom=freedom)


def _paired(values: Array, scale: Scale, confidence: float, single: bool = False) -> ContrastResult:
    n = len(values)
    mean, se = float(values.mean()), float(values.std(ddof=1) / math.sqrt(n))
    method = f"{'t' if single else 'paired t'} over {n} replicates ({scale} scale)"
    per_replicate = tuple(float(v) for v in values)
    result = ContrastResult(mean, 0.0, math.nan, math.nan, math.nan, math.nan, n, method, per_replicate)
    if se < NO_SPREAD:
        return replace(result, method=method + "; no spread, no test")
    return of_t(result, se, n - 1, confidence)


def _overlap(present: Array) -> bool:
    """Whether any replicate is of two arms."""
    return bool((present.sum(axis=1) > 1).any())


def _factors(present: Array, weights: Array) -> tuple[Array, float]:
    """What a residual of each arm is multiplied by in the contrast's scores, and the weight of the arms without a spread."""
    counts = present.sum(axis=0)
    several = counts > 1
    factor = np.where(several, weights / counts * np.sqrt(counts / np.maximum(counts - 1, 1)), 0.0)
    lonely = float((weights[~several] ** 2).sum() / (counts[several] - 1).sum())
    return factor, math.sqrt(lonely)


def _scores(rest: Array, present: Array, weights: Array) -> tuple[Array, Array]:
    """CR2 scores by replicate, shape (replicates,), and the residuals that stand in for arms of one replicate."""
    factor, lonely = _factors(present, weights)
    return rest @ factor, lonely * rest


def _freedom(rest: Array, present: Array, weights: Array) -> float:
    """Satterthwaite's degrees of freedom of the CR2 variance, at the arms' own variances and correlations.

    Where arms share a part of the replicates, those of equal variances bound them: the shared part is measured on few.
    """
    own = _satterthwaite(present, weights, _covariance(rest, present))
    return min(own, _satterthwaite(present, weights, np.eye(len(weights)))) if _overlap(present) else own


def _satterthwaite(present: Array, weights: Array, covariance: Array) -> float:
    """Twice the squared mean of the variance estimate over its variance, for normal values of a covariance between arms."""
    factor, lonely = _factors(present, weights)
    n, arms = present.shape
    counts = present.sum(axis=0)
    centred = [
        np.diag(present[:, a].astype(float)) - np.outer(present[:, a], present[:, a]) / counts[a] for a in range(arms)
    ]
    rows = [np.hstack([factor[a] * centred[a] for a in range(arms)])]
    if lonely:
        rows += [np.hstack([lonely * centred[a] if a == b else np.zeros((n, n)) for b in range(arms)]) for a in range(arms)]
    map_ = np.vstack(rows)
    spread = np.kron(covariance, np.eye(n))
    middle = map_ @ spread @ map_.T
    return float(np.trace(middle) ** 2 / (middle**2).sum())


def _covariance(rest: Array, present: Array) -> Array:
    """Variances of the arms and, where enough replicates are shared, their covariances; shape (arms, arms)."""
    counts = present.sum(axis=0)
    variances = (rest**2).sum(axis=0) / np.maximum(counts - 1, 1)
    variances = np.where(counts > 1, variances, 0.0)
    found = np.diag(variances)
    for a in range(len(counts)):
        for b in range(a):
            both = present[:, a] & present[:, b]
            if both.sum() >= FEWEST_SHARED and rest[both, a].std() > 0 and rest[both, b].std() > 0:
                correlation = float(np.corrcoef(rest[both, a], rest[both, b])[0, 1])
                found[a, b] = found[b, a] = correlation * math.sqrt(variances[a] * variances[b])
    values, vectors = np.linalg.eigh(found)
    return np.asarray(vectors @ np.diag(np.maximum(values, 0.0)) @ vectors.T)


def replicate_decides(values: Array, weights: Array) -> bool:
    """Whether dropping any single replicate makes the interval cover 0 that did not, or the reverse.

    Where an arm has only two replicates, any verdict hangs on one.
    """
    full = over_replicates(values, weights)
    values = np.asarray(values, float)
    if (~np.isnan(values)).sum(axis=0).min() < 3:
        return full.verdict != 0
    parts = (over_replicates(np.delete(values, dropped, axis=0), weights) for dropped in range(len(values)))
    return any(leaning(part) != leaning(full) for part in parts)
