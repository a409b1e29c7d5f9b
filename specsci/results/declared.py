"""A study's declared contrasts: estimate, test, and everything that speaks against them."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from specsci.findings import Flag
from specsci.results.controls import budgets_of, control_flags
from specsci.results.denominator import Denominator, Totals, denominator_flags
from specsci.results.items import CellWeights, ItemTable, item_flags
from specsci.results.rates import Pair, Rates
from specsci.stats.contrast import ContrastResult, leave_one_out, paired_contrast
from specsci.stats.equivalence import tost

NOTHING = dict.fromkeys(("estimate", "se", "statistic", "ci_low", "ci_high", "p", "equivalence_p"))


def contrast_row(
    manifest: dict[str, Any], contrast: dict[str, Any], rates: Rates, items: ItemTable | None
) -> dict[str, Any]:
    """A row of the table `contrasts`, but for what its family and the registration add."""
    arms = list(contrast["weights"])
    weights = np.array([contrast["weights"][a] for a in arms])
    table, pairs = _paired(manifest, contrast, rates)
    flags: list[Flag] = []
    if len(pairs) < len(manifest["replicates"]):
        flags.append(Flag("incomplete", "invalid", f"incomplete: {len(pairs)} of {len(manifest['replicates'])} replicates"))
    margin = contrast.get("equivalence_margin")
    row: dict[str, Any] = {
        "study": manifest["study"],
        "contrast": contrast["name"],
        "eval": contrast["eval"],
        "budget_tokens": ",".join(str(b) for b in contrast["budgets"]),
        "weights": json.dumps(contrast["weights"]),
        "question": contrast["question"],
        "primary": contrast["primary"],
        "family": contrast["family"],
        "scale": contrast["scale"],
        "confounds": "; ".join(contrast["confounds"]),
        "equivalence_margin": margin,
        "n": len(table),
        "p_adj": None,
    }
    if len(table) < 2:
        flags.append(Flag("one_replicate", "warning", "an interval needs two replicates"))
        return {**row, **NOTHING, "method": "none", "flags": [f.as_dict() for f in flags], "per_replicate": []}
    count = rates.items[contrast["eval"]]
    result = paired_contrast(table, weights, count, contrast["scale"])
    if leave_one_out(table, weights, count, contrast["scale"]):
        flags.append(Flag("replicate_decides", "warning", "fragile: one replicate decides the verdict"))
    flags += item_flags(items, rates.unit, contrast["scale"])
    if math.isnan(result.p):
        flags.append(Flag("no_spread", "warning", "no spread between replicates: no test"))
    equivalence = tost(result, margin) if margin and result.se > 0 else None
    if equivalence:
        flags.append(Flag(equivalence.code, "note", str(equivalence)))
    flags += _undecided(manifest, contrast, rates, result)
    flags += control_flags(manifest, rates, arms, contrast["budgets"])
    tuned = contrast.get("tuned_to_target") or manifest.get("tuned_to_target")
    if tuned:
        flags.append(Flag("tuned_to_target", "warning", f"tuned to target: {tuned}"))
    return {
        **row,
        "estimate": result.estimate,
        "se": result.se,
        "statistic": _known(result.statistic),
        "ci_low": _known(result.ci_low),
        "ci_high": _known(result.ci_high),
        "p": _known(result.p),
        "equivalence_p": equivalence.p if equivalence else None,
        "method": result.method,
        "flags": [f.as_dict() for f in flags],
        "per_replicate": list(result.per_replicate),
    }


def _paired(
    manifest: dict[str, Any], contrast: dict[str, Any], rates: Rates, denominator: Denominator = "decided"
) -> tuple[np.ndarray, list[Pair]]:
    """Rates of the arms by cluster, budgets averaged, and the replicates that have them all."""
    cells = [[(a, b) for b in budgets_of(manifest, a, contrast["budgets"])] for a in contrast["weights"]]
    return rates.paired(contrast["eval"], cells, denominator)


def cell_weights(manifest: dict[str, Any], contrast: dict[str, Any]) -> CellWeights:
    """Each cell's weight in a declared contrast: an arm's weight, shared out over its budgets."""
    weights: CellWeights = {}
    for arm, weight in contrast["weights"].items():
        budgets = budgets_of(manifest, arm, contrast["budgets"])
        for budget in budgets:
            weights[arm, budget] = weights.get((arm, budget), 0.0) + weight / len(budgets)
    return weights


def _undecided(manifest: dict[str, Any], contrast: dict[str, Any], rates: Rates, result: ContrastResult) -> list[Flag]:
    """Flags where answers are undecided: the same contrast with all that was asked as the denominator."""
    totals: Totals = {}
    for arm in contrast["weights"]:
        cells = [(arm, contrast["eval"], b) for b in budgets_of(manifest, arm, contrast["budgets"])]
        counts = [rates.counts[key] for key in cells if key in rates.counts]
        aligned, decided, asked = (sum(c[n] for c in counts) for n in range(3))
        totals[arm] = (aligned, decided, asked)
    table, _ = _paired(manifest, contrast, rates, "asked")
    weights = np.array([contrast["weights"][a] for a in totals])
    turned = paired_contrast(table, weights, rates.items[contrast["eval"]], contrast["scale"])
    return denominator_flags(totals, contrast["weights"], "decided", result, turned)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
