"""The declared answers of a study: contrasts and token efficiency, computed from its score rows."""

from __future__ import annotations

import json
from typing import Any

import duckdb
import pyarrow as pa

from specsci.core.findings import Flag
from specsci.database.manifest import Manifest
from specsci.governance.claims import ClaimStatus, read_claims, status_of
from specsci.governance.grades import read_grades
from specsci.governance.registration import Lock, Stamp, left_plan, lock_or_none, registered
from specsci.governance.retired import Retirements, reasons_of
from specsci.inference.absorption import absorption_rows
from specsci.inference.corpora import add_corpus_counts, distinct_shares
from specsci.inference.declared_contrasts import cell_weights, contrast_row
from specsci.inference.items import ItemTable, item_table
from specsci.inference.nulls import is_insensitive, mean_rates, null_flags
from specsci.inference.ordinal import ordinal_rows
from specsci.inference.rates import Rates
from specsci.inference.reasons import reason_rows
from specsci.inference.token_efficiency import efficiency_rows
from specsci.inference.variance_components import noise_row
from specsci.plan.distinct import distinct_flags
from specsci.results.grades import corrected_rows, grade_rows
from specsci.stats.families import adjust
from specsci.store.artifact import Store

FLAGS = pa.list_(pa.struct([(name, pa.string()) for name in ("code", "severity", "text")]))


def add_answers(db: duckdb.DuckDBPyConnection, store: Store, manifests: list[Manifest]) -> None:
    """Fill the tables `contrasts`, `ordinal_contrasts`, `reasons`, `noise_budget`, `absorption`, `token_efficiency`, `claims` and `retired`."""
    statuses: list[ClaimStatus] = []
    claims, gone, grades = read_claims(store), Retirements(store), read_grades(store)
    add_corpus_counts(db)
    for manifest in manifests:
        study, rates = manifest.study, Rates(db, manifest.study)
        voided = gone.cells(manifest)
        _append(db, "voided", voided)
        contrasts, noise = [], []
        tables: dict[Any, ItemTable | None] = {}
        for declared in manifest.contrasts:
            key = (declared.eval, *sorted(cell_weights(manifest, declared).items()))
            if key not in tables:  # a contrast and its twin on another scale read the same answers
                tables[key] = item_table(db, study, declared.eval, cell_weights(manifest, declared))
            items = tables[key]
            contrasts.append(contrast_row(db, manifest, declared, rates, items))
            noise.append(noise_row(study, declared.name, items) if items else None)
        for family in {c["family"] for c in contrasts}:
            members = [c for c in contrasts if c["family"] == family]
            for row, p in zip(members, adjust([c["p"] for c in members], manifest.correction), strict=True):
                row["p_adj"] = p
        absorbed = absorption_rows(db, study)
        _flag_nulls(contrasts, manifest, absorbed, rates)
        shares = distinct_shares(db, study)
        for row, declared in zip(contrasts, manifest.contrasts, strict=True):
            row["flags"] += [f.as_dict() for f in distinct_flags(manifest.midtrained_on, declared.weights, shares)]
        invalidated = {c.name: reasons_of(c, voided, manifest.conditions_of(c.eval)) for c in manifest.contrasts}
        lock = lock_or_none(store, study)
        _stamp(contrasts, registered(store, manifest), invalidated)
        left = left_plan(manifest, lock)
        _flag_gone(contrasts, left)
        rows = {c["contrast"]: c for c in contrasts}
        mine = [c for c in claims if c.study == study]
        statuses += [status_of(c, rows.get(c.contrast), manifest, invalidated.get(c.contrast, [])) for c in mine]
        _append(db, "contrasts", [*contrasts, *(_gone_row(study, c, lock) for c in left if lock)])
        graded = grade_rows(db, manifest, grades)
        _append(db, "human_grades", graded)
        _append(db, "corrected_contrasts", corrected_rows(manifest, contrasts, graded))
        _append(db, "ordinal_contrasts", ordinal_rows(db, manifest))
        _append(db, "reasons", reason_rows(db, manifest))
        _append(db, "noise_budget", [row for row in noise if row])
        _append(db, "absorption", absorbed)
        of_eval = manifest.token_efficiency.eval if manifest.token_efficiency else None
        by_arm: dict[str, list[str]] = {}
        for row in voided:
            if row["eval"] == of_eval:
                by_arm.setdefault(row["subject"], []).append(row["reason"])
        _append(db, "token_efficiency", efficiency_rows(store, manifest, rates, by_arm))
    known = {m.study for m in manifests}
    statuses += [status_of(c, None, None, []) for c in claims if c.study not in known]
    _append(db, "claims", [_claim_row(s) for s in statuses])
    _append(db, "retired", [vars(r) for r in gone.entries])


