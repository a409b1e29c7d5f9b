"""Agreement: the coefficients of the literature's examples, and audited error rates that cover the truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.inter_rater import cohens_kappa

from benchmarks.agreement_coverage import AUDITS, audits_covered, covered, rated
from specsci.stats.agreement import Stratum, audited_error, cohen_kappa, fleiss_kappa, krippendorff_alpha

X = np.nan
KRIPPENDORFF = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, X, X, X],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, X, 3],
        [X, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, X],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, X],
    ]
).T
"""Four observers, twelve units: the example of Krippendorff 2011."""


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_is_krippendorffs(level, alpha) -> None:
    found = krippendorff_alpha(KRIPPENDORFF, level)
    assert found.value == pytest.approx(alpha, abs=5e-4) and found.units == 11
    assert found.ci_low < found.value <= found.ci_high


def test_kappa_of_two_is_cohens() -> None:
    """50 proposals: 20 and 15 agreed on, 5 and 10 not; kappa .4."""
    first = np.array(["y"] * 25 + ["n"] * 25)
    second = np.array(["y"] * 20 + ["n"] * 5 + ["y"] * 10 + ["n"] * 15)
    found = cohen_kappa(first, second)
    assert found.value == pytest.approx(0.4) and 0.1 < found.ci_low < 0.4 < found.ci_high < 0.7
    table = np.array([[20, 5], [10, 15]])
    cells = [(i, j) for i in range(2) for j in range(2) for _ in range(table[i, j])]
    without = np.array([cohens_kappa(table - np.eye(2)[[i]].T * np.eye(2)[j]).kappa for i, j in cells])
    se = np.sqrt(49 / 50 * ((without - without.mean()) ** 2).sum())
    half = stats.t.ppf(0.975, 49) * se * np.sqrt(50 / 48)
    assert (found.ci_low, found.ci_high) == pytest.approx((0.4 - half, 0.4 + half)), "statsmodels' kappa, jackknifed"
    assert half / 1.96 == pytest.approx(cohens_kappa(table).std_kappa, rel=0.1), "near the large-sample error"


def test_kappa_of_many_is_fleiss() -> None:
    """Ten units, fourteen raters, five categories: kappa .210."""
    counts = [[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
              [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]]  # fmt: skip
    ratings = np.array([np.repeat(np.arange(5), row) for row in counts])
    assert fleiss_kappa(ratings).value == pytest.approx(0.210, abs=5e-4)


def test_raters_that_always_agree_on_one_label_have_no_kappa() -> None:
    assert np.isnan(cohen_kappa(np.array(["y"] * 9), np.array(["y"] * 9)).value)


def test_few_units_and_raters_that_never_differ_have_no_interval() -> None:
    few = krippendorff_alpha(KRIPPENDORFF[:7], "nominal")
    assert few.units == 7 and not np.isnan(few.value) and np.isnan(few.ci_low)
    same = np.array(list("ynynynynyn"))
    assert cohen_kappa(same, same).value == 1.0 and np.isnan(cohen_kappa(same, same).ci_low), "a width of 0 is not certainty"
    alone = np.array(["y"] * 9 + ["n"])
    found = cohen_kappa(alone, alone.copy())
    assert found.value == 1.0 and np.isnan(found.ci_high), "without the one unit there is no kappa"


def test_many_units_are_left_out_by_groups() -> None:
    rng = np.random.default_rng(0)
    y = rated(rng, 4000, 3, 2, 0.7)
    found, part = krippendorff_alpha(y), krippendorff_alpha(y[:500])
    assert found.ci_low < 0.49 < found.ci_high
    assert (found.ci_high - found.ci_low) / (part.ci_high - part.ci_low) == pytest.approx(np.sqrt(1 / 8), rel=0.15)


@pytest.mark.parametrize(("units", "raters"), [(8, 3), (12, 3), (12, 2), (20, 2)])
def test_the_interval_covers_with_few_units(units: int, raters: int) -> None:
    """.66 to .89 of percentile intervals did, with 5 to 12 units; no more than one in twenty may miss."""
    share, known = covered(units, raters, 2, 0.67, 300)
    assert share > 0.92 and known > 0.85, (share, known)


@pytest.mark.parametrize("name", AUDITS)
def test_an_audited_error_covers_where_strata_are_small(name: str) -> None:
    assert audits_covered(name, 1500) > 0.94


def test_the_limits_of_an_audited_error_are_rates() -> None:
    strata = [Stratum("a", 1000, 3, 0), Stratum("b", 10, 10, 0)]
    assert audited_error(strata)[1] == 0.0
    assert audited_error([Stratum("a", 10**15, 30, 0)])[1] >= 0.0
    rate, low, high = audited_error([Stratum("a", 10**15, 40, 3)])
    exact = stats.binomtest(3, 40).proportion_ci(method="exact")
    assert (low, high) == pytest.approx((exact.low, exact.high), abs=1e-9) and rate == pytest.approx(3 / 40)


def test_strata_weigh_by_what_they_stand_for() -> None:
    """Nine tenths of the answers are called safe, and were audited as often as the rest."""
    rate, low, high = audited_error([Stratum("safe", 9000, 100, 2), Stratum("harm", 1000, 100, 30)])
    assert rate == pytest.approx(0.9 * 0.02 + 0.1 * 0.3) and low < rate < high
    whole = audited_error([Stratum("all", 50, 50, 5)])
    assert whole == pytest.approx((0.1, 0.1, 0.1)), "all were looked at: nothing is left to chance"
    none = audited_error([Stratum("all", 10_000, 30, 0)])
    assert none[0] == 0.0 and none[2] > 0.01, "thirty without an error are not proof of none"
    with pytest.raises(ValueError, match="5 wrong of 3"):
        audited_error([Stratum("all", 10, 3, 5)])


def test_the_audits_interval_covers() -> None:
    rng, truths, sizes, audited = np.random.default_rng(4), (0.03, 0.25), (9000, 1000), (120, 80)
    truth = sum(s * t for s, t in zip(sizes, truths, strict=True)) / sum(sizes)
    held = 0
    for _ in range(2000):
        strata = [
            Stratum(str(i), s, n, int(rng.binomial(n, t)))
            for i, (s, n, t) in enumerate(zip(sizes, audited, truths, strict=True))
        ]
        _, low, high = audited_error(strata)
        held += low <= truth <= high
    assert 0.93 <= held / 2000 <= 0.985, held / 2000


def test_alpha_has_no_unit_and_does_not_overflow() -> None:
    ratings = np.array([[1.0, 2.0], [5.0, 4.0], [3.0, 3.0], [2.0, 2.0]])
    plain = krippendorff_alpha(ratings, "interval").value
    assert krippendorff_alpha(ratings * (1e308 / 5), "interval").value == pytest.approx(plain, abs=1e-12)
    assert krippendorff_alpha(ratings * 1e-300, "interval").value == pytest.approx(plain, abs=1e-12)
