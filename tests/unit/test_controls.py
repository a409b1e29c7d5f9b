"""What control evals say of a contrast: a verdict withheld, a capability that was paid with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from specsci.results.controls import control_flags

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


def flags(values: dict[tuple[str, str, int], list[float]], evals: dict[str, Any] = EVALS) -> list[str]:
    clusters = 2
    rates: Any = SimpleNamespace(column=lambda *key: np.array(values.get(key, [0.9] * clusters)))
    manifest = {"arms": ARMS, "evals": evals, "cells": CELLS}
    return [f.text for f in control_flags(manifest, rates, ["rules", "aft"], [200])]


def test_arms_that_can_answer_and_lost_nothing_have_no_flag() -> None:
    assert flags({}) == []


def test_one_replicate_below_the_floor_withholds_the_verdict() -> None:
    assert flags({("rules", "format", 200): [0.95, 0.55]}) == ["withheld: rules answers the format control 0.55 right"]
    assert flags({("rules", "format", 100): [0.5, 0.5]}) == [], "another budget than the contrast's"


def test_a_capability_that_fell_is_named_beside_the_untreated_base() -> None:
    fell = {("base", "facts", 0): [0.8, 0.6], ("aft", "facts", 200): [0.5, 0.6]}
    assert flags(fell) == ["capability: aft answers facts 0.55 right, the untreated base 0.70"]
    assert flags({**fell, ("aft", "facts", 200): [0.61, 0.6]}) == [], "within what is allowed, as a mean over replicates"
    wider = {**EVALS, "facts": {**EVALS["facts"], "max_capability_loss": 0.3}}
    assert flags(fell, wider) == []
    older = {**EVALS, "facts": {"role": "capability"}}
    assert len(flags(fell, older)) == 1, "a study that was stored before it could say so"


@pytest.mark.parametrize("missing", [("base", "facts", 0), ("aft", "facts", 200)])
def test_what_was_not_scored_yet_is_not_judged(missing) -> None:
    nan = [float("nan")] * 2
    assert flags({("base", "facts", 0): [0.9, 0.9], ("aft", "facts", 200): [0.1, 0.1], missing: nan}) == []
