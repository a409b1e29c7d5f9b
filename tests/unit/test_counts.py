"""Estimators from counts: the same numbers as statsmodels and scipy where the method is the same, and sane ends."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint, proportions_ztest

from specsci.stats.counts import Count, fisher, is_small, linear, mcnemar, newcombe, two_proportion
from specsci.stats.intervals import wilson

PAIRS = [((80, 100), (60, 95)), ((3, 8100), (12, 8100)), ((0, 20), (5, 25)), ((410, 500), (410, 500))]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_two_proportions_are_those_of_statsmodels(first, second) -> None:
    z, p = proportions_ztest([first[0], second[0]], [first[1], second[1]])
    found = two_proportion(Count(*first), Count(*second))
    assert (found.statistic, found.p) == (pytest.approx(z, abs=1e-9), pytest.approx(p, abs=1e-9))
    low, high = confint_proportions_2indep(*first, *second, method="newcomb", compare="diff")
    assert (found.ci_low, found.ci_high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))
    assert found.estimate == pytest.approx(first[0] / first[1] - second[0] / second[1])
    assert found.se == pytest.approx(found.estimate / found.statistic) if found.estimate else found.statistic == 0


@pytest.mark.parametrize(("aligned", "out_of"), [(0, 10), (10, 10), (37, 100), (1, 8100)])
def test_the_wilson_interval_is_that_of_statsmodels(aligned, out_of) -> None:
    assert wilson(aligned, out_of) == pytest.approx(proportion_confint(aligned, out_of, method="wilson"), abs=1e-9)


def test_nothing_aligned_anywhere_is_no_test_and_has_an_interval() -> None:
    found = two_proportion(Count(0, 50), Count(0, 40))
    assert math.isnan(found.p) and math.isnan(found.statistic) and found.estimate == 0
    assert found.ci_low < 0 < found.ci_high


def test_fisher_is_scipys_and_small_tables_are_known() -> None:
    first, second = Count(1, 9), Count(7, 10)
    assert fisher(first, second).p == pytest.approx(stats.fisher_exact([[1, 8], [7, 3]]).pvalue, abs=1e-12)
    assert is_small(first, second) and not is_small(Count(50, 100), Count(60, 100))
    assert is_small(Count(0, 400), Count(3, 400)), "many answers, and hardly one aligned"
    assert (fisher(first, second).ci_low, fisher(first, second).ci_high) == newcombe(first, second)


def test_mcnemar_is_that_of_statsmodels() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.random(120) < 0.7, rng.random(120) < 0.5
    table = [[(first & second).sum(), (first & ~second).sum()], [(~first & second).sum(), (~first & ~second).sum()]]
    found = mcnemar(first, second)
    assert found.p == pytest.approx(reference_mcnemar(table, exact=True).pvalue, abs=1e-12)
    assert found.estimate == pytest.approx(first.mean() - second.mean())
    assert found.se == pytest.approx((first.astype(float) - second).std() / math.sqrt(120), abs=1e-9)
    assert mcnemar(first, first).p == 1.0
    assert mcnemar(first, first).ci_low < -0.005 < 0.005 < mcnemar(first, first).ci_high, (
        "no discordant pair is not certainty"
    )
    gained, lost, n = (first & ~second).sum() + 1, (~first & second).sum() + 1, 122
    up, down = gained / n, lost / n
    half = stats.norm.ppf(0.975) * math.sqrt((up + down - (up - down) ** 2) / n)
    assert (found.ci_low, found.ci_high) == (pytest.approx(up - down - half), pytest.approx(up - down + half))


def test_linear_combinations_agree_with_two_arms_and_add_variances() -> None:
    a, b, c, d = Count(80, 100), Count(60, 100), Count(30, 90), Count(20, 80)
    two = linear([a, b], np.array([1, -1]))
    assert two.se == pytest.approx(math.sqrt(0.8 * 0.2 / 100 + 0.6 * 0.4 / 100))
    did = linear([a, b, c, d], np.array([1, -1, -1, 1]))
    other = linear([c, d], np.array([1, -1]))
    assert did.estimate == pytest.approx(two.estimate - other.estimate)
    assert did.se == pytest.approx(math.hypot(two.se, other.se)) and did.n == 4
    logit = linear([a, b], np.array([1, -1]), "logit")
    assert logit.estimate == pytest.approx(math.log(80.5 / 20.5) - math.log(60.5 / 40.5))
    assert logit.se == pytest.approx(math.sqrt(1 / 80.5 + 1 / 20.5 + 1 / 60.5 + 1 / 40.5))
    arcsine = linear([a, b], np.array([1, -1]), "arcsine")
    assert arcsine.se == pytest.approx(math.sqrt(1 / 400 + 1 / 400))
    assert linear([Count(0, 10), Count(10, 10)], np.array([1, -1]), "logit").p < 0.05, "0 and 1 are finite"


@pytest.mark.parametrize("scale", ["rate", "logit", "arcsine"])
def test_intervals_from_counts_cover_the_truth(scale) -> None:
    """4,000 studies of two arms: 95 % intervals hold the true difference in 93 to 97 of a hundred."""
    rng, truth, sizes = np.random.default_rng(5), (0.75, 0.6), (180, 140)
    on = {"rate": lambda p: p, "logit": lambda p: math.log(p / (1 - p)), "arcsine": lambda p: math.asin(math.sqrt(p))}[scale]
    wanted, held = on(truth[0]) - on(truth[1]), 0
    draws = 4000
    drawn = [rng.binomial(n, p, draws) for n, p in zip(sizes, truth, strict=True)]
    for k1, k2 in zip(*drawn, strict=True):
        found = linear([Count(k1, sizes[0]), Count(k2, sizes[1])], np.array([1, -1]), scale)
        held += found.ci_low <= wanted <= found.ci_high
    assert 0.93 < held / draws < 0.97
