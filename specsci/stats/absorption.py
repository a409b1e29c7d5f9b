"""Whether midtraining installed a spec: held-out documents against control text, before and after."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from specsci.stats.intervals import NO_SPREAD
from specsci.stats.laws import t_quantile


@dataclass(frozen=True)
class Absorption:
    """Nats per token that held-out documents became easier by, over what control text did, with its 95 % interval.

    The limits are NaN where the texts do not differ from each other.
    """

    gain: float
    ci_low: float
    ci_high: float

    @property
    def installed(self) -> bool:
        """Whether the interval lies above 0."""
        return self.ci_low > 0


def absorption(
    own: np.ndarray,
    control: np.ndarray | None,
    own_tokens: np.ndarray | None = None,
    control_tokens: np.ndarray | None = None,
) -> Absorption | None:
    """The gain of one model: the fall of the documents' loss per token less that of the control texts'.

    Args:
        own: change of each held-out document's loss in nats, after less before (shape: documents).
        control: the same of control texts; None counts the documents' change alone.
        own_tokens, control_tokens: tokens of each text, which it weighs by; None weighs all alike.

    Returns:
        None where there are fewer than two texts to judge by. A loss per token is a ratio of sums: its variance is that of the
        ratio estimator over texts (Cochran 1977, ch. 6), and the interval Welch's t with it (one-sample t without control).
    """
    if len(own) < 2 or (control is not None and len(control) < 2):
        return None
    parts = [_per_token(own, own_tokens), *([_per_token(control, control_tokens)] if control is not None else [])]
    gain = -parts[0][0] + (parts[1][0] if control is not None else 0.0)
    variance = sum(part[1] for part in parts)
    if variance < NO_SPREAD**2:
        return Absorption(gain, math.nan, math.nan)
    freedom = variance**2 / sum(part[1] ** 2 / (part[2] - 1) for part in parts)
    half = float(t_quantile(0.975, freedom)) * math.sqrt(variance)
    return Absorption(gain, gain - half, gain + half)


def _per_token(change: np.ndarray, tokens: np.ndarray | None) -> tuple[float, float, int]:
    """Change per token over all texts, its variance, and the number of texts."""
    weights = np.ones(len(change)) if tokens is None else np.asarray(tokens, float)
    rate = float(change.sum() / weights.sum())
    n, rest = len(change), (change - rate * weights) / weights.mean()
    return rate, float(np.square(rest).sum()) / (n * (n - 1)), n
