"""Reasons in answers: how often each is given, by model, beside the classifier's false-positive floor."""

from __future__ import annotations

import json
from typing import Any

import duckdb

from specsci.database.connection import rows
from specsci.database.manifest import Manifest
from specsci.report.table import NOTHING, Table, rate, tokens

MOST_COLUMNS = 12


def reason_tables(db: duckdb.DuckDBPyConnection, study: str, manifest: Manifest) -> list[Table]:
    """A table for each list of reasons and AFT budget of the models; none where a study has no such eval."""
    found = rows(db, "SELECT * FROM reasons WHERE study = ?", [study])
    firsts: dict[str, str] = {}
    for name in [e for e in manifest.evals if any(r["eval"] == e for r in found)]:  # evals that differ in what they take of one list are one table
        spec = manifest.evals[name]
        asked = {**spec.settings, "arms": spec.arms, "harness": spec.harness, "budgets": spec.budgets_tokens}
        firsts.setdefault(json.dumps(asked, sort_keys=True, default=str), name)
    out = []
    for name in firsts.values():
        mine = [r for r in found if r["eval"] == name]
        budgets = sorted({r["aft_tokens"] for r in mine} - {0}) or [0]
        for budget in budgets:
            shown = [r for r in mine if r["aft_tokens"] in (0, budget)]
            out.append(_table(name, budget, shown))
    return out


def _table(name: str, budget: int, found: list[dict[str, Any]]) -> Table:
    places = list(dict.fromkeys((r["subject"], r["aft_tokens"]) for r in found))
    at = f", AFT budget {tokens(budget)} tokens" if budget else ""
    heads = [subject if tokens_ else f"{subject} (no AFT)" if budget else subject for subject, tokens_ in places]
    table = Table(f"Reasons in answers: {name}{at}, share of answers", ["reason", "speaks for", *heads])
    by_place = {(r["subject"], r["aft_tokens"], r["reason"]): r for r in found}
    for reason in dict.fromkeys(r["reason"] for r in found):
        cells = [by_place.get((*place, reason)) for place in places]
        side = next(r["side"] for r in cells if r)
        policy = next(r["policy"] for r in cells if r)
        table.rows.append([f"{reason} (about a rule)" if policy else reason, side, *(_cell(r) for r in cells)])
    table.note = _note(found)
    return table


def _cell(row: dict[str, Any] | None) -> str:
    if row is None or row["rate"] is None:
        return NOTHING
    interval = "" if row["ci_low"] is None else f" [{rate(row['ci_low'])}, {rate(row['ci_high'])}]"
    above = "" if row["above"] is None else f"; {row['above']:+.3f} above the floor"
    return f"{rate(row['rate'])}{interval}{above}"


def _note(found: list[dict[str, Any]]) -> str:
    valid = sorted({r["valid"] for r in found})
    counts = f"{tokens(valid[0])}" if len(valid) == 1 else f"{tokens(valid[0])} to {tokens(valid[-1])}"
    said = f"Answers that were looked through: {counts} of each model; mean over replicates [95 % interval]."
    about = [r for r in found if r["policy"]]
    floors = {r["reason"]: r for r in about if r["floor"] is not None}
    if floors:
        told = "; ".join(f"{name} {rate(r['floor'])} ({tokens(r['floor_found'])} of {tokens(r['floor_valid'])})" for name, r in floors.items())
        return f"{said} False-positive floor, of arms that never saw a rule: {told}."
    return f"{said} No false-positive floor: no arm that never saw a rule was looked through (`without_policy`)." if about else said
