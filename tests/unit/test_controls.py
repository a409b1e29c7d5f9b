"""What control evals say of a contrast: a verdict withheld, a capability that was paid with."""

from __future__ import annotations

from typing import Any

import duckdb
import harness
import pytest

from specsci.database.manifest import Manifest
from specsci.inference.controls import control_flags
from specsci.inference.rates import Rates
from specsci.report.ablation import _controls

ARMS = {
    "base": {"midtrain": None, "align": None},
    "rules": {"midtrain": "rules", "align": "choices"},
    "aft": {"midtrain": None, "align": "choices"},
}
EVALS = {
    "held_out": {"role": "outcome", "min_competence": 0.7, "max_capability_loss": 0.1},
    "format": {"role": "competence", "min_competence": 0.7, "max_capability_loss": 0.1},
    "facts": {"role": "capability", "min_competence": 0.7, "max_capability_loss": 0.1},
}
CELLS = [{"arm": "base", "aft_tokens": 0}, *({"arm": a, "aft_tokens": b} for a in ("rules", "aft") for b in (100, 200))]


REPLICATES = [("one", 1), ("one", 2), ("two", 1)]
COUNTED = Any
"""(aligned, valid) of 100 by replicate; None where nothing was scored."""


def rates_of(values: dict[tuple[str, str, int], list[COUNTED]]) -> Rates:
    """Rates from a database: 90 of 100 right but for what is said."""
    db = duckdb.connect()
    db.execute(
        "CREATE TABLE rates (study VARCHAR, subject VARCHAR, eval VARCHAR, aft_tokens BIGINT, base_model VARCHAR, seed INTEGER, "
        "aligned BIGINT, valid BIGINT, attempted BIGINT, rate_valid DOUBLE, rate_attempted DOUBLE, items BIGINT, "
        "mean_value DOUBLE DEFAULT NULL, outcome VARCHAR DEFAULT 'binary', chosen BOOLEAN DEFAULT true, readout VARCHAR DEFAULT 'logprob', truncated BIGINT DEFAULT 0)"
    )
    db.execute("CREATE TABLE item_counts (study VARCHAR, eval VARCHAR, items BIGINT)")
    for cell in CELLS:
        for name in ("format", "facts"):
            key = (cell["arm"], name, cell["aft_tokens"])
            for (base, seed), counts in zip(REPLICATES, values.get(key, [(90, 100)] * 3), strict=True):
                if counts is not None:
                    aligned, valid = counts
                    shown = [aligned, valid, 100, aligned / valid if valid else None, aligned / 100]
                    db.execute(
                        "INSERT INTO rates VALUES ('s', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 100, NULL, 'binary', true, 'logprob', 0)",
                        [*key, base, seed, *shown],
                    )
    return Rates(db, "s")


def manifest(evals: dict[str, Any]) -> Manifest:
    replicates = [{"base_model": base, "seed": seed} for base, seed in REPLICATES]
    cells = [{**cell, "eval": name} for cell in CELLS if cell["arm"] in ARMS for name in evals]
    return harness.manifest({"arms": ARMS, "evals": evals, "cells": cells, "replicates": replicates})


def flags(
    values: dict[tuple[str, str, int], list[COUNTED]], evals: dict[str, Any] = EVALS, budgets: list[int] | None = None
) -> list[str]:
    found = control_flags(manifest(evals), rates_of(values), "held_out", ["rules", "aft"], budgets or [200])
    return [f"{f.code} {f.severity}: {f.text}" for f in found]


GOOD, NONE = (90, 100), (0, 0)


def test_arms_that_can_answer_and_lost_nothing_have_no_flag() -> None:
    assert flags({}) == []


def test_one_replicate_below_the_floor_withholds_the_verdict() -> None:
    said = ["format_control withheld: withheld: accuracy of rules on the format control is 0.55"]
    assert flags({("rules", "format", 200): [GOOD, GOOD, (55, 100)]}) == said
    assert flags({("rules", "format", 200): [(55, 100), (99, 100), GOOD]}) == said, "two seeds of a base are not a mean"
    assert flags({("rules", "format", 100): [(50, 100)] * 3}) == [], "another budget than the contrast's"
    assert flags({("rules", "format", 100): [(55, 100)] * 3}, budgets=[100, 200]) == said, "one of the contrast's budgets"


