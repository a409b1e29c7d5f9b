"""Nulls: one is read only where a difference would have been found, and an eval is insensitive only where that was shown."""

from __future__ import annotations

from typing import Any

import harness
import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from specsci.inference.nulls import detected, is_insensitive, null_flags
from specsci.stats.contrast import paired_contrast
from specsci.stats.power import detectable_by

MANIFEST = harness.manifest({
    "arms": {
        "a": {"midtrain": "values"}, "b": {"midtrain": "rules"}, "aft": {"midtrain": None}, "n": {"midtrain": "neutral"},
    }
})  # fmt: skip


def contrast(values: list[float], scale: str = "rate", margin: float | None = None, **weights: int) -> dict[str, Any]:
    """A row of the table `contrasts` from the differences of the replicates."""
    found = paired_contrast(np.array([[v, 0.0] for v in values]), np.array([1.0, -1.0]), 100)
    said = {k: getattr(found, k) for k in ("estimate", "se", "ci_low", "ci_high", "n")}
    return {**said, "scale": scale, "equivalence_margin": margin, "weights": weights or {"a": 1, "b": -1}}


NULL = contrast([0.01, -0.02, 0.03, -0.01, 0.0, -0.02])
FOUND = contrast([0.2, 0.22, 0.21, 0.2, 0.2, 0.19])
BOTH = [("values", True), ("rules", True)]


def flags(row: dict[str, Any], absorbed: list[tuple[str, bool | None]], insensitive: bool = False) -> list[str]:
    rows = [{"msm_spec": spec, "installed": installed} for spec, installed in absorbed]
    return [f"{f.code}: {f.text}" for f in null_flags(row, MANIFEST, rows, insensitive)]


@pytest.mark.parametrize(
    ("row", "absorbed", "insensitive", "said"),
    [
        (NULL, BOTH, False, ["null_installed: null: installed, no difference in behaviour detected"]),
        (NULL, [("values", False), ("rules", True)], False, ["null_not_installed: null: not installed (values)"]),
        (NULL, [("values", False), ("rules", True)], True, ["null_not_installed: null: not installed (values)"]),
        (NULL, [("values", True), ("values", None), ("rules", True)], False, ["null_unknown: null: not known whether installed (values)"]),
        (NULL, BOTH[:1], False, ["null_unknown: null: not known whether installed (rules)"]),
        (NULL, BOTH, True, ["null_blind: null: the eval is insensitive (it detects no difference between any arms of the study)"]),
        ({**NULL, "weights": {"aft": 1, "n": -1}}, [("values", False)], False, []),
        ({**NULL, "weights": {"a": 1, "n": -1}}, [("values", True), ("neutral", False)], False, ["null_installed: null: installed, no difference in behaviour detected"]),
        (FOUND, [("values", False)], True, []),
        ({**NULL, "ci_low": None, "ci_high": None}, [("values", False)], True, []),
    ],
)  # fmt: skip
def test_a_null_is_classified(row, absorbed, insensitive, said) -> None:
    assert flags(row, absorbed, insensitive) == said


def test_two_seeds_that_differ_tell_nothing_and_are_no_null() -> None:
    """+.148 between arms at .002 and .588 in two seeds: at one degree of freedom nothing leaves 0."""
    row = contrast([0.02, 0.276])
    assert row["ci_low"] < 0 < row["ci_high"]
    assert flags(row, BOTH) == ["null_too_few: null: too few replicates to tell (detects nothing)"]
    wide = contrast([0.1, -0.1, 0.15, -0.05])
    power = TTestPower().power(detected(wide) / (wide["se"] * 2), 4, 0.05)
    assert power == pytest.approx(0.8, abs=1e-6), "statsmodels"
    assert flags(wide, BOTH) == [f"null_too_few: null: too few replicates to tell (detects {detected(wide):.2f})"]
    assert flags(wide, [("values", False), ("rules", True)])[1:] == ["null_not_installed: null: not installed (values)"]
    assert flags({**wide, "weights": {"aft": 1, "n": -1}}, []) == flags(wide, BOTH), "a null of any arms"


def test_a_declared_margin_says_what_must_be_found() -> None:
    assert TTestPower().power(detected(NULL) / (NULL["se"] * np.sqrt(6)), 6, 0.05) == pytest.approx(0.8, abs=1e-6)
    assert flags({**NULL, "equivalence_margin": 0.02}, BOTH)[0].startswith("null_too_few: ")
    wide = contrast([0.1, -0.1, 0.15, -0.05], margin=0.5)
    assert flags(wide, BOTH) == ["null_installed: null: installed, no difference in behaviour detected"]


@pytest.mark.parametrize("freedom", [1, 2, 7, 30])
def test_what_is_detectable_by_a_standard_error_is_statsmodels(freedom: int) -> None:
    n = freedom + 1
    wanted = TTestPower().solve_power(None, n, 0.05, 0.8) if freedom > 1 else None
    found = detectable_by(0.05 / np.sqrt(n), freedom)
    if wanted is not None:
        assert found == pytest.approx(0.05 * wanted, rel=1e-5)
    rng = np.random.default_rng(0)
    drawn = rng.normal(found, 0.05, (40_000, n))
    assert (stats.ttest_1samp(drawn, 0, axis=1).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.01)


def test_an_eval_is_insensitive_only_where_all_arms_were_shown_to_be_alike() -> None:
    close, means = [NULL, contrast([0.02, -0.01, 0.0, 0.01, -0.02, 0.01])], [0.9, 0.91, 0.93]
    assert is_insensitive(close, means)
    assert not is_insensitive(close[:1], means), "one contrast is not evidence about an eval"
    assert not is_insensitive(close, [0.9, 0.3]), "arms that differ without a contrast between them"
    assert not is_insensitive([NULL, FOUND], means)
    assert not is_insensitive([NULL, contrast([0.148 - 0.1, 0.148 + 0.1])], means), "not told is not shown to be equal"
    assert not is_insensitive([NULL, {**NULL, "ci_low": None, "ci_high": None, "estimate": None, "se": None}], means)
