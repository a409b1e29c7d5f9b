"""Token efficiency: known curves, censoring at both ends, bounds that stay bounds, and coverage."""

from __future__ import annotations

import math
from collections import Counter
from itertools import combinations_with_replacement

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import isotonic_regression

from benchmarks.efficiency_coverage import SITUATIONS, covered
from specsci.stats.efficiency import (
    Bound,
    _crossings,
    divide,
    fall_at_crossing,
    token_ratio,
    token_ratios,
    tokens_to_reach,
)
from specsci.stats.multisets import multisets

BUDGETS = np.array([500, 1000, 2000, 4000, 8000, 16000])


@pytest.mark.parametrize(
    ("rates", "level", "tokens"),
    [
        ([0.9, 0.8, 0.6, 0.4, 0.2, 0.1], 0.6, 2000),
        ([0.9, 0.8, 0.6, 0.4, 0.2, 0.1], 0.5, 2000 * math.sqrt(2)),
        ([0.9, 0.8, 0.6, 0.4, 0.2, 0.1], 0.3, 4000 * math.sqrt(2)),
        ([0.9, 0.8, 0.6, 0.4, 0.2, 0.1], 0.85, 500 * math.sqrt(2)),
        ([0.9, 0.5, 0.7, 0.4, 0.2, 0.1], 0.6, 1000),  # 0.5 and 0.7 pool to 0.6
        ([0.8, 0.8, 0.8, 0.4, 0.4, 0.4], 0.4, 4000),
    ],
)
def test_tokens_to_reach_a_level_on_known_curves(rates, level, tokens) -> None:
    found = tokens_to_reach(BUDGETS, np.array(rates), level)
    assert found.relation == "=" and found.value == pytest.approx(tokens)


def test_nothing_is_extrapolated_beyond_the_grid() -> None:
    curve = np.array([0.5, 0.45, 0.4, 0.35, 0.3, 0.25])
    assert tokens_to_reach(BUDGETS, curve, 0.6) == Bound(500.0, "<=")
    assert tokens_to_reach(BUDGETS, curve, 0.5) == Bound(500.0, "<=")
    assert tokens_to_reach(BUDGETS, curve, 0.2) == Bound(16000.0, ">=")
    assert tokens_to_reach(BUDGETS, curve, 0.25).value == pytest.approx(16000)
    assert tokens_to_reach(BUDGETS, curve, 0.25).relation == "="


E, L, G = "=", "<=", ">="
TRUTH = {
    (E, E): E, (G, E): G, (L, E): L,
    (E, L): G, (G, L): G, (L, L): None,
    (E, G): L, (G, G): None, (L, G): L,
}  # fmt: skip


@pytest.mark.parametrize(("reference", "arm"), TRUTH)
def test_the_truth_table_of_dividing_bounds(reference, arm) -> None:
    found = divide(Bound(8000, reference), Bound(2000, arm))
    expected = TRUTH[reference, arm]
    assert found == (None if expected is None else Bound(4.0, expected))


@pytest.mark.parametrize(
    ("bound", "text"), [(Bound(2.0), "2"), (Bound(2.345, "<="), "≤ 2.35"), (Bound(16000, ">="), "≥ 16,000")]
)
def test_a_bound_shows_its_sign(bound, text) -> None:
    assert str(bound) == text


def curves(tokens: float, shifts: np.ndarray) -> np.ndarray:
    """Rates per replicate that fall through 0.4 at `tokens` times exp(shift)."""
    distance = np.log(BUDGETS)[None] - math.log(tokens) - shifts[:, None]
    return 0.8 / (1 + np.exp(1.2 * distance))


def test_a_ratio_of_identical_replicates_is_exact() -> None:
    still = np.zeros(4)
    found = token_ratio(BUDGETS, curves(8000, still), curves(2000, still), np.full(4, 0.4), draws=20)
    assert found.ratio.value == pytest.approx(4.0, rel=0.02) and found.ratio.relation == "="
    assert (found.ci_low, found.ci_high, found.open_because) == (None, None, "no_spread"), "no interval of no width"
    assert (found.undefined_share, found.n) == (0.0, 4)


def test_swapping_arm_and_reference_inverts_the_ratio() -> None:
    shifts = np.random.default_rng(0).normal(0, 0.2, (2, 5))
    a, b = curves(6000, shifts[0]), curves(2000, shifts[1])
    one, other = (token_ratio(BUDGETS, *pair, np.full(5, 0.4), draws=200) for pair in ((a, b), (b, a)))
    assert one.ratio.value == pytest.approx(1 / other.ratio.value)
    assert one.ci_low == pytest.approx(1 / other.ci_high)


