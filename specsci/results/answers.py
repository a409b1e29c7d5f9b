"""The declared answers of a study: contrasts and token efficiency, computed from its score rows."""

from __future__ import annotations

import json
import math
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from specsci.results.absorption import absorption_rows, null_flags
from specsci.results.controls import budgets_of, control_flags
from specsci.results.rates import Rates
from specsci.stats.contrast import leave_one_out, paired_contrast
from specsci.stats.efficiency import Bound, TokenRatio, token_ratio
from specsci.stats.families import adjust


def add_answers(db: duckdb.DuckDBPyConnection, manifests: list[dict[str, Any]]) -> None:
    """Fill the tables `contrasts` and `token_efficiency` for every study."""
    for manifest in manifests:
        rates = Rates(db, manifest["study"])
        contrasts = [_contrast_row(manifest, c, rates) for c in manifest["contrasts"]]
        for family in {c["family"] for c in contrasts}:
            members = [c for c in contrasts if c["family"] == family and c["p"] is not None]
            for row, p in zip(members, adjust([c["p"] for c in members], manifest["correction"]), strict=True):
                row["p_adj"] = p
        absorbed = absorption_rows(db, manifest["study"])
        _flag_nulls(contrasts, manifest, absorbed)
        _append(db, "contrasts", contrasts)
        _append(db, "absorption", absorbed)
        _append(db, "token_efficiency", _efficiency_rows(manifest, rates))


def _flag_nulls(contrasts: list[dict[str, Any]], manifest: dict[str, Any], absorbed: list[dict[str, Any]]) -> None:
    """Say of every null what the probes make of it."""
    moved: dict[str, list[bool]] = {}
    for c in contrasts:
        moved.setdefault(c["eval"], []).append(c["ci_low"] is not None and not c["ci_low"] <= 0 <= c["ci_high"])
    for row, declared in zip(contrasts, manifest["contrasts"], strict=True):
        found = moved[row["eval"]]
        answer = any(found) if len(found) > 1 else None
        extra = null_flags({**row, "weights": declared["weights"]}, manifest, absorbed, answer)
        row["flags"] = "; ".join([*([row["flags"]] if row["flags"] else []), *extra])


def _contrast_row(manifest: dict[str, Any], contrast: dict[str, Any], rates: Rates) -> dict[str, Any]:
    arms = list(contrast["weights"])
    weights = np.array([contrast["weights"][a] for a in arms])
    columns = [
        np.mean([rates.column(a, contrast["eval"], b) for b in budgets_of(manifest, a, contrast["budgets"])], axis=0)
        for a in arms
    ]
    table = np.stack(columns, axis=1) if rates.clusters else np.empty((0, len(arms)))
    whole = ~np.isnan(table).any(axis=1)
    flags = []
    if not whole.all() or not rates.clusters:
        flags.append(f"incomplete: {int(whole.sum())} of {len(manifest['replicates'])} replicates")
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
        "n": int(whole.sum()),
        "p_adj": None,
    }
    if whole.sum() < 2:
        flags.append("an interval needs two replicates")
        nothing = dict.fromkeys(("estimate", "se", "statistic", "ci_low", "ci_high", "p"))
        return {**row, **nothing, "method": "none", "flags": "; ".join(flags), "per_replicate": []}
    items = rates.items[contrast["eval"]]
    result = paired_contrast(table[whole], weights, items, contrast["scale"])
    if leave_one_out(table[whole], weights, items, contrast["scale"]):
        flags.append("fragile: one replicate decides the verdict")
    if math.isnan(result.p):
        flags.append("no spread between replicates: no test")
    flags += control_flags(manifest, rates, arms, contrast["budgets"])
    return {
        **row,
        "estimate": result.estimate,
        "se": result.se,
        "statistic": _known(result.statistic),
        "ci_low": _known(result.ci_low),
        "ci_high": _known(result.ci_high),
        "p": _known(result.p),
        "method": result.method,
        "flags": "; ".join(flags),
        "per_replicate": list(result.per_replicate),
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _efficiency_rows(manifest: dict[str, Any], rates: Rates) -> list[dict[str, Any]]:
    declared = manifest["token_efficiency"]
    if not declared or len(rates.clusters) < 2:
        return []
    base = 1 - rates.column(declared["base"], declared["eval"], 0)
    midtrain = {c["arm"]: c["midtrain_tokens"] for c in manifest["cells"]}
    rows = []
    for pair in declared["pairs"]:
        arm, reference = pair["arm"], pair["reference"]
        shared = [sorted({c["aft_tokens"] for c in manifest["cells"] if c["arm"] == a}) for a in (arm, reference)]
        budgets = [b for b in shared[0] if b in shared[1] and b > 0]
        if not budgets:
            continue
        curves = [np.stack([1 - rates.column(a, declared["eval"], b) for b in budgets], axis=1) for a in (reference, arm)]
        whole = ~(np.isnan(curves[0]).any(axis=1) | np.isnan(curves[1]).any(axis=1) | np.isnan(base))
        if whole.sum() < 2:
            continue
        for share in (declared["level_share"], *declared.get("exploratory_level_shares", [])):
            levels = share * base[whole]
            for counting in ("AFT tokens", "AFT and midtraining tokens"):
                extra = (midtrain[arm], midtrain[reference]) if counting != "AFT tokens" else (0, 0)
                result = token_ratio(
                    np.array(budgets),
                    curves[0][whole],
                    curves[1][whole],
                    levels,
                    extra_arm_tokens=extra[0],
                    extra_reference_tokens=extra[1],
                )
                said = {"level_share": share, "exploratory": share != declared["level_share"]}
                said |= {"counting": counting, "level": float(levels.mean())}
                rows.append({**_efficiency_row(result), "study": manifest["study"], **pair, **said})
    return rows


def _efficiency_row(result: TokenRatio) -> dict[str, Any]:
    def shown(bound: Bound | None) -> str | None:
        return None if bound is None else str(bound)

    return {
        "arm_tokens": shown(result.arm_tokens),
        "reference_tokens": shown(result.reference_tokens),
        "ratio": shown(result.ratio),
        "ratio_value": result.ratio.value if result.ratio else None,
        "ratio_relation": result.ratio.relation if result.ratio else None,
        "ci_low": result.ci_low,
        "ci_high": result.ci_high,
        "undefined_share": result.undefined_share,
        "n": result.n,
        "method": result.method,
    }


def _append(db: duckdb.DuckDBPyConnection, table: str, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    if "per_replicate" in columns:
        columns["per_replicate"] = pa.array(columns["per_replicate"], pa.list_(pa.float64()))
    db.register("incoming", pa.table(columns))
    db.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming")
    db.unregister("incoming")
