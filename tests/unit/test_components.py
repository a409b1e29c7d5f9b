"""Variance components: they are what the values were made of, and add up to the variance of the mean."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from specsci.inference.items import ItemTable
from specsci.inference.variance_components import half_width, noise_row
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
    valid = np.full((1, *shares.shape), float(answers))
    names = [f"i{i}" for i in range(items)]
    return ItemTable(shares[None] * answers, valid, np.array([1.0]), np.array(labels), np.arange(n), names)


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
    valid = table.valid.copy()
    valid[0, :, :40, 0] = rng.integers(0, 2, (6, 40))
    valid[0, 3, 49] = 0
    gaps = ItemTable(table.aligned * valid, valid, table.weights, table.bases, table.seeds, table.items)
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


def answers(
    rng: np.random.Generator, n: int, clusters: list[int], sd: dict[str, float], order: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Values of replicates by items (in clusters of these sizes) by orders by samples, with these spreads."""
    labels = np.repeat(np.arange(len(clusters)), clusters)
    items, orders = len(labels), 1 if order is None else len(order)
    cell = (
        rng.normal(0, sd["replicate"], n)[:, None]
        + rng.normal(0, sd["cluster"], len(clusters))[labels][None]
        + rng.normal(0, sd["item"], items)[None]
        + rng.normal(0, sd["replicate_cluster"], (n, len(clusters)))[:, labels]
        + rng.normal(0, sd["replicate_item"], (n, items))
    )
    values = cell[:, :, None, None] + rng.normal(0, sd["repeat"], (n, items, orders, 1))
    return values + (0.0 if order is None else order[None, None, :, None]), labels


SPREADS = {"replicate": 0.1, "cluster": 0.25, "item": 0.2, "replicate_cluster": 0.15, "replicate_item": 0.2, "repeat": 0.2}


def test_an_effect_of_the_option_order_is_no_noise() -> None:
    """An order effect of .2 and a bias of each replicate's own: replicate by item and repeat keep their true .04."""
    rng, none = np.random.default_rng(0), {**SPREADS, "cluster": 0.0, "replicate_cluster": 0.0}
    found = []
    for _ in range(60):
        values, _ = answers(rng, 8, [1] * 48, none, np.array([-0.2, 0.2]))
        bias = rng.normal(0, 0.1, (8, 1, 1, 1)) * np.array([-1, 1])[None, None, :, None]
        found.append(variance_components(values + bias))
    assert np.mean([f.replicate_item for f in found]) == pytest.approx(0.04, rel=0.1)
    assert np.mean([f.repeat for f in found]) == pytest.approx(0.04, rel=0.05)
    random = [variance_components(answers(rng, 8, [1] * 48, none, np.array([-0.2, 0.2]))[0][..., 0]) for _ in range(60)]
    assert np.mean([f.repeat for f in random]) > 0.1, "as it was when orders were taken for random repeats"


@pytest.mark.parametrize("sizes", [[8] * 6, [2, 4, 6, 9, 12, 3, 3, 9]])
def test_components_with_clusters_are_unbiased_whatever_their_sizes(sizes: list[int]) -> None:
    rng, found = np.random.default_rng(1), []
    for _ in range(500):
        values, labels = answers(rng, 8, sizes, SPREADS, np.array([-0.1, 0.1]))
        found.append(variance_components(values, None, labels))
    for name, spread in SPREADS.items():
        assert np.mean([getattr(f, name) for f in found]) == pytest.approx(spread**2, rel=0.12, abs=1e-3), name
    means = [float(answers(rng, 8, sizes, SPREADS)[0].mean()) for _ in range(2000)]
    values, labels = answers(rng, 8, sizes, SPREADS)
    stated = np.sqrt(np.mean([f.se() ** 2 for f in (variance_components(*answered(rng, sizes)) for _ in range(500))]))
    assert stated == pytest.approx(np.std(means), rel=0.06), "the standard error is that of means to come"


def answered(rng: np.random.Generator, sizes: list[int]) -> tuple[np.ndarray, None, np.ndarray]:
    values, labels = answers(rng, 8, sizes, SPREADS)
    return values, None, labels


def test_balanced_clusters_are_the_mean_squares_of_statsmodels() -> None:
    """Sums of squares by statsmodels; an item is the j-th of its cluster, so that its terms are those of j and of c:j."""
    values, labels = answers(np.random.default_rng(2), 4, [5] * 3, SPREADS)
    rows = [(v, r, labels[i], i % 5) for r, row in enumerate(values[:, :, 0, 0]) for i, v in enumerate(row)]
    table = pd.DataFrame(rows, columns=["y", "r", "c", "j"])
    ss = anova_lm(ols("y ~ C(r) * C(c) * C(j)", table).fit())["sum_sq"]
    of_replicate, of_cluster, of_both = ss["C(r)"] / 3, ss["C(c)"] / 2, ss["C(r):C(c)"] / 6
    of_item = (ss["C(j)"] + ss["C(c):C(j)"]) / 12
    replicate_item = (ss["C(r):C(j)"] + ss["C(r):C(c):C(j)"]) / 36
    expected = {
        "item": (of_item - replicate_item) / 4,
        "replicate_item": replicate_item,
        "replicate_cluster": (of_both - replicate_item) / 5,
        "cluster": (of_cluster - of_both - of_item + replicate_item) / 20,
        "replicate": (of_replicate - of_both) / 15,
    }
    found = variance_components(values, None, labels)
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(max(0.0, value), abs=1e-9), name
    assert sum(v > 0 for v in expected.values()) >= 4


def test_the_half_width_covers_where_items_come_in_clusters() -> None:
    """Six clusters of eight items and eight replicates: .76 when clusters were ignored."""
    rng, spreads, held = np.random.default_rng(3), {**SPREADS, "replicate": 0.05, "repeat": 0.3}, []
    for _ in range(600):
        values, labels = answers(rng, 8, [8] * 6, spreads)
        found, naive = variance_components(values, None, labels), variance_components(values)
        held.append([abs(values.mean()) <= half_width(found), abs(values.mean()) <= half_width(naive)])
    with_clusters, without = np.mean(held, axis=0)
    assert 0.93 <= with_clusters <= 0.98 and without < 0.85, (with_clusters, without)


def test_a_row_says_its_scale_and_doubles_only_what_can_be_doubled() -> None:
    rng = np.random.default_rng(4)
    shares = rng.integers(0, 2, (6, 12, 4)).astype(float)
    table = table_of(shares, answers=1)
    clusters = [f"c{i // 3}" for i in range(12)]
    orders = replace(table, clusters=clusters, orders=["a", "b", "a2", "b2"])
    row = noise_row("s", "c", orders)
    assert row is not None and row["scale"] == "rate" and row["clusters"] == 4
    assert row["half_width_twice_repeats"] is None, "four option orders, each attempted once"
    sampled = noise_row("s", "c", replace(table, clusters=clusters, orders=["a", "a", "b", "b"]))
    assert sampled is not None and sampled["half_width_twice_repeats"] < sampled["half_width"]
    assert sum(v for k, v in row.items() if k.endswith("_share")) == pytest.approx(1.0)
