"""The power planner against Monte Carlo and statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from specsci.stats.power import detectable, power_of, power_of_t, replicates_for, upper_spread

CASES = [(0.08, 0.1, 8), (0.2, 0.1, 4), (0.02, 0.1, 6), (0.05, 0.04, 5), (0.0, 0.1, 8)]


@pytest.mark.parametrize(("difference", "spread", "replicates"), CASES)
def test_power_is_within_two_points_of_monte_carlo_and_that_of_statsmodels(difference, spread, replicates) -> None:
    rng = np.random.default_rng(11)
    drawn = rng.normal(difference, spread, (40_000, replicates))
    found = (stats.ttest_1samp(drawn, 0, axis=1).pvalue < 0.05).mean()
    planned = power_of(difference, spread, replicates)
    assert planned == pytest.approx(found, abs=0.02)
    if difference:
        reference = TTestPower().power(difference / spread, replicates, 0.05, alternative="two-sided")
        assert planned == pytest.approx(reference, abs=1e-6)


@pytest.mark.parametrize("replicates", [2, 4, 8, 30])
def test_what_is_detectable_is_found_with_the_stated_probability(replicates) -> None:
    found = detectable(0.1, replicates)
    assert power_of(found, 0.1, replicates) == pytest.approx(0.8, abs=1e-6)
    assert detectable(0.2, replicates) == pytest.approx(2 * found), "in units of the spread"
    assert replicates_for(found * 1.0001, 0.1) == replicates
    assert replicates_for(found * 0.98, 0.1) >= replicates


def test_a_smaller_difference_takes_more_and_an_invisible_one_is_refused() -> None:
    assert replicates_for(0.05, 0.1) > replicates_for(0.1, 0.1) > replicates_for(0.3, 0.1) >= 3
    with pytest.raises(ValueError, match="more than 10,000 replicates"):
        replicates_for(1e-4, 0.1)
    with pytest.raises(ValueError, match="at least two"):
        power_of(0.1, 0.1, 1)


@pytest.mark.parametrize("measured", [3, 4, 8])
def test_a_plan_with_the_upper_limit_of_a_spread_keeps_its_promise(measured: int) -> None:
    """With the measured spread the stated .80 is .63 to .73 on average; with the upper limit .80 or more in four of five plans."""
    rng = np.random.default_rng(1)
    spreads = rng.normal(0, 0.1, (120, measured)).std(axis=1, ddof=1)
    one = detectable(1.0, 8)
    plain = np.array([power_of(one * s, 0.1, 8) for s in spreads])
    safe = np.array([power_of(one * upper_spread(s, measured), 0.1, 8) for s in spreads])
    assert 0.54 < plain.mean() < 0.79
    assert (safe >= 0.8).mean() == pytest.approx(0.8, abs=0.11)


def test_the_upper_limit_of_a_spread_is_chi_squares() -> None:
    assert upper_spread(0.15, 8) == pytest.approx(0.15 * np.sqrt(7 / stats.chi2.ppf(0.2, 7)))


@pytest.mark.parametrize("freedom", [0.5, 1, 1.3, 4, 40, 4000, float("inf")])
@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.5])
def test_without_a_difference_the_power_is_the_level(freedom: float, alpha: float) -> None:
    assert power_of_t(0.0, freedom, alpha) == pytest.approx(alpha, abs=1e-9)
