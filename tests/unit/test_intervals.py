"""Intervals against scipy and statsmodels, where replicates agree, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from specsci.stats.families import adjust
from specsci.stats.intervals import expanded_level, rate_interval, wilson


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (1, 10), (5, 10), (10, 10), (37, 192), (2, 5000)])
def test_wilson_is_statsmodels_wilson(successes, trials, confidence) -> None:
    expected = proportion_confint(successes, trials, alpha=1 - confidence, method="wilson")
    assert wilson(successes, trials, confidence) == pytest.approx(expected, abs=1e-12)


def test_wilson_of_nothing_is_everything() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_the_t_interval_is_scipys(confidence) -> None:
    rates = np.array([0.31, 0.42, 0.28, 0.55, 0.40, 0.37])
    found = rate_interval(rates, 192, confidence)
    expected = stats.t.interval(confidence, 5, loc=rates.mean(), scale=stats.sem(rates))
    assert (found.low, found.high) == pytest.approx(expected)
    assert (found.estimate, found.n, found.method) == (pytest.approx(rates.mean()), 6, "t over replicates")


def test_limits_stay_within_0_and_1() -> None:
    found = rate_interval(np.array([0.0, 0.02, 0.3]), 100)
    assert found.low == 0.0 and 0 < found.high <= 1
    assert rate_interval(np.array([1.0, 0.98, 0.7]), 100).high == 1.0


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.7, 1 / 3, 1.0])
@pytest.mark.parametrize("n", [1, 3, 6])
def test_replicates_without_spread_get_the_wilson_interval_of_one(rate, n) -> None:
    """Also where equal rates differ in the last bit of their mean: six times 0.1 has a standard deviation of 1e-17."""
    found = rate_interval(np.full(n, rate), 60)
    assert found.method == "wilson, items of one replicate"
    assert (found.low, found.high) == pytest.approx(proportion_confint(rate * 60, 60, method="wilson"), abs=1e-9)
    assert found.high - found.low > 0.05


def test_the_expanded_level_repairs_the_bootstraps_factor_and_quantile() -> None:
    # Hesterberg 2015: Phi(sqrt(n / (n - 1)) * t_{n-1, 0.025})
    assert expanded_level(6) == pytest.approx(stats.norm.cdf(math.sqrt(6 / 5) * -2.5705818), rel=1e-6)
    assert expanded_level(10_000) == pytest.approx(0.025, rel=1e-3)
    assert expanded_level(2) < expanded_level(3) < expanded_level(6) < 0.025
    with pytest.raises(ValueError, match="at least two"):
        expanded_level(1)


def test_t_over_six_replicates_covers_the_truth_95_times_of_100() -> None:
    rng = np.random.default_rng(11)
    hits = 0
    for _ in range(2000):
        found = rate_interval(np.clip(rng.normal(0.4, 0.08, 6), 0, 1), 192)
        hits += found.low <= 0.4 <= found.high
    assert 0.935 < hits / 2000 < 0.965


P_VALUES = [0.001, 0.04, 0.03, 0.5, 0.012, 0.04]


@pytest.mark.parametrize(("correction", "method"), [("holm", "holm"), ("bh", "fdr_bh")])
def test_corrections_are_statsmodels_in_the_given_order(correction, method) -> None:
    assert adjust(P_VALUES, correction) == pytest.approx(list(multipletests(P_VALUES, method=method)[1]))


def test_holm_by_hand_and_the_other_ends() -> None:
    assert adjust([0.01, 0.04, 0.03], "holm") == pytest.approx([0.03, 0.06, 0.06])
    assert adjust([0.01, 0.04, 0.03], "none") == [0.01, 0.04, 0.03]
    assert adjust([], "holm") == [] and adjust([0.2], "holm") == [0.2]
