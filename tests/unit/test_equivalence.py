"""Equivalence: the two one-sided tests are those of statsmodels, and a null is not equivalence."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.weightstats import ttost_paired

from specsci.stats.contrast import paired_contrast
from specsci.stats.counts import Count, linear
from specsci.stats.equivalence import tost

RNG = np.random.default_rng(5)
RATES = np.stack([x := 0.6 + RNG.normal(0, 0.05, 8), x + RNG.normal(0.01, 0.02, 8)], axis=1)
WEIGHTS = np.array([1.0, -1.0])


def test_p_is_statsmodels() -> None:
    found = tost(paired_contrast(RATES, WEIGHTS, 100), 0.05)
    p, *_ = ttost_paired(RATES[:, 0], RATES[:, 1], -0.05, 0.05)
    assert found.p == pytest.approx(p, abs=1e-12) and found.verdict == "equivalent"


@pytest.mark.parametrize(
    ("margin", "shift", "verdict"), [(0.05, 0.0, "equivalent"), (0.05, 0.2, "different"), (0.001, 0.0, "undetermined")]
)
def test_a_verdict_says_what_the_interval_shows(margin: float, shift: float, verdict: str) -> None:
    moved = RATES + np.array([shift, 0.0])
    found = tost(paired_contrast(moved, WEIGHTS, 100), margin)
    assert found.verdict == verdict and (found.p < 0.05) == (verdict == "equivalent")
    assert (-margin < found.ci_low and found.ci_high < margin) == (verdict == "equivalent")


def test_counts_are_held_against_the_normal_law() -> None:
    wide = tost(linear([Count(80, 100), Count(79, 100)], WEIGHTS), 0.05)
    narrow = tost(linear([Count(8000, 10_000), Count(7900, 10_000)], WEIGHTS), 0.05)
    assert wide.verdict == "undetermined" and narrow.verdict == "equivalent"


def test_what_cannot_be_tested_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        tost(paired_contrast(RATES, WEIGHTS, 100), 0.0)
    with pytest.raises(ValueError, match="without spread"):
        tost(paired_contrast(np.full((4, 2), 0.5), WEIGHTS, 100), 0.1)
