"""Ordered grades by rank: values from scipy's Mann-Whitney U, coverage by simulation, and what has no interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from specsci.stats.superiority import compared, superiority


@pytest.mark.parametrize("seed", range(20))
def test_superiority_is_the_u_statistic_over_the_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.integers(1, 11, rng.integers(1, 40)), rng.integers(1, 11, rng.integers(1, 40))
    assert superiority(first, second) == pytest.approx(mannwhitneyu(first, second).statistic / len(first) / len(second))
    assert superiority(first, second) + superiority(second, first) == pytest.approx(1)
    assert superiority(first**3, second**3) == superiority(first, second), "the order of grades alone counts"


def grades(rng: np.random.Generator, shift: float, clusters: int, base: float, levels: np.ndarray) -> dict[str, np.ndarray]:
    return {f"c{n}": np.clip(np.round(5 + base + level + shift + rng.normal(0, 1.5, 6)), 1, 10) for n, level in enumerate(levels[:clusters])}


@pytest.mark.parametrize("replicates", [3, 8])
def test_intervals_over_replicates_cover(replicates: int) -> None:
    rng = np.random.default_rng(replicates)
    many = [(grades(rng, 0.8, 30, b, v), grades(rng, 0.0, 30, b, v)) for b, v in ((rng.normal(0, 0.5), rng.normal(0, 1, 30)) for _ in range(3000))]
    truth, held = float(np.mean([superiority(*(np.concatenate(list(g.values())) for g in pair)) for pair in many])), 0
    for start in range(0, 3000 - replicates, replicates):
        found = compared(many[start : start + replicates])
        held += found.ci_low <= truth <= found.ci_high
    share = held / len(range(0, 3000 - replicates, replicates))
    assert 0.92 <= share <= 0.98, share


def test_one_replicate_covers_over_clusters_of_items() -> None:
    rng, held, runs = np.random.default_rng(7), 0, 1500
    draws = [rng.normal(0, 1, 24) for _ in range(runs)]
    pairs = [(grades(rng, 0.8, 24, 0, v), grades(rng, 0.0, 24, 0, v)) for v in draws]
    wide = np.concatenate([np.concatenate(list(f.values())) for f, _ in pairs]), np.concatenate([np.concatenate(list(s.values())) for _, s in pairs])
    truth = superiority(*wide)
    for pair in pairs:
        found = compared([pair])
        held += found.ci_low <= truth <= found.ci_high
    assert 0.92 <= held / runs <= 0.98, held / runs


def test_what_cannot_be_known_has_no_interval() -> None:
    one, other = {"a": np.array([3.0, 4.0])}, {"a": np.array([3.0])}
    alone = compared([(one, other)])
    assert alone.estimate == 0.75 and math.isnan(alone.ci_low) and math.isnan(alone.p)
    same = compared([(one, one), (one, one)])
    assert same.estimate == 0.5 and math.isnan(same.p), "nothing varies: no test"
    assert compared([(one, other), ({}, other)]).n == 1, "a replicate without grades of a side does not count"
    with pytest.raises(ValueError, match="no replicate"):
        compared([({}, other)])
