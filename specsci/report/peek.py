"""A look into texts: rows with what is known of them, and the prompts and replies behind what a language model wrote."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from typing import Any

import pyarrow.parquet as pq

from specsci.core.record import Record
from specsci.core.rows import ROWS
from specsci.generate.transcript import Exchange, exchanges
from specsci.store.artifact import Store

HIDDEN = ("text", "input_ids", "supervised", "messages", "row")
"""Columns that are no provenance, or are shown otherwise."""
REQUESTS = "requests.parquet"


def peek_lines(store: Store, record: Record, rows: int, *, provenance: bool) -> list[str]:
    """The first rows of a text artefact."""
    out = [f"{record.label} [{record.digest}]: {record.facts['tokens']:,} tokens"]
    flags = _flags(store, record) if provenance else {}
    with (store.path(record.kind, record.digest) / ROWS).open("rb") as handle:
        file = pq.ParquetFile(handle)
        batches = file.iter_batches(batch_size=max(1, rows), columns=None if provenance else ["text"])
        for number, row in enumerate(islice((r for b in batches for r in b.to_pylist()), rows)):
            out.append("  " + row["text"].replace("\n", "\n    "))
            if provenance:
                told = {k: v for k, v in row.items() if k not in HIDDEN and v not in ("", None)}
                out.append(f"    ({', '.join(f'{k} {_shown(v)}' for k, v in told.items())})")
                out += [f"    flagged: {code}" for code in flags.get(number, [])]
    return out


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)
    return text if len(text) <= 160 else text[:160] + "..."


def _flags(store: Store, record: Record) -> dict[int, list[str]]:
    """What the audits of this artefact found in its rows, by row."""
    found: dict[int, list[str]] = {}
    for audit in store.records("audit"):
        roles = [role for role, digest in audit.identity.inputs.items() if digest == record.digest]
        report = store.read_json("audit", audit.digest, "audit.json") if roles else {}
        for finding in report.get("findings", []):
            if finding["role"] in roles:
                for row in finding["rows"]:
                    found.setdefault(row, []).append(finding["code"])
    return found


def prompt_lines(store: Store, record: Record, count: int) -> list[str]:
    """What was asked for an artefact and what was replied, replies that were not used first; counts of all before them."""
    table = pq.read_table(store.path(record.kind, record.digest) / REQUESTS, columns=["request_digest", "purpose", "state", "reason"])
    rows = table.to_pylist()
    counts = Counter((r["purpose"], r["state"], r["reason"]) for r in rows)
    out = [f"{record.label} [{record.digest}]: {len(rows):,} requests"]
    out += [f"  {n:,} {purpose}: {state}{f' ({why})' if why else ''}" for (purpose, state, why), n in sorted(counts.items())]
    ordered = sorted(rows, key=lambda r: r["state"] == "ok")[:count]
    for exchange in exchanges(store.root, [r["request_digest"] for r in ordered]):
        out += _exchange(exchange)
    return out


def _exchange(exchange: Exchange) -> list[str]:
    out = [f"  -- request {exchange.digest[:12]}: {exchange.state}{f' ({exchange.error})' if exchange.error else ''}, sample {exchange.sample}"]
    out += [f"  [{m['role']}]\n    " + m["content"].replace("\n", "\n    ") for m in exchange.messages]
    return [*out, "  [reply]\n    " + exchange.text.replace("\n", "\n    ")]
