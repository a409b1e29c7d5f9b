"""What lies under a study's numbers: audits, decoded rows, instruments, costs, lineage, environment; from results.duckdb."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import duckdb

from specsci.core.kinds import KINDS
from specsci.database.connection import rows
from specsci.database.manifest import Manifest
from specsci.report.table import NOTHING, Table, rate, tokens


@dataclass(frozen=True)
class Decoded:
    """Training rows as the model saw them: what it learns to write stands in ⟦brackets⟧."""

    label: str
    digest: str
    texts: list[str]


def decoded_rows(db: duckdb.DuckDBPyConnection, study: str) -> list[Decoded]:
    """Sample rows of one midtraining per spec and of one alignment per set, with their supervised parts marked."""
    query = """SELECT label, step_digest, facts FROM steps WHERE study = ? AND kind IN ('midtrain', 'align')
      AND json_exists(facts, '$.masked_decode') ORDER BY kind DESC, label"""
    found: dict[str, Decoded] = {}
    for row in rows(db, query, [study]):
        name = row["label"].split(",")[0]
        stem = name if name.startswith("midtrain") else name.split(" at ")[0]
        if stem not in found and len(found) < 16:
            found[stem] = Decoded(stem, row["step_digest"], json.loads(row["facts"])["masked_decode"])
    return list(found.values())


def corpus_table(db: duckdb.DuckDBPyConnection, study: str) -> Table | None:
    """Documents, tokens and repetition of every spec's corpus, over replicates; None where the study generated none."""
    query = """SELECT label, facts FROM steps WHERE study = ? AND kind = 'corpus' ORDER BY label"""
    by_spec: dict[str, list[dict[str, Any]]] = {}
    for row in rows(db, query, [study]):
        by_spec.setdefault(row["label"].split(",")[0].removeprefix("corpus "), []).append(json.loads(row["facts"]))
    if not by_spec:
        return None
    table = Table("Corpora: one per replicate", ["spec", "corpora", "documents", "tokens", "distinct documents"])
    for spec, facts in by_spec.items():
        shares = [f["distinct"] / f["documents"] for f in facts if f.get("documents")]
        table.rows.append(
            [
                spec,
                str(len(facts)),
                _span([f["documents"] for f in facts]),
                _span([f["tokens"] for f in facts]),
                f"{min(shares):.1%} or more",
            ]
        )
    leaks = [
        json.loads(f)["leaked_items"]
        for (f,) in db.execute("SELECT facts FROM steps WHERE study = ? AND kind = 'audit'", [study]).fetchall()
    ]
    if leaks:
        table.note = f"{len(leaks)} audits looked for the outcome items in every training text: {sum(leaks)} leaked items."
    return table


def _span(values: list[int]) -> str:
    return tokens(values[0]) if min(values) == max(values) else f"{tokens(min(values))} to {tokens(max(values))}"


EXTREME = 0.05
"""An eval whose models all lie within this of 0 or of 1 is at its floor or ceiling."""
SAMPLES_AGREE = """
WITH asked AS (
  SELECT eval, subject, aft_tokens, base_model, seed, item_id, variant, count(*) AS n, sum(aligned::INT) AS k
  FROM chosen_scores WHERE study = ? AND state = 'ok' AND aligned IS NOT NULL GROUP BY ALL HAVING n > 1)
SELECT eval, avg((k * (k - 1) + (n - k) * (n - k - 1)) / (n * (n - 1))) FROM asked GROUP BY eval"""
SPAN = """
SELECT eval, min(1 - aligned / valid), max(1 - aligned / valid) FROM rates WHERE study = ? AND chosen AND valid > 0 AND outcome = 'binary' GROUP BY eval"""