def test_a_reference_that_never_gets_there_gives_a_lower_bound() -> None:
    still = np.zeros(3)
    found = token_ratio(BUDGETS, np.full((3, 6), 0.7), curves(2000, still), np.full(3, 0.4), draws=20)
    assert found.reference_tokens == Bound(16000.0, ">=") and found.ratio.relation == ">="
    assert found.ratio.value == pytest.approx(8.0, rel=0.02) and found.ci_high is None
    moved = token_ratio(BUDGETS, np.full((3, 6), 0.7), curves(2000, np.array([-0.1, 0.0, 0.1])), np.full(3, 0.4))
    assert (moved.ci_high, moved.open_because) == (None, "censored") and 5 < moved.ci_low < 8


def test_two_curves_beyond_the_same_end_have_no_ratio_and_no_interval() -> None:
    found = token_ratio(BUDGETS, np.full((3, 6), 0.7), np.full((3, 6), 0.8), np.full(3, 0.4), draws=20)
    assert (found.ratio, found.ci_low, found.ci_high) == (None, None, None)
    assert found.undefined_share == pytest.approx(1.0) and found.open_because == "undetermined"


def test_midtraining_tokens_count_where_they_are_added() -> None:
    still = np.zeros(3)
    found = token_ratio(
        BUDGETS, curves(8000, still), curves(2000, still), np.full(3, 0.4), extra_arm_tokens=100_000, draws=20
    )
    assert found.arm_tokens.value == pytest.approx(102_000, rel=0.01) and found.ratio.value < 0.1


def test_a_single_replicate_has_an_estimate_and_no_interval() -> None:
    still = np.zeros(1)
    found = token_ratio(BUDGETS, curves(8000, still), curves(2000, still), np.full(1, 0.4))
    assert found.ratio is not None and found.ci_low is found.ci_high is None


def test_the_same_seed_gives_the_same_interval() -> None:
    shifts = np.random.default_rng(0).normal(0, 0.3, (2, 5))
    args = (BUDGETS, curves(6000, shifts[0]), curves(2000, shifts[1]), np.full(5, 0.4))
    assert token_ratio(*args, draws=100) == token_ratio(*args, draws=100)


def two_arms(n: int, seed: int, tokens: tuple[float, float] = (6000, 2000)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shared, one, other = rng.normal(0, 0.25, (3, n))
    noise = rng.normal(0, 0.01, (2, n, 6))
    return curves(tokens[0], shared + one) + noise[0], curves(tokens[1], shared + other) + noise[1], rng.normal(0.4, 0.02, n)


def log_ratio(reference: np.ndarray, arm: np.ndarray, level: float) -> float:
    """Written anew: scipy's isotonic regression and numpy's interpolation."""
    found = []
    for rates in (reference, arm):
        curve = isotonic_regression(rates, increasing=False).x
        found.append(np.interp(-level, -curve, np.log(BUDGETS)))
    return float(found[0] - found[1])


@pytest.mark.parametrize("n", [2, 3, 5, 7])
def test_below_eight_replicates_the_interval_is_the_jackknifes_t_on_the_log_ratio(n: int) -> None:
    reference, arm, levels = two_arms(n, n)
    kept = [np.arange(n) != i for i in range(n)]
    without = np.array([log_ratio(reference[k].mean(0), arm[k].mean(0), levels[k].mean()) for k in kept])
    se = math.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum())
    middle, half = log_ratio(reference.mean(0), arm.mean(0), levels.mean()), stats.t.ppf(0.975, n - 1) * se
    found = token_ratio(BUDGETS, reference, arm, levels)
    assert "jackknife and t" in found.method and found.open_because == ""
    assert [found.ratio.value, found.ci_low, found.ci_high] == pytest.approx(np.exp([middle, middle - half, middle + half]))


