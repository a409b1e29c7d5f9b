"""The declared answers of a study: contrasts and token efficiency, computed from its score rows."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from specsci.results.absorption import absorption_rows, null_flags
from specsci.results.claims import Standing, read_claims, standing
from specsci.results.declared import cell_weights, contrast_row
from specsci.results.items import ItemTable, item_table
from specsci.results.noise import noise_row
from specsci.results.rates import Rates
from specsci.results.registration import read_lock, stamps
from specsci.results.retired import Retirements, reasons_of
from specsci.stats.efficiency import Bound, TokenRatio, token_ratio
from specsci.stats.families import adjust
from specsci.store.artifact import Store


def add_answers(db: duckdb.DuckDBPyConnection, store: Store, manifests: list[dict[str, Any]]) -> None:
    """Fill the tables `contrasts`, `noise_budget`, `absorption`, `token_efficiency`, `claims` and `retired`."""
    standings: list[Standing] = []
    claims, gone = read_claims(store), Retirements(store)
    for manifest in manifests:
        study, rates = manifest["study"], Rates(db, manifest["study"])
        voided = gone.cells(manifest)
        _append(db, "voided", voided)
        contrasts, noise = [], []
        tables: dict[Any, ItemTable | None] = {}
        for declared in manifest["contrasts"]:
            key = (declared["eval"], *sorted(cell_weights(manifest, declared).items()))
            if key not in tables:  # a contrast and its twin on another scale read the same answers
                tables[key] = item_table(db, study, declared["eval"], cell_weights(manifest, declared))
            items = tables[key]
            contrasts.append(contrast_row(manifest, declared, rates, items))
            noise.append(noise_row(study, declared["name"], items) if items else None)
        for family in {c["family"] for c in contrasts}:
            members = [c for c in contrasts if c["family"] == family and c["p"] is not None]
            for row, p in zip(members, adjust([c["p"] for c in members], manifest["correction"]), strict=True):
                row["p_adj"] = p
        absorbed = absorption_rows(db, study)
        _flag_nulls(contrasts, manifest, absorbed)
        void = {c["name"]: reasons_of(manifest, c, voided) for c in manifest["contrasts"]}
        _stamp(contrasts, stamps(manifest, read_lock(store, study)), void)
        rows = {c["contrast"]: c for c in contrasts}
        mine = [c for c in claims if c.study == study]
        standings += [standing(c, rows.get(c.contrast), manifest, void.get(c.contrast, [])) for c in mine]
        _append(db, "contrasts", contrasts)
        _append(db, "noise_budget", [row for row in noise if row])
        _append(db, "absorption", absorbed)
        of_eval = (manifest["token_efficiency"] or {}).get("eval")
        by_arm: dict[str, list[str]] = {}
        for row in voided:
            if row["eval"] == of_eval:
                by_arm.setdefault(row["arm"], []).append(row["reason"])
        _append(db, "token_efficiency", _efficiency_rows(manifest, rates, by_arm))
    known = {m["study"] for m in manifests}
    standings += [standing(c, None, None, []) for c in claims if c.study not in known]
    _append(db, "claims", [_claim_row(s) for s in standings])
    _append(db, "retired", [vars(r) for r in gone.entries])


def _stamp(contrasts: list[dict[str, Any]], registered: dict[str, str], void: dict[str, list[str]]) -> None:
    """Write each contrast's registration; one that was changed after its lock is no longer primary, a voided one says so."""
    for row in contrasts:
        row["registered"] = registered[row["contrast"]]
        if row["registered"].startswith("exploratory"):
            row["primary"] = False
        gone = [f"withdrawn: {reason}" for reason in void.get(row["contrast"], [])]
        row["flags"] = "; ".join([*gone, *([row["flags"]] if row["flags"] else [])])


def _claim_row(found: Standing) -> dict[str, Any]:
    said = {k: getattr(found.claim, k) for k in ("claim", "study", "contrast", "text", "by", "made_on")}
    return {**said, "status": found.status, "why": "; ".join(found.why)}


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


def _efficiency_rows(manifest: dict[str, Any], rates: Rates, void: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Ratios of every declared pair at every level; `void` is what of a pair's arms was retired, by `arm`."""
    declared = manifest["token_efficiency"]
    if not declared:
        return []
    midtrain = {c["arm"]: c["midtrain_tokens"] for c in manifest["cells"]}
    rows = []
    for pair in declared["pairs"]:
        arm, reference = pair["arm"], pair["reference"]
        shared = [sorted({c["aft_tokens"] for c in manifest["cells"] if c["arm"] == a}) for a in (arm, reference)]
        budgets = [b for b in shared[0] if b in shared[1] and b > 0]
        if not budgets:
            continue
        cells = [(declared["base"], 0), *((a, b) for a in (reference, arm) for b in budgets)]
        table, pairs = rates.paired(declared["eval"], [[cell] for cell in cells])
        if len(table) < 2:
            continue
        base, curves = 1 - table[:, 0], 1 - table[:, 1:].reshape(len(table), 2, len(budgets))
        flags = [f"withdrawn: {reason}" for a in (declared["base"], reference, arm) for reason in void.get(a, [])]
        if len(pairs) < len(manifest["replicates"]):
            flags.append(f"incomplete: {len(pairs)} of {len(manifest['replicates'])} replicates")
        for share in (declared["level_share"], *declared.get("exploratory_level_shares", [])):
            levels = share * base
            for counting in ("AFT tokens", "AFT and midtraining tokens"):
                extra = (midtrain[arm], midtrain[reference]) if counting != "AFT tokens" else (0, 0)
                result = token_ratio(
                    np.array(budgets),
                    curves[:, 0],
                    curves[:, 1],
                    levels,
                    extra_arm_tokens=extra[0],
                    extra_reference_tokens=extra[1],
                )
                said = {"level_share": share, "exploratory": share != declared["level_share"]}
                said |= {"counting": counting, "level": float(levels.mean()), "flags": "; ".join(dict.fromkeys(flags))}
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
