"""Interim analyses: published boundaries, and an error of five in a hundred over all analyses at few replicates."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from specsci.stats.sequential import boundaries, t_boundaries


def test_boundaries_are_the_published_ones() -> None:
    """Five equal analyses, two-sided 5 %: Lan and DeMets' O'Brien-Fleming and Pocock type (Jennison and Turnbull, tables of ch. 7)."""
    found = [float(stats.norm.isf(p / 2)) for p in boundaries([2, 4, 6, 8, 10])]
    assert found == pytest.approx([4.877, 3.357, 2.680, 2.290, 2.031], abs=1e-3)
    found = [float(stats.norm.isf(p / 2)) for p in boundaries([2, 4, 6, 8, 10], "pocock")]
    assert found == pytest.approx([2.438, 2.427, 2.410, 2.397, 2.386], abs=1e-3)
    assert boundaries([8]) == pytest.approx([0.05])


@pytest.mark.parametrize("spending", ["obrien_fleming", "pocock"])
def test_the_error_over_all_looks_stays_at_five_percent(spending) -> None:
    """A paired t after 4, 6 and 8 replicates of no difference; every analysis at the full level would err in one of ten."""
    rng, analyses, studies = np.random.default_rng(2), [4, 6, 8], 20_000
    values = rng.normal(0, 1, (studies, analyses[-1]))
    ps = np.stack([stats.ttest_1samp(values[:, :k], 0, axis=1).pvalue for k in analyses], axis=1)
    stopped = (ps < np.array(boundaries(analyses, spending))).any(axis=1).mean()
    assert 0.03 < stopped <= 0.055, stopped
    assert (ps < 0.05).any(axis=1).mean() > 0.08


@pytest.mark.parametrize("analyses", [[], [1, 4], [4, 4], [6, 4]])
def test_analyses_that_are_not_valid_are_refused(analyses: list[int]) -> None:
    with pytest.raises(ValueError, match="increasing"):
        boundaries(analyses)


@pytest.mark.parametrize("spending", ["obrien_fleming", "pocock"])
@pytest.mark.parametrize("analyses", [[2, 3, 4, 5, 6, 7, 8], [4, 6, 8]])
def test_the_error_of_a_t_over_many_analyses_is_five_percent(spending, analyses) -> None:
    """Seven analyses from two replicates on err in .063 with the normal theory's Pocock levels."""
    rng, studies = np.random.default_rng(11), 30_000
    values = rng.normal(0, 1, (studies, analyses[-1]))
    ps = np.stack([stats.ttest_1samp(values[:, :k], 0, axis=1).pvalue for k in analyses], axis=1)
    assert (ps < np.array(t_boundaries(analyses, spending))).any(axis=1).mean() == pytest.approx(0.05, abs=0.005)
    if spending == "pocock" and len(analyses) == 7:
        assert (ps < np.array(boundaries(analyses, spending))).any(axis=1).mean() > 0.059


def test_a_single_look_is_an_ordinary_test() -> None:
    assert t_boundaries([8]) == pytest.approx([0.05])
    assert t_boundaries([4, 6, 8]) == t_boundaries([4, 6, 8])
    assert all(t <= n for t, n in zip(t_boundaries([4, 6, 8]), boundaries([4, 6, 8]), strict=True))
