"""Equivalence: two one-sided tests that a contrast lies within a margin of 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from scipy.optimize import brentq

from specsci.stats.contrast import ContrastResult
from specsci.stats.laws import t_cdf, t_quantile, t_tail

ALPHA = 0.05


@dataclass(frozen=True)
class Equivalence:
    """What two one-sided tests say: `p` is the larger of the two, the interval has confidence 1 - 2 alpha.

    `verdict` is `equivalent` (the interval lies within the margin), `different` (it does not, and the contrast's own interval
    excludes 0), or `undetermined`: a null that is not evidence of anything.
    """

    margin: float
    p: float
    ci_low: float
    ci_high: float
    verdict: Literal["equivalent", "different", "undetermined"]

    @property
    def code(self) -> str:
        """A stable name of the verdict."""
        return {"equivalent": "equivalent", "different": "not_equivalent", "undetermined": "equivalence_not_shown"}[
            self.verdict
        ]

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
    above = float(t_tail((result.estimate + margin) / result.se, result.freedom))
    below = float(t_cdf((result.estimate - margin) / result.se, result.freedom))
    half = float(t_quantile(1 - alpha, result.freedom)) * result.se
    low, high = result.estimate - half, result.estimate + half
    return _judged(result, margin, max(above, below), low, high)


def of_interval(
    interval: Callable[[float], tuple[float, float]], result: ContrastResult, margin: float, alpha: float = ALPHA
) -> Equivalence:
    """The same from a method's interval at any confidence: p is the level at which its limit meets the margin."""

    def level(side: int) -> float:
        """The one-sided level at which a limit is the margin on its side."""

        def beyond(a: float) -> float:
            low, high = interval(1 - 2 * a)
            return high - margin if side > 0 else -margin - low

        ends = (1e-9, 0.5 - 1e-9)
        if beyond(ends[0]) <= 0:
            return ends[0]
        return 0.5 if beyond(ends[1]) >= 0 else float(brentq(beyond, *ends))

    low, high = interval(1 - 2 * alpha)
    return _judged(result, margin, max(level(1), level(-1)), low, high)


def _judged(result: ContrastResult, margin: float, p: float, low: float, high: float) -> Equivalence:
    inside = -margin < low and high < margin
    verdict: Literal["equivalent", "different", "undetermined"] = (
        "equivalent" if inside else "different" if result.verdict else "undetermined"
    )
    return Equivalence(margin, p, low, high, verdict)
