"""The absorption probe: what the interval is, and what a null result is then called."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

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


def test_an_untaught_spec_is_called_installed_as_rarely_as_the_interval_says() -> None:
    rng = np.random.default_rng(2)
    false = 0
    for _ in range(400):
        found = absorption(rng.normal(-0.2, 0.3, 20), rng.normal(-0.2, 0.1, 30))
        assert found is not None
        false += found.installed
    assert false / 400 < 0.05, "a one-sided error of 2.5 %"
