"""Token efficiency: known curves, censoring at both ends, bounds that stay bounds, and coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest

from specsci.stats.efficiency import Bound, divide, token_ratio, tokens_to_reach

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
    assert found.ci_low == pytest.approx(found.ratio.value) == pytest.approx(found.ci_high)
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


def test_two_curves_beyond_the_same_end_have_no_ratio_and_no_interval() -> None:
    found = token_ratio(BUDGETS, np.full((3, 6), 0.7), np.full((3, 6), 0.8), np.full(3, 0.4), draws=20)
    assert (found.ratio, found.ci_low, found.ci_high, found.undefined_share) == (None, None, None, 1.0)


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


def test_the_interval_of_a_ratio_covers_a_known_truth() -> None:
    rng, hits, simulations = np.random.default_rng(5), 0, 160
    for number in range(simulations):
        shared, one, other = rng.normal(0, 0.25, (3, 6))
        noise = rng.normal(0, 0.01, (2, 6, 6))
        reference, arm = curves(4000, shared + one) + noise[0], curves(2000, shared + other) + noise[1]
        found = token_ratio(BUDGETS, reference, arm, np.full(6, 0.4), draws=120, seed=number)
        hits += (found.ci_low or 0.0) <= 2.0 <= (found.ci_high or math.inf)
    assert 0.90 < hits / simulations <= 0.99
