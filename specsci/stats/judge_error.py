"""Estimates that allow for a judge's errors, from a share of answers that people graded too.

Prediction-powered inference adds to the mean of all judged answers what people and judge differ by on the labelled ones (Angelopoulos
and others 2023, Science 382: 669). Rogan and Gladen (1978) correct a judged share by the judge's sensitivity and specificity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from specsci.stats.laws import t_quantile

Array = np.ndarray
FEW_LABELS = 10
"""Below so many labelled answers of an arm its correction has no interval."""


@dataclass(frozen=True)
class Rectifier:
    """What people and judge differ by on one arm's labelled answers: mean, its variance, and how many answers."""

    mean: float
    variance: float
    labels: int


@dataclass(frozen=True)
class Corrected:
    """A corrected estimate with its interval; the interval is NaN where it cannot be known."""

    estimate: float
    se: float
    ci_low: float
    ci_high: float
    labels: int


def rectifier(judge: Array, human: Array) -> Rectifier:
    """The mean difference of human and judged values of the same answers, shape (answers,), in one order."""
    difference = np.asarray(human, float) - np.asarray(judge, float)
    n = len(difference)
    spread = float(difference.var(ddof=1)) / n if n > 1 else math.nan
    return Rectifier(float(difference.mean()) if n else math.nan, spread, n)


def prediction_powered(
    estimate: float, se: float, freedom: float, weights: Sequence[float], arms: Sequence[Rectifier], confidence: float = 0.95
) -> Corrected:
    """A contrast of judged means, corrected by each arm's labelled answers.

    Args:
        estimate, se, freedom: of the contrast of all judged answers, and the degrees of freedom behind its standard error.
        weights: of the arms, as the contrast has them.
        arms: what people and judge differ by in each.

    Returns:
        The labels are a random sample of each arm's answers, so that both parts are nearly independent; the degrees of freedom are
        Satterthwaite's.
    """
    corrected = estimate + sum(w * arm.mean for w, arm in zip(weights, arms, strict=True))
    labels = sum(arm.labels for arm in arms)
    parts = [(se**2, freedom), *((w**2 * arm.variance, arm.labels - 1) for w, arm in zip(weights, arms, strict=True))]
    variance = sum(part for part, _ in parts)
    if min((arm.labels for arm in arms), default=0) < FEW_LABELS or not math.isfinite(variance):
        return Corrected(corrected, math.nan, math.nan, math.nan, labels)
    whole = math.sqrt(variance)
    if whole == 0:
        return Corrected(corrected, 0.0, corrected, corrected, labels)
    df = variance**2 / sum(part**2 / max(own, 1.0) for part, own in parts if part)
    half = t_quantile(0.5 + confidence / 2, df) * whole
    return Corrected(corrected, whole, corrected - half, corrected + half, labels)


def rogan_gladen(
    judged: tuple[int, int], sensitivity: tuple[int, int], specificity: tuple[int, int], confidence: float = 0.95
) -> Corrected:
    """The true share behind a judged share.

    Args:
        judged: positive verdicts and all verdicts.
        sensitivity: verdicts that were positive among labelled positives, and the labelled positives.
        specificity: verdicts that were negative among labelled negatives, and the labelled negatives.

    Returns:
        NaN where the judge tells nothing apart (sensitivity + specificity at or below 1). The estimate is cut to 0 and 1, the interval
        (delta method; counts with a half added) with it.
    """
    labels = sensitivity[1] + specificity[1]
    if not judged[1] or not sensitivity[1] or not specificity[1]:
        return Corrected(math.nan, math.nan, math.nan, math.nan, labels)
    p, se, sp = (k / n for k, n in (judged, sensitivity, specificity))
    told = se + sp - 1
    if told <= 0:
        return Corrected(math.nan, math.nan, math.nan, math.nan, labels)
    share = (p + sp - 1) / told

    def variance(k: int, n: int) -> float:
        q = (k + 0.5) / (n + 1)
        return q * (1 - q) / n

    spread = (variance(*judged) + share**2 * variance(*sensitivity) + (1 - share) ** 2 * variance(*specificity)) / told**2
    half = t_quantile(0.5 + confidence / 2, min(sensitivity[1], specificity[1]) - 1 or 1) * math.sqrt(spread)
    low, high = (min(1.0, max(0.0, share + s * half)) for s in (-1, 1))
    return Corrected(min(1.0, max(0.0, share)), math.sqrt(spread), low, high, labels)
