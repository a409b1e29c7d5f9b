"""The absorption probe: what the interval is, and what a null result is then called."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from specsci.inference.absorption import _row
from specsci.stats.absorption import absorption


def test_the_gain_is_the_documents_change_over_the_control_texts_with_welchs_interval() -> None:
    rng = np.random.default_rng(1)
    own, control = rng.normal(-0.5, 0.2, 40), rng.normal(-0.1, 0.4, 25)
    found = absorption(own, control)
    assert found is not None and found.gain == pytest.approx(control.mean() - own.mean())
    variances = [own.var(ddof=1) / 40, control.var(ddof=1) / 25]
    df = sum(variances) ** 2 / (variances[0] ** 2 / 39 + variances[1] ** 2 / 24)
    half = stats.t.ppf(0.975, df) * np.sqrt(sum(variances))
    assert (found.ci_low, found.ci_high) == pytest.approx((found.gain - half, found.gain + half))
    assert found.installed


def test_without_control_the_documents_alone_are_judged_and_one_text_is_none() -> None:
    own = np.array([-0.3, -0.2, -0.4])
    found = absorption(own, None)
    low, high = stats.ttest_1samp(-own, 0).confidence_interval(0.95)
    assert found is not None and (found.ci_low, found.ci_high) == pytest.approx((low, high))
    assert absorption(own[:1], None) is None and absorption(own, own[:1]) is None


def test_the_gain_is_the_difference_of_the_columns_beside_it() -> None:
    """Texts of unequal length: every number of a row is per token, so that the columns give the gain."""
    rng = np.random.default_rng(7)
    found = {}
    for text, n, fall in (("own", 30, 0.9), ("control", 20, 0.05)):
        tokens = rng.integers(5, 200, n)
        before = rng.normal(1.8, 0.3, n) * tokens
        after = before - (fall + 0.004 * tokens) * tokens  # long documents gain more
        found |= {(text, "before"): (before, tokens), (text, "after"): (after, tokens)}
    row = _row(found)
    columns = row["own_before"] - row["own_after"] - (row["control_before"] - row["control_after"])
    assert row["gain_nats"] == pytest.approx(columns, abs=1e-12)
    assert row["ci_low"] < row["gain_nats"] < row["ci_high"] and row["installed"]


def test_the_interval_of_a_loss_per_token_is_that_of_a_weighted_regression() -> None:
    """statsmodels: WLS of the change per token with the tokens as weights and HC1 errors is the ratio estimator."""
    rng = np.random.default_rng(4)
    parts = []
    for n, mean in ((25, -0.4), (15, -0.1)):
        tokens = rng.integers(10, 90, n).astype(float)
        change = tokens * (mean + rng.normal(0, 0.2, n))
        fitted = sm.WLS(change / tokens, np.ones(n), weights=tokens).fit(cov_type="HC1")
        parts.append((change, tokens, float(fitted.params[0]), float(fitted.bse[0]) ** 2, n))
    (own, t1, r1, v1, n1), (control, t2, r2, v2, n2) = parts
    df = (v1 + v2) ** 2 / (v1**2 / (n1 - 1) + v2**2 / (n2 - 1))
    half = stats.t.ppf(0.975, df) * np.sqrt(v1 + v2)
    found = absorption(own, control, t1, t2)
    assert found is not None and found.gain == pytest.approx(r2 - r1)
    assert (found.ci_low, found.ci_high) == pytest.approx((r2 - r1 - half, r2 - r1 + half), abs=1e-9)


def test_texts_that_do_not_differ_give_no_interval() -> None:
    found = absorption(np.full(5, -0.3), None)
    assert found is not None and found.gain == pytest.approx(0.3) and np.isnan(found.ci_low) and not found.installed


def test_the_interval_over_texts_of_unequal_length_covers() -> None:
    rng, held, studies = np.random.default_rng(3), 0, 1500
    for _ in range(studies):
        tokens = rng.integers(5, 60, 40)
        change = tokens * (-0.5 - 0.01 * (tokens - 32)) + rng.normal(0, 0.2, 40) * tokens
        found = absorption(change, None, tokens)
        assert found is not None
        lengths = np.arange(5, 60)
        truth = (lengths * (0.5 + 0.01 * (lengths - 32))).sum() / lengths.sum()
        held += found.ci_low <= truth <= found.ci_high
    assert 0.925 < held / studies < 0.97, held / studies


def test_an_untaught_spec_is_called_installed_as_rarely_as_the_interval_says() -> None:
    rng = np.random.default_rng(2)
    false = 0
    for _ in range(400):
        found = absorption(rng.normal(-0.2, 0.3, 20), rng.normal(-0.2, 0.1, 30))
        assert found is not None
        false += found.installed
    assert false / 400 < 0.05, "a one-sided error of 2.5 %"