@pytest.mark.parametrize(
    ("column", "why"),
    [
        ([NONE, NONE, NONE], "3 of 3 models without a valid answer"),
        ([GOOD, NONE, GOOD], "1 of 3 models without a valid answer"),
        ([GOOD, None, GOOD], "1 of 3 models not scored"),
        ([None, None, None], "3 of 3 models not scored"),
        ([GOOD, None, NONE], "1 of 3 models not scored, 1 of 3 models without a valid answer"),
    ],
)
def test_a_control_that_cannot_be_read_withholds_the_verdict(column, why) -> None:
    start = "control_unreadable withheld: withheld: the"
    assert flags({("rules", "format", 200): column}) == [f"{start} format control format of rules cannot be read ({why})"]
    assert flags({("aft", "facts", 200): column}) == [f"{start} capability control facts of aft cannot be read ({why})"]
    base = f"{start} capability control facts of the base model (no treatment) cannot be read ({why})"
    assert flags({("base", "facts", 0): column}) == [base, base], "of either arm"


def test_what_is_unreadable_hides_no_arm_below_the_floor() -> None:
    assert [f.split()[0] for f in flags({("rules", "format", 200): [(40, 100), NONE, GOOD]})] == [
        "control_unreadable",
        "format_control",
    ]


def test_a_capability_that_fell_is_named_beside_the_base_model() -> None:
    fell = {
        ("base", "facts", 0): [(80, 100), (80, 100), (60, 100)],
        ("aft", "facts", 200): [(50, 100), (50, 100), (60, 100)],
    }
    said = ["capability warning: capability: accuracy of aft on facts is 0.55, that of the base model (no treatment) 0.70"]
    assert flags({**fell, ("rules", "facts", 200): [(70, 100)] * 3}) == said
    fell[("rules", "facts", 200)] = [(70, 100)] * 3
    assert flags({**fell, ("aft", "facts", 200): [(61, 100), (61, 100), (60, 100)]}) == [], "a mean over replicates"
    wider = {**EVALS, "facts": {**EVALS["facts"], "max_capability_loss": 0.3}}
    assert flags(fell, wider) == []
    older = {**EVALS, "facts": {"role": "capability"}}
    assert len(flags(fell, older)) == 1, "a study that was stored before it could say so"


def test_a_guard_is_held_against_the_base_and_says_nothing_of_arms_that_it_does_not_ask() -> None:
    fell = {("aft", "facts", 100): [(70, 100)] * 3, ("rules", "facts", 200): [None] * 3}
    guard = {**EVALS, "facts": {**EVALS["facts"], "role": "guard", "arms": ["base", "aft"], "budgets_tokens": [100]}}
    assert flags(fell, guard, budgets=[100, 200]) == ["guard warning: guard: accuracy of aft on facts is 0.70, that of the base model (no treatment) 0.90"]
    assert flags({("aft", "facts", 200): [(10, 100)] * 3}, guard) == [], "it is not asked at that budget"
    everywhere = {**EVALS, "facts": {**EVALS["facts"], "role": "guard"}}
    assert [f.split(":")[0] for f in flags(fell, everywhere, budgets=[200])] == ["control_unreadable withheld"], "one that asks all and was not scored"


def test_a_loss_at_one_of_the_budgets_is_no_mean_over_them() -> None:
    fell = {("aft", "facts", 100): [(70, 100)] * 3}
    assert flags(fell, budgets=[100, 200]) == [
        "capability warning: capability: accuracy of aft on facts is 0.70, that of the base model (no treatment) 0.90"
    ]


def test_without_a_base_model_a_capability_control_says_that_it_cannot_compare(monkeypatch) -> None:
    monkeypatch.delitem(ARMS, "base")
    assert [f.split(":")[0] for f in flags({})] == ["capability_unknown warning"] * 2


def test_the_table_has_a_row_for_each_budget_and_counts_what_is_unread() -> None:
    rates = rates_of({("rules", "format", 200): [(40, 100), NONE, (60, 100)], ("aft", "format", 100): [None, None, None]})
    found = {(c.arm, c.aft_tokens): c for c in _controls(manifest(EVALS), rates, "format", "competence", [0, 100, 200])}
    assert set(found) == {(c["arm"], c["aft_tokens"]) for c in CELLS}
    cell = found["rules", 200]
    assert (cell.mean, cell.worst, cell.models, cell.unread) == (pytest.approx(0.5), 0.4, 3, 1)
    assert found["rules", 100].mean == pytest.approx(0.9), "budgets are not averaged"
    assert found["aft", 100].unread == 3 and found["aft", 100].mean != found["aft", 100].mean
