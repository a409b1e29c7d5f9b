"""A grid's effects: weights that recover main effects and interactions exactly."""

from __future__ import annotations

import pytest

from specsci.stats.factorial import effects

ROWS, COLUMNS = {"r": 0.0, "v": 0.2, "p": 0.3}, {"R": 0.0, "V": 0.1, "P": 0.05}
GRID = {(r, c): f"{r}{c}" for r in ROWS for c in COLUMNS}


def value(weights: dict[str, float], extra: dict[str, float]) -> float:
    rates = {arm: 0.3 + ROWS[r] + COLUMNS[c] + extra.get(arm, 0.0) for (r, c), arm in GRID.items()}
    return sum(w * rates[arm] for arm, w in weights.items())


def test_an_additive_grid_has_its_main_effects_and_no_interaction() -> None:
    found = {e.name: e for e in effects(GRID, "msm", "aft")}
    assert value(found["msm: r - v"].weights, {}) == pytest.approx(-0.2)
    assert value(found["aft: V - P"].weights, {}) == pytest.approx(0.05)
    inner = [e for e in found.values() if e.kind == "interaction"]
    assert len(inner) == 9 and all(value(e.weights, {}) == pytest.approx(0.0) for e in inner)
    assert all(sum(e.weights.values()) == pytest.approx(0.0) for e in found.values())


def test_one_cell_that_stands_out_is_its_own_interaction() -> None:
    found = {e.name: e for e in effects(GRID, "msm", "aft")}
    assert value(found["interaction: v with V"].weights, {"vV": 0.9}) == pytest.approx(0.9 * (1 - 1 / 3) ** 2)


def test_two_by_two_is_the_difference_in_differences() -> None:
    two = {k: v for k, v in GRID.items() if k[0] != "p" and k[1] != "P"}
    *_, last = effects(two, "msm", "aft")
    assert last.weights == {"rR": 1.0, "rV": -1.0, "vR": -1.0, "vV": 1.0}


def test_a_grid_with_a_hole_or_one_level_is_refused() -> None:
    with pytest.raises(ValueError, match="msm p with aft P"):
        effects({k: v for k, v in GRID.items() if v != "pP"}, "msm", "aft")
    with pytest.raises(ValueError, match="two levels"):
        effects({k: v for k, v in GRID.items() if k[1] == "R"}, "msm", "aft")
