"""The hierarchical bootstrap: it resamples what it says, covers under clustering, and is fast."""

from __future__ import annotations

import numpy as np
import pytest

from specsci.stats.bootstrap import RESOLVED, draws_for, hierarchical_bootstrap
from specsci.stats.intervals import expanded_level


def plain(values: list[list[np.ndarray]], draws: int, seed: int) -> np.ndarray:
    """The same resampling, written out one item at a time."""
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(draws):
        replicates = []
        for r in rng.integers(0, len(values), len(values)):
            clusters = values[r]
            taken = [clusters[c] for c in rng.integers(0, len(clusters), len(clusters))]
            replicates.append(np.concatenate([c[rng.integers(0, len(c), len(c))] for c in taken]).mean())
        means.append(np.mean(replicates))
    return np.array(means)


def test_it_has_the_distribution_of_resampling_item_by_item() -> None:
    rng = np.random.default_rng(0)
    values = [[rng.integers(-1, 2, rng.integers(3, 9)).astype(float) for _ in range(6)] for _ in range(7)]
    slow, fast = plain(values, 4000, 1), hierarchical_bootstrap(values, draws=40_000, seed=2)
    assert fast.se == pytest.approx(slow.std(ddof=1), rel=0.05)
    low, high = np.quantile(slow, [0.01, 0.99])
    assert fast.low == pytest.approx(low, abs=0.05) and fast.high == pytest.approx(high, abs=0.05)
    assert fast.estimate == pytest.approx(np.mean([np.concatenate(c).mean() for c in values]))


def test_it_is_a_function_of_its_seed_and_refuses_what_it_cannot_do() -> None:
    values = [[np.array([0.0, 1.0])], [np.array([1.0, 1.0, 0.0])]]
    assert hierarchical_bootstrap(values, seed=4) == hierarchical_bootstrap(values, seed=4)
    with pytest.raises(ValueError, match="at least two"):
        hierarchical_bootstrap(values[:1])
    with pytest.raises(ValueError, match="no items"):
        hierarchical_bootstrap([[np.array([1.0])], [np.array([])]])


def test_many_clusters_are_drawn_less_often_and_never_too_rarely_for_the_limits() -> None:
    assert [draws_for(n) for n in (0, 1, 5_000, 10_000, 100_000, 10**9)] == [10_000, 10_000, 10_000, 5_000, 2_000, 2_000]
    assert expanded_level(8) * draws_for(10**9) >= RESOLVED


@pytest.mark.parametrize(
    ("replicates", "clusters"), [pytest.param(5, 12, marks=pytest.mark.slow), pytest.param(8, 30, marks=pytest.mark.slow)]
)
def test_its_interval_covers_under_clustering_and_few_replicates(replicates, clusters) -> None:
    """Rates that differ between replicates and between clusters; the truth is the mean over replicates to come."""
    rng, held, studies = np.random.default_rng(7), 0, 400
    for number in range(studies):
        centres = 0.1 + rng.normal(0, 0.1, replicates)
        values = [[rng.normal(m + rng.normal(0, 0.15), 0.4, 8) for _ in range(clusters)] for m in centres]
        found = hierarchical_bootstrap(values, draws=1000, seed=number)
        held += found.low <= 0.1 <= found.high
    assert 0.93 <= held / studies <= 0.99, held / studies
