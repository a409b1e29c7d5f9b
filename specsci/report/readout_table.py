"""Readouts side by side: how far they agree with the one that is taken, prefer a place, and can be read at all."""

from __future__ import annotations

from typing import Any

import duckdb

from specsci.database.connection import rows
from specsci.database.manifest import Manifest
from specsci.inference.reasons import KIND as REASONS
from specsci.report.table import NOTHING, Table, rate, tokens

RATES = """
SELECT eval, readout, sum(valid)::BIGINT AS valid, sum(attempted)::BIGINT AS attempted, avg(aligned / nullif(valid, 0)) AS aligned,
       min(aligned / nullif(valid, 0)) AS worst, bool_or(valid = 0) AS silent
FROM rates WHERE study = ? AND outcome = 'binary' AND subject = arm GROUP BY ALL"""
AGREEMENT = """
WITH answers AS (
  SELECT study, arm, aft_tokens, seed, eval, readout, item_id, sample, avg(aligned::INT) AS share
  FROM scores WHERE study = ? AND state = 'ok' AND subject = arm GROUP BY ALL)
SELECT a.eval, a.readout, avg(1 - abs(a.share - t.share)) AS agreement
FROM answers a JOIN evals e ON e.study = a.study AND e.eval = a.eval
JOIN answers t ON t.study = a.study AND t.arm = a.arm AND t.aft_tokens = a.aft_tokens AND t.seed = a.seed AND t.eval = a.eval
  AND t.item_id = a.item_id AND t.sample = a.sample AND t.readout = e.readout
GROUP BY ALL"""
BIAS = """
SELECT eval, readout, avg(agreement) AS orders, avg(rate_aligned_first - rate_aligned_second) AS bias
FROM order_agreement WHERE study = ? AND subject = arm GROUP BY ALL"""


def readout_table(db: duckdb.DuckDBPyConnection, study: str, manifest: Manifest) -> Table | None:
    """A row for each readout of each eval that has several; None where none has."""
    found = {(r["eval"], r["readout"]): r for r in rows(db, RATES, [study])}
    evals = [name for name, spec in manifest.evals.items() if spec.kind != REASONS and sum(key[0] == name for key in found) > 1]
    if not evals:
        return None
    agreement = {(r["eval"], r["readout"]): r["agreement"] for r in rows(db, AGREEMENT, [study])}
    bias = {(r["eval"], r["readout"]): r for r in rows(db, BIAS, [study])}
    taken = dict(db.execute("SELECT eval, readout FROM evals WHERE study = ?", [study]).fetchall())
    header = ["eval", "readout", "valid of attempted", "misaligned, mean over models", "agreement with the one taken", "orders agree", "first place", "verdicts"]
    table = Table("Readouts", header)
    for name in evals:
        names = sorted((key[1] for key in found if key[0] == name), key=lambda r: (r != taken.get(name), r))
        for readout in names:
            key, r = (name, readout), found[name, readout]
            place = bias.get(key)
            table.rows.append(
                [
                    name,
                    f"{readout} (taken)" if readout == taken.get(name) else readout,
                    f"{tokens(r['valid'])} of {tokens(r['attempted'])}",
                    NOTHING if r["aligned"] is None else rate(1 - r["aligned"]),
                    rate(agreement[key]) if key in agreement else NOTHING,
                    rate(place["orders"]) if place and place["orders"] is not None else NOTHING,
                    f"{place['bias']:+.3f}" if place and place["bias"] is not None else NOTHING,
                    _verdicts(manifest, found, name, readout),
                ]
            )
    table.note = (
        "Agreement: 1 less the mean difference in the share of an item's answers that are aligned. First place: aligned rate with the aligned "
        "option first, less that with it second; 0 is no preference for a place. Verdicts: whether every model passes the format controls "
        "in that readout."
    )
    return table


def _verdicts(manifest: Manifest, found: dict[tuple[str, str], dict[str, Any]], asked: str, readout: str) -> str:
    """Whether the format controls of an eval's own kind can be read and are passed in a readout."""
    controls = [name for name, spec in manifest.evals.items() if spec.role == "competence" and spec.kind == manifest.evals[asked].kind]
    if not controls:
        return "no format control"
    for name in controls:
        r = found.get((name, readout))
        if r is None:
            return f"withheld: {name} has no such readout"
        if r["silent"] or r["worst"] is None:
            return f"withheld: {name} cannot be read"
        if r["worst"] < manifest.evals[name].min_competence:
            return f"withheld: worst model {rate(r['worst'])} on {name}"
    return "may be given"
