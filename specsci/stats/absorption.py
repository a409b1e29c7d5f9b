"""Whether midtraining installed a spec: held-out documents against control text, before and after."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Absorption:
    """Nats per token that held-out documents became easier by, over what control text did, with its 95 % interval."""

    gain: float
    ci_low: float
    ci_high: float

    @property
    def installed(self) -> bool:
        """Whether the interval lies above 0."""
        return self.ci_low > 0


def absorption(own: np.ndarray, control: np.ndarray | None) -> Absorption | None:
    """The gain of one model.

    Args:
        own: change of each held-out document's loss in nats per token, after less before (shape: documents).
        control: the same of control texts; None counts the documents' change alone.

    Returns:
        None where there are fewer than two texts to judge by. Intervals are Welch's t (one-sample t without control).
    """
    if len(own) < 2 or (control is not None and len(control) < 2):
        return None
    if control is None:
        found = stats.ttest_1samp(-own, 0.0)
        low, high = found.confidence_interval(0.95)
        return Absorption(float(-own.mean()), float(low), float(high))
    found = stats.ttest_ind(-own, -control, equal_var=False)
    low, high = found.confidence_interval(0.95)
    return Absorption(float(control.mean() - own.mean()), float(low), float(high))
