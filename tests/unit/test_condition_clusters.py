"""Evals that ask a condition several times: intervals over conditions cover, over answers they do not; and interactions err as stated."""

from __future__ import annotations

import numpy as np
import pytest

from specsci.stats.clusters import over_clusters
from specsci.stats.replicates import over_replicates

CONDITIONS, RUNS = 27, 2000


def asked(rng: np.random.Generator, epochs: int, levels: np.ndarray, spread: float = 0.25) -> np.ndarray:
    """Aligned answers by arm and condition: a condition's level is drawn once, arms share most of it, epochs are draws at that level.

    Args:
        levels: the mean level of each arm, shape (arms,).
    """
    shared = rng.uniform(-spread, spread, CONDITIONS)
    own = rng.uniform(-0.1, 0.1, (len(levels), CONDITIONS))
    return rng.binomial(epochs, levels[:, None] + shared + own)


@pytest.mark.parametrize("epochs", [2, 10, 50])
@pytest.mark.parametrize("arms", [1, 2])
def test_intervals_over_conditions_cover_however_many_epochs(epochs: int, arms: int) -> None:
    """The truth is the mean over the conditions that could have been written; answers taken for independent miss it ever more often."""
    rng = np.random.default_rng(epochs + arms)
    levels, weights = np.array([0.6, 0.45])[:arms], np.array([1.0, -1.0])[:arms]
    truth, held, naive = float(weights @ levels), 0, 0
    out_of = np.full((arms, CONDITIONS), epochs)
    for _ in range(RUNS):
        aligned = asked(rng, epochs, levels)
        found = over_clusters(aligned, out_of, weights)
        held += found.ci_low <= truth <= found.ci_high
        rates = aligned.sum(axis=1) / out_of.sum(axis=1)
        se = float(np.sqrt((rates * (1 - rates) / out_of.sum(axis=1)).sum()))
        naive += abs(weights @ rates - truth) <= 1.96 * se
    assert 0.935 <= held / RUNS <= 0.965, held / RUNS
    if epochs == 50:
        assert naive / RUNS < (0.75 if arms == 1 else 0.92), naive / RUNS


def test_epochs_that_failed_leave_the_interval_its_coverage() -> None:
    """Conditions keep unequal numbers of valid answers, one of them none."""
    rng, held = np.random.default_rng(5), 0
    for _ in range(RUNS):
        out_of = rng.integers(4, 11, (2, CONDITIONS))
        out_of[0, 0] = 0
        shared, own = rng.uniform(-0.25, 0.25, CONDITIONS), rng.uniform(-0.1, 0.1, (2, CONDITIONS))
        aligned = rng.binomial(out_of, np.array([[0.6], [0.45]]) + shared + own)
        found = over_clusters(aligned, out_of, np.array([1.0, -1.0]))
        held += found.ci_low <= 0.15 <= found.ci_high
    assert 0.935 <= held / RUNS <= 0.97, held / RUNS


@pytest.mark.parametrize("replicates", [3, 4, 8])
@pytest.mark.parametrize("main", [0.0, 0.2])
def test_the_interaction_of_model_and_harness_has_its_nominal_error(replicates: int, main: float) -> None:
    """Both main effects may be large; cells share their base model and, within an arm, its own deviation."""
    rng, wrong, held, untested = np.random.default_rng(replicates), 0, 0, 0
    weights = np.array([1.0, -1.0, -1.0, 1.0])  # arm 1 under the condition, plain; arm 2 under the condition, plain
    level = 0.3 + main * np.array([2.0, 1.0, 1.0, 0.0])
    for _ in range(RUNS):
        base = rng.normal(0, 0.05, (replicates, 1))
        arm = np.repeat(rng.normal(0, 0.05, (replicates, 2)), 2, axis=1)
        cell = rng.normal(0, 0.03, (replicates, 4))
        rates = rng.binomial(96, np.clip(level + base + arm + cell, 0, 1)) / 96
        found = over_replicates(rates, weights)
        wrong += found.p < 0.05
        held += found.ci_low <= 0 <= found.ci_high
        untested += bool(np.isnan(found.p))  # all replicates alike: three replicates are, now and then
    assert 0.035 <= wrong / RUNS <= 0.065, wrong / RUNS
    assert held == RUNS - wrong - untested
    assert untested <= RUNS / 100