def _stamp(contrasts: list[dict[str, Any]], registered: dict[str, Stamp], invalidated: dict[str, list[str]]) -> None:
    """Write each contrast's registration; one that was changed after its lock is no longer primary, an invalidated one says so."""
    for row in contrasts:
        stamp = registered[row["contrast"]]
        row["registration"], row["registered"] = stamp.code, stamp.text
        if stamp.code == "exploratory":
            row["primary"] = False
        gone = [
            Flag("withdrawn", "invalid", f"withdrawn: {reason}").as_dict() for reason in invalidated.get(row["contrast"], [])
        ]
        row["flags"] = [*gone, *row["flags"]]


def _flag_gone(contrasts: list[dict[str, Any]], left: list[dict[str, Any]]) -> None:
    """Say beside every contrast which ones left the locked plan: what is shown is then no longer all that was planned."""
    if left:
        said = f"the locked plan also had {', '.join(c['name'] for c in left)}"
        for row in contrasts:
            row["flags"] = [*row["flags"], Flag("plan_lost_contrasts", "warning", said).as_dict()]


def _gone_row(study: str, contrast: dict[str, Any], lock: Lock) -> dict[str, Any]:
    """The row of a contrast that left the locked plan: named in every output, without an estimate."""
    said = f"left the plan locked on {lock.date}, and is not estimated"
    texts = {k: contrast.get(k, "") for k in ("eval", "question", "scale")}
    return {
        **dict.fromkeys(("estimate", "se", "statistic", "ci_low", "ci_high", "p", "p_adj", "equivalence_p")),
        "study": study,
        "contrast": contrast["name"],
        **texts,
        "budget_tokens": ",".join(str(b) for b in contrast["budgets"]),
        "weights": json.dumps(contrast["weights"]),
        "primary": False,
        "family": contrast.get("family", "main"),
        "confounds": "; ".join(contrast.get("confounds", [])),
        "equivalence_margin": contrast.get("equivalence_margin"),
        "n": 0,
        "method": "none",
        "per_replicate": [],
        "registration": "left_plan",
        "registered": said,
        "flags": [Flag("left_plan", "warning", said).as_dict()],
    }


def _claim_row(found: ClaimStatus) -> dict[str, Any]:
    said = {k: getattr(found.claim, k) for k in ("claim", "study", "contrast", "text", "by", "made_on")}
    return {**said, "status": found.status, "why": "; ".join(found.why)}


def _flag_nulls(contrasts: list[dict[str, Any]], manifest: Manifest, absorbed: list[dict[str, Any]], rates: Rates) -> None:
    """Say of every null what the replicates, the probes and the eval's other contrasts make of it."""
    by_eval: dict[str, list[dict[str, Any]]] = {}
    for c in contrasts:
        by_eval.setdefault(c["eval"], []).append(c)
    insensitive = {name: is_insensitive(rows, mean_rates(rates, name)) for name, rows in by_eval.items()}
    for row, declared in zip(contrasts, manifest.contrasts, strict=True):
        extra = null_flags({**row, "weights": declared.weights}, manifest, absorbed, insensitive[row["eval"]])
        row["flags"] = [*row["flags"], *(f.as_dict() for f in extra)]


def _append(db: duckdb.DuckDBPyConnection, table: str, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    if "per_replicate" in columns:
        columns["per_replicate"] = pa.array(columns["per_replicate"], pa.list_(pa.float64()))
    if "flags" in columns:
        columns["flags"] = pa.array(columns["flags"], FLAGS)
    db.register("incoming", pa.table(columns))
    db.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming")
    db.unregister("incoming")