def instrument_table(db: duckdb.DuckDBPyConnection, study: str, manifest: Manifest) -> Table:
    """One row per eval, the card of an instrument: what it asks, how far its answers are stable, and whether they tell models apart."""
    header = [
        "eval", "role", "kind", "items", "models", "attempted", "valid", "agreement of option orders", "samples agree", "misaligned, least to most",
        "item set",
    ]  # fmt: skip
    table = Table("What each eval asks", header)
    items = {
        n: c
        for n, c in db.execute(
            "SELECT eval, count(DISTINCT item_id) FROM scores WHERE study = ? GROUP BY 1", [study]
        ).fetchall()
    }
    counts = rows(
        db, "SELECT eval, sum(attempted) a, sum(valid) d, count(DISTINCT (arm, aft_tokens, base_model, seed)) m FROM rates WHERE study = ? AND chosen GROUP BY eval", [study]
    )
    by_eval = {r["eval"]: r for r in counts}
    agreed = dict(
        db.execute(
            "SELECT eval, avg(agreement) FROM order_agreement JOIN evals USING (study, eval, readout) WHERE study = ? GROUP BY eval", [study]
        ).fetchall()
    )
    repeated = dict(db.execute(SAMPLES_AGREE, [study]).fetchall())
    spans = {name: (least, most) for name, least, most in db.execute(SPAN, [study]).fetchall()}
    digests = manifest.family_parts.items if manifest.family_parts else {}
    for name, spec in manifest.evals.items():
        c = by_eval.get(name)
        how = [said for said in (spec.kind, spec.settings.get("format")) if said is not None]
        table.rows.append(
            [
                name, spec.role, ", ".join(how) or "imported", str(items.get(name, NOTHING)), str(c["m"]) if c else "0",
                tokens(int(c["a"])) if c else "0", tokens(int(c["d"])) if c else "0",
                rate(agreed[name]) if agreed.get(name) is not None else NOTHING, rate(repeated[name]) if repeated.get(name) is not None else NOTHING,
                f"{rate(spans[name][0])} to {rate(spans[name][1])}" if name in spans else NOTHING, digests.get(spec.items or "", NOTHING)[:12],
            ]
        )  # fmt: skip
    table.note = (
        "Answers that are not valid are never counted as either. Samples agree: two answers to one question are both aligned or both not. "
        "Least to most: over models, replicates apart."
    )
    flat = [name for name, (least, most) in spans.items() if manifest.evals[name].role in ("outcome", "trained") and (least >= 1 - EXTREME or most <= EXTREME)]
    if flat:
        table.note += f" At floor or ceiling, so that it tells no models apart: {', '.join(flat)}."
    return table


def cost_table(db: duckdb.DuckDBPyConnection, study: str) -> Table:
    """Steps, time, tokens, disk, energy and money by kind."""
    query = """SELECT kind, count(*) AS n, sum(busy_s) AS s, sum(tokens) FILTER (kind IN ('midtrain', 'align')) AS t,
      sum(bytes) AS b, sum(energy_wh) AS e, sum(cost_usd) AS c, max(peak_gib) AS p,
      sum((facts->>'$.usage.requests')::DOUBLE) AS asked, sum((facts->>'$.usage.usd')::DOUBLE) AS paid
      FROM steps WHERE study = ? GROUP BY kind"""
    found = {r["kind"]: r for r in rows(db, query, [study])}
    asked = any(r["asked"] for r in found.values())
    more = ["requests", "paid for requests"] if asked else []
    table = Table("Costs", ["step", "done", "busy", "trained tokens", "disk", "peak memory", "energy", "cost", *more])
    for kind in _in_order(found):
        table.rows.append([kind, *_cost(found[kind]), *(_paid(found[kind]) if asked else [])])
    whole = {k: sum(r[k] or 0 for r in found.values()) for k in ("n", "s", "t", "b", "e", "c", "asked", "paid")}
    whole["p"] = max((r["p"] or 0 for r in found.values()), default=0)
    table.rows.append(["all", *_cost(whole), *(_paid(whole) if asked else [])])
    table.note = "Busy: time of workers; several work at once. Energy and cost where they were measured or declared."
    return table


def _cost(r: dict[str, Any]) -> list[str]:
    return [
        tokens(r["n"]),
        f"{r['s'] or 0:,.0f} s",
        tokens(int(r["t"])) if r["t"] else NOTHING,
        f"{(r['b'] or 0) / 2**20:,.1f} MiB",
        f"{r['p']:.2f} GiB" if r["p"] else NOTHING,
        f"{r['e']:,.1f} Wh" if r["e"] else NOTHING,
        f"${r['c']:,.2f}" if r["c"] else NOTHING,
    ]


