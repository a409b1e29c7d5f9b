"""Paired contrasts against scipy's one-sample t test, on every scale, and at the edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from specsci.stats.contrast import leave_one_out, paired_contrast, transform

RATES = np.array([[0.80, 0.70, 0.5], [0.85, 0.60, 0.4], [0.90, 0.75, 0.6], [0.70, 0.65, 0.5], [0.95, 0.70, 0.3]])


@pytest.mark.parametrize("weights", [[1, -1, 0], [1, -0.5, -0.5], [1, -2, 1]])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_a_contrast_is_the_one_sample_t_test_of_its_values(weights, confidence) -> None:
    found = paired_contrast(RATES, np.array(weights), 100, confidence=confidence)
    expected = stats.ttest_1samp(RATES @ np.array(weights), 0)
    interval = expected.confidence_interval(confidence)
    assert (found.estimate, found.statistic, found.p) == pytest.approx(
        ((RATES @ weights).mean(), expected.statistic, expected.pvalue)
    )
    assert (found.ci_low, found.ci_high) == pytest.approx((interval.low, interval.high))
    assert found.per_replicate == pytest.approx(RATES @ weights)
    assert (found.n, found.method) == (5, "paired t over 5 replicates (rate scale)")


@pytest.mark.parametrize("scale", ["logit", "arcsine"])
def test_scales_transform_before_the_test(scale) -> None:
    changed = transform(RATES, scale, 100)
    found = paired_contrast(RATES, np.array([1, -1, 0]), 100, scale)
    assert found.statistic == pytest.approx(stats.ttest_1samp(changed[:, 0] - changed[:, 1], 0).statistic)
    assert f"({scale} scale)" in found.method


def test_known_values_of_the_scales() -> None:
    rates = np.array([0.0, 0.5, 1.0])
    assert transform(rates, "arcsine", 10) == pytest.approx([0, math.pi / 4, math.pi / 2])
    assert transform(rates, "logit", 10) == pytest.approx([math.log(0.5 / 10.5), 0, math.log(10.5 / 0.5)])
    assert list(transform(rates, "rate", 10)) == [0, 0.5, 1]


def test_pairing_takes_the_bases_own_level_out() -> None:
    level = np.array([0.1, 0.3, 0.5, 0.7])
    rates = np.stack([level + np.array([0.1, 0.11, 0.09, 0.1]), level], axis=1)
    found = paired_contrast(rates, np.array([1, -1]), 100)
    assert found.estimate == pytest.approx(0.1) and found.ci_low > 0.085 and found.ci_high < 0.115


def test_replicates_that_agree_to_the_last_bit_have_no_spread() -> None:
    """0.3 - 0.1, 0.5 - 0.3 and 0.9 - 0.7 differ by 1e-17, which is not a spread to test against."""
    found = paired_contrast(np.array([[0.3, 0.1], [0.5, 0.3], [0.9, 0.7]]), np.array([1, -1]), 100)
    assert found.se == 0.0 and found.method.endswith("; no spread, no test")
    assert found.estimate == pytest.approx(0.2)
    assert np.isnan([found.p, found.statistic, found.ci_low, found.ci_high]).all()


def test_one_replicate_or_shapes_that_do_not_fit_are_errors() -> None:
    with pytest.raises(ValueError, match="at least two replicates"):
        paired_contrast(RATES[:1], np.array([1, -1, 0]), 100)
    with pytest.raises(ValueError, match=r"rates \(5, 3\) do not fit 2 weights"):
        paired_contrast(RATES, np.array([1, -1]), 100)


def test_a_verdict_that_hangs_on_one_replicate_is_sensitive() -> None:
    weights = np.array([1.0, -1.0])
    steady = np.stack([np.array([0.7, 0.71, 0.69, 0.7, 0.72]), np.full(5, 0.5)], axis=1)
    assert not leave_one_out(steady, weights, 100)
    outlier = np.stack([np.array([0.7, 0.71, 0.69, 0.7, 0.1]), np.full(5, 0.5)], axis=1)
    assert leave_one_out(outlier, weights, 100)
    assert not leave_one_out(np.array([[0.7, 0.5], [0.5, 0.6]]), weights, 100)


def test_a_verdict_of_two_replicates_always_hangs_on_one() -> None:
    rates = np.array([[0.7, 0.5], [0.71, 0.5]])
    assert paired_contrast(rates, np.array([1.0, -1.0]), 100).verdict == 1
    assert leave_one_out(rates, np.array([1.0, -1.0]), 100)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=8))
def test_swapping_sides_flips_signs_and_keeps_p(pairs: list[tuple[float, float]]) -> None:
    rates = np.array(pairs)
    assume(np.std(rates[:, 0] - rates[:, 1]) > 1e-9)
    one, other = (paired_contrast(rates, np.array(w), 50) for w in ([1, -1], [-1, 1]))
    assert one.estimate == pytest.approx(-other.estimate, abs=1e-12) and one.p == pytest.approx(other.p, abs=1e-12)
    assert (one.ci_low, one.ci_high) == pytest.approx((-other.ci_high, -other.ci_low), abs=1e-12)
    assert one.ci_low <= one.estimate <= one.ci_high and 0 <= one.p <= 1


def test_under_no_difference_p_falls_below_5_percent_5_times_of_100() -> None:
    rng = np.random.default_rng(3)
    below = 0
    for _ in range(1500):
        base = rng.normal(0.5, 0.1, 6)
        rates = np.stack([base + rng.normal(0, 0.05, 6), base + rng.normal(0, 0.05, 6)], axis=1)
        below += paired_contrast(rates, np.array([1, -1]), 100).p < 0.05
    assert 0.035 < below / 1500 < 0.065
