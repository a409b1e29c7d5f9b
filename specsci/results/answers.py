"""The declared answers of a study: contrasts and token efficiency, computed from its score rows."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from specsci.results.absorption import absorption_rows, null_flags
from specsci.results.claims import Standing, read_claims, read_retired, standing, voided
from specsci.results.declared import contrast_row, declared_items
from specsci.results.noise import noise_row
from specsci.results.rates import Rates
from specsci.results.registration import read_lock, stamps
from specsci.stats.efficiency import Bound, TokenRatio, token_ratio
from specsci.stats.families import adjust
from specsci.store.artifact import Store


def add_answers(db: duckdb.DuckDBPyConnection, store: Store, manifests: list[dict[str, Any]]) -> None:
    """Fill the tables `contrasts`, `noise_budget`, `absorption`, `token_efficiency`, `claims` and `retired`."""
    standings: list[Standing] = []
    claims = read_claims(store)
    for manifest in manifests:
        rates = Rates(db, manifest["study"])
        contrasts, noise = [], []
        for declared in manifest["contrasts"]:
            items = declared_items(db, manifest, declared)
            contrasts.append(contrast_row(manifest, declared, rates, items))
            noise.append(noise_row(manifest["study"], declared["name"], items) if items else None)
        for family in {c["family"] for c in contrasts}:
            members = [c for c in contrasts if c["family"] == family and c["p"] is not None]
            for row, p in zip(members, adjust([c["p"] for c in members], manifest["correction"]), strict=True):
                row["p_adj"] = p
        absorbed = absorption_rows(db, manifest["study"])
        _flag_nulls(contrasts, manifest, absorbed)
        void = voided(store, manifest)
        _stamp(contrasts, stamps(manifest, read_lock(store, manifest["study"])), void)
        rows = {c["contrast"]: c for c in contrasts}
        mine = [c for c in claims if c.study == manifest["study"]]
        standings += [standing(c, rows.get(c.contrast), manifest, void.get(c.contrast, [])) for c in mine]
        _append(db, "contrasts", contrasts)
        _append(db, "noise_budget", [row for row in noise if row])
        _append(db, "absorption", absorbed)
        _append(db, "token_efficiency", _efficiency_rows(manifest, rates))
    known = {m["study"] for m in manifests}
    standings += [standing(c, None, None, []) for c in claims if c.study not in known]
    _append(db, "claims", [_claim_row(s) for s in standings])
    _append(db, "retired", [vars(r) for r in read_retired(store)])


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