def _paid(r: dict[str, Any]) -> list[str]:
    """Requests to language models, and what they cost."""
    return [tokens(int(r["asked"])), f"${r['paid']:,.2f}"] if r["asked"] else [NOTHING, NOTHING]


def requests_table(db: duckdb.DuckDBPyConnection, study: str) -> Table | None:
    """Requests to language models by what they were for: how many, their tokens and dollars, what was not used; None without any."""
    query = """SELECT generator, model, purpose, variant, count(*) AS n, count(*) FILTER (state <> 'ok') AS bad,
      sum(coalesce(input_tokens, 0) + coalesce(cache_read_tokens, 0) + coalesce(cache_write_tokens, 0)) AS i, sum(output_tokens) AS o,
      sum(usd) AS usd, string_agg(DISTINCT computed_in, ', ') AS places
      FROM (SELECT DISTINCT ON (request_digest) * FROM requests r JOIN steps s USING (step_digest) WHERE s.study = ?)
      GROUP BY ALL ORDER BY usd DESC NULLS LAST, generator, purpose, variant"""
    found = rows(db, query, [study])
    if not found:
        return None
    header = ["generator", "model", "for", "variant", "requests", "not used", "tokens in", "tokens out", "dollars", "computed in"]
    table = Table("Requests to language models", header)
    for r in found:
        counts = [tokens(r["n"]), tokens(r["bad"]), tokens(int(r["i"] or 0)), tokens(int(r["o"] or 0))]
        paid = NOTHING if r["usd"] is None else f"${r['usd']:,.4f}"
        table.rows.append([r["generator"], r["model"], r["purpose"], r["variant"], *counts, paid, r["places"] or NOTHING])
    table.note = "Each request is counted once, however many steps use it; replies that were not used were paid for too."
    return table


NOT_SHOWN = ("ended_at", "host")
"""Facts of a run that drift by nature, or that name a machine to whoever gets the page."""


def environment_table(db: duckdb.DuckDBPyConnection, study: str) -> Table:
    """What the steps ran on and with; more than one value in a row is drift within the study."""
    found: dict[str, dict[str, int]] = {}
    for (text,) in db.execute("SELECT facts FROM steps WHERE study = ?", [study]).fetchall():
        where = json.loads(text).get("provenance", {})
        for key, value in where.items():
            if key not in NOT_SHOWN:
                counts = found.setdefault(key, {})
                counts[str(value)] = counts.get(str(value), 0) + 1
    table = Table("Environment", ["what", "value", "drift"])
    for key, counts in found.items():
        values = sorted(counts, key=lambda v: -counts[v])
        shown = ", ".join(f"{v} ({counts[v]:,} steps)" for v in values) if len(values) > 1 else values[0]
        table.rows.append([key, shown, f"{len(values)} values" if len(values) > 1 else "none"])
    return table


def lineage_layers(db: duckdb.DuckDBPyConnection, study: str) -> list[dict[str, Any]]:
    """Kinds of steps in the order of the work, each with its count and the kinds that it is made from."""
    made: dict[str, dict[str, Any]] = {}
    kinds: dict[str, str] = {}
    found = rows(db, "SELECT step_digest, kind, identity FROM steps WHERE study = ?", [study])
    for row in found:
        kinds[row["step_digest"]] = row["kind"]
    for row in found:
        layer = made.setdefault(row["kind"], {"kind": row["kind"], "count": 0, "from": {}})
        layer["count"] += 1
        for used in json.loads(row["identity"])["inputs"].values():
            source = kinds.get(used)
            if source:
                layer["from"][source] = layer["from"].get(source, 0) + 1
    return [made[k] for k in _in_order(made)]


def _in_order(kinds: Iterable[str]) -> list[str]:
    """Kinds of steps in the order in which steps follow each other; those whose package is gone last."""
    order = [kind.name for kind in KINDS]
    return sorted(kinds, key=lambda kind: order.index(kind) if kind in order else len(order))
