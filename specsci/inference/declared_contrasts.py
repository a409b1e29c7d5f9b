"""A study's declared contrasts: estimate, test, and everything that speaks against them."""

from __future__ import annotations

import json
import math
from typing import Any

import duckdb

from specsci.core.findings import Flag
from specsci.core.levels import subject_of
from specsci.database.manifest import Manifest
from specsci.database.manifest_parts import Contrast
from specsci.inference.contrast_spec import ContrastSpec
from specsci.inference.controls import budgets_of, control_flags, truncation_flags
from specsci.inference.design import read_design
from specsci.inference.doubts import doubts, turned
from specsci.inference.estimate import equivalence, estimate
from specsci.inference.items import CellWeights, ItemTable, item_flags
from specsci.inference.judges import judge_cards, judge_flags
from specsci.inference.rates import Rates

NOTHING = dict.fromkeys(("estimate", "se", "statistic", "ci_low", "ci_high", "p", "equivalence_p"))


def contrast_row(
    db: duckdb.DuckDBPyConnection, manifest: Manifest, contrast: Contrast, rates: Rates, items: ItemTable | None
) -> dict[str, Any]:
    """A row of the table `contrasts`, but for what its family and the registration add.

    A study's arms are of the same replicates by design, so that only those that all arms have are counted.
    """
    weights = {arm: float(w) for arm, w in contrast.weights.items() if w}
    under = manifest.conditions_of(contrast.eval)
    cells = {a: [(subject_of(a, under), b) for b in budgets_of(manifest, a, contrast.budgets)] for a in weights}
    expected = len(manifest.replicates)
    whole = read_design(db, manifest.study, contrast.eval, weights, cells, expected)
    design = whole.only_shared("valid")
    margin = contrast.equivalence_margin
    row: dict[str, Any] = {
        "study": manifest.study,
        "contrast": contrast.name,
        "eval": contrast.eval,
        "budget_tokens": ",".join(str(b) for b in contrast.budgets),
        "weights": json.dumps(contrast.weights),
        "question": contrast.question,
        "primary": contrast.primary,
        "family": contrast.family,
        "scale": contrast.scale,
        "confounds": "; ".join(contrast.confounds),
        "equivalence_margin": margin,
        "p_adj": None,
    }
    if not design.counts:
        nothing = [
            Flag("incomplete", "invalid", f"incomplete: 0 of {expected} replicates"),
            Flag("no_replicate", "warning", "an interval needs two replicates"),
        ]
        return {**row, **NOTHING, "n": 0, "method": "none", "flags": [f.as_dict() for f in nothing], "per_replicate": []}
    spec = ContrastSpec(manifest.study, contrast.eval, weights, scale=contrast.scale)
    found = estimate(design, spec)
    flags = [*doubts(design, spec, found)]
    if found.method == "paired_t" and not found.item_level:
        flags += item_flags(items, design.unit, contrast.scale)
    equal = equivalence(found, margin) if margin else None
    if equal:
        flags.append(Flag(equal.code, "note", str(equal)))
    flags += turned(design, spec, found)
    flags += control_flags(manifest, rates, contrast.eval, list(weights), contrast.budgets)
    flags += truncation_flags(rates, contrast.eval, design.cell_list)
    told = manifest.readout_of(contrast.eval)
    flags += judge_flags(judge_cards(db, manifest.study, contrast.eval, binary=told.outcome == "binary"), told.readout)
    tuned = contrast.tuned_to_target or manifest.tuned_to_target
    if tuned:
        flags.append(Flag("tuned_to_target", "warning", f"tuned to target: {tuned}"))
    result = found.result
    numbers = {name: _known(getattr(result, name)) for name in ("estimate", "se", "statistic", "ci_low", "ci_high", "p")}
    return {
        **row,
        **numbers,
        "n": result.n,
        "equivalence_p": equal.p if equal else None,
        "method": result.method,
        "flags": [f.as_dict() for f in flags],
        "per_replicate": list(result.per_replicate),
    }


def cell_weights(manifest: Manifest, contrast: Contrast) -> CellWeights:
    """Each cell's weight in a declared contrast: an arm's weight, shared out over its budgets."""
    weights: CellWeights = {}
    for arm, weight in contrast.weights.items():
        budgets = budgets_of(manifest, arm, contrast.budgets)
        for budget in budgets:
            key = (subject_of(arm, manifest.conditions_of(contrast.eval)), budget)
            weights[key] = weights.get(key, 0.0) + weight / len(budgets)
    return weights


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
