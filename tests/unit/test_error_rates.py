"""What the declared analysis does to chance: coverage and family-wise error with few replicates and unequal shares of valid answers."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import numpy as np
import pytest

from specsci.stats.contrast import paired_contrast
from specsci.stats.families import adjust

ARMS, CONTROL = 6, 0


@pytest.fixture(autouse=True)
def _short_collections() -> Iterator[None]:
    """statsmodels collects garbage in every correction: what is alive before the simulations is frozen meanwhile."""
    gc.freeze()
    yield
    gc.unfreeze()


def study(rng: np.random.Generator, replicates: int, clusters: int, *, truth: float = 0.0) -> np.ndarray:
    """Rates by replicate and arm of a study without effects but in arm 1, clusters of items shared, answers not valid at random.

    Bases differ, arms differ within a base by chance, clusters of eight items differ, and arms decide 70 to 100 % of them.
    """
    base = rng.normal(0, 0.1, (replicates, 1, 1))
    arm = rng.normal(0, 0.05, (replicates, ARMS, 1))
    cluster = rng.normal(0, 0.1, (1, 1, clusters)) + rng.normal(0, 0.1, (replicates, 1, clusters))
    level = np.clip(0.5 + base + arm + cluster, 0.02, 0.98)
    level[:, 1] = np.clip(level[:, 1] + truth, 0, 1)
    valid = rng.binomial(8, np.linspace(0.7, 1.0, ARMS)[None, :, None], level.shape)
    aligned = rng.binomial(valid, level)
    return np.asarray(aligned.sum(axis=2) / valid.sum(axis=2))


@pytest.mark.parametrize(("replicates", "clusters"), [(4, 8), (8, 24)])
def test_intervals_cover(replicates: int, clusters: int) -> None:
    rng, weights, held = np.random.default_rng(11), np.array([-1.0, 1, 0, 0, 0, 0]), 0
    for _ in range(3000):
        found = paired_contrast(study(rng, replicates, clusters, truth=0.1), weights, clusters * 8)
        held += found.ci_low <= 0.1 <= found.ci_high
    assert 0.93 <= held / 3000 <= 0.97, held / 3000


@pytest.mark.parametrize("replicates", [4, 8])
def test_a_family_errs_in_five_of_a_hundred_and_not_more(replicates: int) -> None:
    """Five arms against one control and none has an effect: Holm keeps the family's error, single tests do not."""
    rng, any_single, any_corrected = np.random.default_rng(12), 0, 0
    for _ in range(2000):
        rates = study(rng, replicates, 12)
        ps = [paired_contrast(rates[:, [k, CONTROL]], np.array([1.0, -1.0]), 96).p for k in range(1, ARMS)]
        any_single += min(ps) < 0.05
        any_corrected += min(adjust(ps, "holm")) < 0.05
    assert any_corrected / 2000 <= 0.05 + 0.01, any_corrected / 2000
    assert any_single / 2000 > 0.09, "without a correction the family errs far more often"
