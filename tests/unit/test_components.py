"""The noise budget: components are what the values were made of, and add up to the variance of the mean."""

from __future__ import annotations

import numpy as np
import pytest

from specsci.results.items import ItemTable
from specsci.results.noise import noise_row
from specsci.stats.components import variance_components
from specsci.stats.contrast import paired_contrast

TRUE = {"base": 0.1, "replicate": 0.05, "item": 0.2, "replicate_item": 0.15, "repeat": 0.3}


def drawn(rng: np.random.Generator, bases: int = 6, per_base: int = 2, items: int = 40, repeats: int = 2) -> np.ndarray:
    n = bases * per_base
    of_replicate = np.repeat(rng.normal(0, TRUE["base"], bases), per_base) + rng.normal(0, TRUE["replicate"], n)
    values = of_replicate[:, None, None] + rng.normal(0, TRUE["item"], items)[None, :, None]
    return (
        values
        + rng.normal(0, TRUE["replicate_item"], (n, items))[:, :, None]
        + rng.normal(0, TRUE["repeat"], (n, items, repeats))
    )


def test_components_are_unbiased() -> None:
    rng, labels = np.random.default_rng(0), np.repeat(np.arange(6), 2)
    found = [variance_components(drawn(rng), labels) for _ in range(300)]
    for name, spread in TRUE.items():
        mean = np.mean([getattr(f, name) for f in found])
        assert mean == pytest.approx(spread**2, rel=0.15, abs=2e-4), name


def test_they_are_the_mean_squares_of_a_table_worked_by_hand() -> None:
    values = np.array([[[1.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 0.0]]])
    found = variance_components(values)
    # cell means .5 0 / 1 .5, grand .5; MS replicate 2*2*(.0625+.0625)/1 = .5, MS item .5, MS both 0, MS repeat (.5+.5)/4 = .25
    assert found.repeat == pytest.approx(0.25) and found.replicate_item == 0.0
    assert found.item == pytest.approx(0.5 / 4) and found.replicate == pytest.approx(0.125)


def table_of(shares: np.ndarray, answers: int = 1000, bases: list[str] | None = None) -> ItemTable:
    """One cell of weight 1 with these shares of aligned answers, shape (replicates, items, repeats)."""
    n, items, _ = shares.shape
    labels = bases or [f"b{i}" for i in range(n)]
    decided = np.full((1, *shares.shape), float(answers))
    names = [f"i{i}" for i in range(items)]
    return ItemTable(shares[None] * answers, decided, np.array([1.0]), np.array(labels), np.arange(n), names)


def test_the_standard_error_is_that_of_the_replicates_where_items_do_not_differ() -> None:
    """With items that are exchangeable the parts add up to the paired t's own standard error."""
    rng = np.random.default_rng(3)
    values = rng.normal(0.1, 0.2, 8)[:, None, None] + rng.normal(0, 0.3, (8, 200, 1))
    row = noise_row("study", "contrast", table_of(values))
    means = values.mean(axis=(1, 2))
    t = paired_contrast(np.stack([means, np.zeros(8)], axis=1), np.array([1.0, -1.0]), 200)
    assert row is not None and row["half_width"] == pytest.approx((t.ci_high - t.ci_low) / 2, rel=0.02)
    assert (
        row["half_width_twice_items"] < row["half_width"] and row["half_width_twice_replicates"] < 0.75 * row["half_width"]
    )
    assert sum(v for k, v in row.items() if k.endswith("_share")) == pytest.approx(1.0)


def test_replicates_of_a_single_base_are_the_unit() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(0.1, 0.2, 8)[:, None, None] + rng.normal(0, 0.3, (8, 200, 1))
    own, one = noise_row("s", "c", table_of(values)), noise_row("s", "c", table_of(values, bases=["b"] * 8))
    assert own is not None and one is not None and one["half_width"] == pytest.approx(own["half_width"])


def test_undecided_answers_leave_an_item_out_only_where_nothing_of_it_was_decided() -> None:
    rng = np.random.default_rng(5)
    table = table_of(rng.integers(0, 2, (6, 50, 2)).astype(float), answers=1)
    decided = table.decided.copy()
    decided[0, :, :40, 0] = rng.integers(0, 2, (6, 40))
    decided[0, 3, 49] = 0
    gaps = ItemTable(table.aligned * decided, decided, table.weights, table.bases, table.seeds, table.items)
    row = noise_row("s", "c", gaps)
    assert row is not None and (row["items"], row["repeats"], row["incomplete_items"]) == (49, 1, 1)


def test_too_little_is_refused() -> None:
    with pytest.raises(ValueError, match="two replicates"):
        variance_components(np.zeros((1, 4, 1)))
    with pytest.raises(ValueError, match="every item"):
        variance_components(np.array([[[0.0], [np.nan]], [[1.0], [1.0]]]))


def deciding(shares: np.ndarray) -> list[str]:
    return table_of(shares[:, :, None]).deciding("seed", "rate")


def test_an_item_that_decides_is_found_and_no_other() -> None:
    rng = np.random.default_rng(1)
    assert deciding(np.full((6, 50), 0.2) + rng.normal(0, 0.02, (6, 50))) == []
    tipping = rng.normal(0, 0.05, (6, 50))
    tipping[:, 7] = 6.0 + rng.normal(0, 0.3, 6)
    assert deciding(tipping) == ["i7"]