def test_of_eight_replicates_every_multiset_counts_with_its_chance() -> None:
    """No draw is made: limits are those of the 6,435 multisets, each weighing 8!/(product of its counts!)/8^8."""
    reference, arm, levels = two_arms(8, 3)
    values = []
    for index in combinations_with_replacement(range(8), 8):
        i = list(index)
        chance = math.factorial(8) / math.prod(math.factorial(c) for c in Counter(i).values()) / 8**8
        values.append((math.exp(log_ratio(reference[i].mean(0), arm[i].mean(0), levels[i].mean())), chance))
    assert len(values) == 6435 and sum(c for _, c in values) == pytest.approx(1.0)
    tail = stats.norm.cdf(math.sqrt(8 / 7) * stats.t.ppf(0.025, 7))

    def first_beyond(ordered: list[tuple[float, float]]) -> float:
        passed = 0.0
        for value, chance in ordered:
            passed += chance
            if passed > tail:
                return value
        raise AssertionError

    found = token_ratio(BUDGETS, reference, arm, levels)
    assert found.ci_low == pytest.approx(first_beyond(sorted(values)))
    assert found.ci_high == pytest.approx(first_beyond(sorted(values, reverse=True)))
    assert "all 6,435 multisets" in found.method
    assert found == token_ratio(BUDGETS, reference, arm, levels, seed=9, draws=7), "nothing is left to chance"


def test_multisets_are_what_drawing_gives() -> None:
    weights, chances = multisets(3, 0, 0, exact_up_to=8)
    assert len(weights) == 10 and chances.sum() == pytest.approx(1.0)
    assert dict(zip(map(tuple, np.round(weights * 3).astype(int).tolist()), chances, strict=True))[1, 1, 1] == pytest.approx(
        6 / 27
    )
    many, each = multisets(20, 20_000, 0, exact_up_to=8)
    assert many.shape == (20_000, 20) and each.sum() == pytest.approx(1.0)
    assert many.var(axis=0).mean() == pytest.approx((1 - 1 / 20) / 20**2, rel=0.03), "multinomial"


def test_more_replicates_take_twenty_thousand_draws() -> None:
    reference, arm, levels = two_arms(12, 3)
    one, other = (token_ratio(BUDGETS, reference, arm, levels, seed=s) for s in (0, 1))
    assert "20,000 draws" in one.method
    assert (one.ci_low, one.ci_high) == pytest.approx((other.ci_low, other.ci_high), rel=0.01)


def test_crossings_of_many_curves_are_those_of_each() -> None:
    rng = np.random.default_rng(0)
    drawn, levels = rng.uniform(0, 1, (400, 6)), rng.uniform(0, 1, 400)
    drawn[:50] = np.round(drawn[:50], 1)
    levels[:50] = np.round(levels[:50], 1)  # ties, and levels met exactly
    tokens, side = _crossings(BUDGETS.astype(float), drawn, levels)
    for row, level, value, where in zip(drawn, levels, tokens, side, strict=True):
        alone = tokens_to_reach(BUDGETS, row, level)
        assert alone.value == pytest.approx(value) and alone.relation == {-1: "<=", 0: "=", 1: ">="}[int(where)]


def test_a_bound_at_both_ends_leaves_no_interval() -> None:
    reference, arm = np.array([[0.9, 0.8, 0.7, 0.6, 0.5, 0.3], [0.9, 0.9, 0.9, 0.9, 0.9, 0.9]]), np.full((2, 6), 0.2)
    arm[0] = 0.95
    found = token_ratio(BUDGETS, reference, arm, np.full(2, 0.4))
    assert (found.ci_low, found.ci_high, found.open_because) == (None, None, "undetermined")


def test_ways_of_counting_share_the_resamples() -> None:
    reference, arm, levels = two_arms(4, 8)
    both = token_ratios(BUDGETS, reference, arm, levels, [(0, 0), (0, 5000)])
    assert both[1] == token_ratio(BUDGETS, reference, arm, levels, extra_arm_tokens=5000)
    assert both[0].ci_high > both[1].ci_high


def test_the_fall_at_the_crossing_says_how_steep_a_curve_is() -> None:
    assert fall_at_crossing(np.array([0.9, 0.8, 0.2, 0.1, 0.1, 0.1]), 0.5) == pytest.approx(0.6)
    assert fall_at_crossing(np.array([0.9, 0.8, 0.7, 0.6, 0.55, 0.52]), 0.5) == 0.0, "it does not get there"
    assert fall_at_crossing(np.array([0.4, 0.3, 0.2, 0.1, 0.1, 0.1]), 0.5) == 0.0, "it was there before"


@pytest.mark.parametrize("n", [2, 3, 4, 8])
def test_the_interval_covers_in_each_situation(n: int) -> None:
    """95 % of 200 studies (60 of eight replicates), within what so few can tell; a censored interval may cover more."""
    for situation in SITUATIONS[1:4]:
        found = covered(situation, n, 200 if n < 8 else 60)
        assert found["covers"] > (0.9 if n < 8 else 0.85), (situation.name, found)
        assert found["covers"] < 0.995 or found["open"] + found["one_sided"] > 0.3 or n == 8, (situation.name, found)
