"""Equivalence: two one-sided tests that a contrast lies within a margin of 0."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from scipy import stats

from specsci.stats.contrast import ContrastResult

ALPHA = 0.05


@dataclass(frozen=True)
class Equivalence:
    """What two one-sided tests say: `p` is the larger of the two, the interval has confidence 1 - 2 alpha.

    `verdict` is `equivalent` (the interval lies within the margin), `different` (it lies beyond 0, and not within), or
    `undetermined`: a null that is no evidence of anything.
    """

    margin: float
    p: float
    ci_low: float
    ci_high: float
    verdict: Literal["equivalent", "different", "undetermined"]

    def __str__(self) -> str:
        said = {
            "equivalent": "equivalent",
            "different": "different, not equivalent",
            "undetermined": "equivalence not shown",
        }
        return f"{said[self.verdict]} within ±{self.margin:g} (TOST p {self.p:.2g})"


def tost(result: ContrastResult, margin: float, alpha: float = ALPHA) -> Equivalence:
    """Schuirmann's two one-sided tests of a contrast against ±margin, on the contrast's own scale.

    Raises:
        ValueError: the margin is not positive, or the contrast has no standard error.
    """
    if not margin > 0:
        raise ValueError("an equivalence margin is positive")
    if not result.se > 0:
        raise ValueError("without spread there is no test of equivalence")
    law: Any = stats.t(result.freedom) if math.isfinite(result.freedom) else stats.norm
    above = float(law.sf((result.estimate + margin) / result.se))
    below = float(law.cdf((result.estimate - margin) / result.se))
    half = float(law.ppf(1 - alpha)) * result.se
    low, high = result.estimate - half, result.estimate + half
    inside, beyond = -margin < low and high < margin, low > 0 or high < 0
    verdict: Literal["equivalent", "different", "undetermined"] = (
        "equivalent" if inside else "different" if beyond else "undetermined"
    )
    return Equivalence(margin, max(above, below), low, high, verdict)
