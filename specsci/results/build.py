"""results.duckdb, rebuilt from the store's Parquet rows and renamed over the old file.

Readers that have the old file open keep it; nobody sees half a database.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from specsci.errors import StoreError
from specsci.results.answers import add_answers
from specsci.results.imports import load_imports
from specsci.results.manifest import manifests
from specsci.results.stamp import DATABASE, STAMP, current_stamp
from specsci.store.artifact import Store

SQL = Path(__file__).parent
READ = {
    "score": "scores.parquet",
    "corpus": "rows.parquet",
    "midtrain": "curve.parquet",
    "align": "curve.parquet",
    "probe": "nll.parquet",
}
"""The file that the database takes from an artefact of a kind; it is checked against its record first."""
SCORES = """INSERT INTO score_rows
  SELECT f.step_digest, s.item_id, s.cluster_id, s.readout, s.variant, s.sample, s.state, s.aligned, s.value, s.slice,
         s.logprob_aligned, s.logprob_misaligned
  FROM read_parquet($files, filename = true) s JOIN score_files f ON f.file = s.filename"""
DOCUMENTS = """INSERT INTO documents
  SELECT parse_path(filename)[-2] AS step_digest, row, text, tokens, spec_digest, clause_id, unit_id, cell, backend,
         template_id, seed, p.prompt_digest, p.family, p.variant AS msm_spec, p.access
  FROM read_parquet($files, filename = true) d JOIN corpora p ON p.step_digest = parse_path(filename)[-2]"""


def build(store: Store) -> Path:
    """Rebuild the database; the files it takes are checked against their records first.

    Raises:
        CorruptArtifact: a file is not what was written.
        StoreError: the new file cannot be written.
    """
    stamp = current_stamp(store)
    target, temporary = store.root / DATABASE, store.root / f".{DATABASE}.{os.getpid()}.tmp"
    temporary.unlink(missing_ok=True)
    try:
        with duckdb.connect(str(temporary)) as db:
            db.execute((SQL / "schema.sql").read_text(encoding="utf-8"))
            _fill(db, store)
            db.execute((SQL / "views.sql").read_text(encoding="utf-8"))
            add_answers(db, store, manifests(store))
        os.replace(temporary, target)
        (store.root / STAMP).write_text(stamp, encoding="utf-8")
    except (duckdb.IOException, duckdb.OutOfMemoryException, OSError) as error:
        if isinstance(error, StoreError) or not isinstance(error, (duckdb.Error, OSError)) or hasattr(error, "digest"):
            raise
        raise StoreError(f"the results cannot be written: {error}", where=str(target), mend="free space") from error
    finally:
        temporary.unlink(missing_ok=True)
        Path(f"{temporary}.wal").unlink(missing_ok=True)
    return target


def _fill(db: duckdb.DuckDBPyConnection, store: Store) -> None:
    found = manifests(store)
    records: dict[str, dict[str, Any]] = {}
    for manifest in found:
        for step, kind in manifest["steps"].items():
            if step not in records and (store.path(kind, step) / "record.json").is_file():
                records[step] = store.verify(kind, step, READ[kind]) if kind in READ else _record(store, kind, step)
    there = {*records, *load_imports(db, store, found)}
    _insert(db, "studies", [_study_row(m, there) for m in found])
    cells = [{"study": m["study"], **cell} for m in found for cell in m["cells"]]
    keys = ("arm", "base_model", "msm_spec", "aft_spec", "aft_tokens", "midtrain_tokens", "seed", "eval", "step_digest")
    _insert(db, "cells", [{"study": c["study"], **{k: c[k] for k in keys}} for c in cells])
    _insert(db, "arms", _arm_rows(found))
    _insert(db, "steps", [_step_row(m["study"], records[s]) for m in found for s in m["steps"] if s in records])
    scored = {str(store.path("score", s) / "scores.parquet"): s for s, r in records.items() if r["kind"] == "score"}
    if scored:
        db.register("score_files", pa.table({"file": list(scored), "step_digest": list(scored.values())}))
        db.execute(SCORES, {"files": list(scored)})
    _insert(db, "probes", [{"study": m["study"], **probe} for m in found for probe in m.get("probes", [])])
    probed = {str(store.path("probe", s) / "nll.parquet"): s for s, r in records.items() if r["kind"] == "probe"}
    if probed:
        db.execute(
            "INSERT INTO probe_rows SELECT parse_path(filename)[-2], row, tokens, nll "
            "FROM read_parquet($files, filename = true)",
            {"files": list(probed)},
        )
    curves = [r for r in records.values() if r["kind"] in ("midtrain", "align")]
    if curves:
        db.register("trained", pa.Table.from_pylist([{k: r[k] for k in ("digest", "kind", "label")} for r in curves]))
        paths = [str(store.path(r["kind"], r["digest"]) / "curve.parquet") for r in curves]
        db.execute(
            'INSERT INTO training SELECT t.digest, t.kind, t.label, "update", tokens, loss, learning_rate FROM '
            "read_parquet($files, filename = true) JOIN trained t ON t.digest = parse_path(filename)[-2]",
            {"files": paths},
        )
    corpora = [r for r in records.values() if r["kind"] == "corpus"]
    if corpora:
        rows = [
            {
                "step_digest": r["digest"],
                "prompt_digest": r["identity"]["params"]["grammar"],
                "family": r["identity"]["params"]["family"],
                "variant": r["identity"]["params"]["variant"],
                "access": r.get("access", "public"),
            }
            for r in corpora
        ]
        db.register("corpora", pa.Table.from_pylist(rows))
        db.execute(DOCUMENTS, {"files": [str(store.path("corpus", r["digest"]) / "rows.parquet") for r in corpora]})


def _record(store: Store, kind: str, step: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((store.path(kind, step) / "record.json").read_text(encoding="utf-8"))
    return record


def _study_row(manifest: dict[str, Any], there: set[str]) -> dict[str, Any]:
    scored = sum(c["step_digest"] in there for c in manifest["cells"])
    keys = ("study", "title", "hypothesis", "profile", "family", "family_version", "file", "correction")
    return {
        **{k: manifest[k] for k in keys},
        "access": manifest.get("access", "public"),
        "complete": scored == len(manifest["cells"]),
        "cells": len(manifest["cells"]),
        "cells_scored": scored,
        "manifest": json.dumps(manifest),
    }


def _arm_rows(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    keys = ("arm", "msm_spec", "aft_spec", "base_model", "seed", "aft_tokens", "midtrain_tokens", "model_digest")
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for manifest in found:
        for cell in manifest["cells"]:
            row = {"study": manifest["study"], "title": manifest["arms"][cell["arm"]]["title"], **{k: cell[k] for k in keys}}
            rows[tuple(row.values())] = row
    return list(rows.values())


_OWN = ("kind", "digest", "label", "identity", "files", "busy_s")


def _step_row(study: str, record: dict[str, Any]) -> dict[str, Any]:
    facts = {k: v for k, v in record.items() if k not in _OWN}
    return {
        "study": study,
        "step_digest": record["digest"],
        "kind": record["kind"],
        "label": record["label"],
        "busy_s": record.get("busy_s"),
        "bytes": sum(f["bytes"] for f in record["files"].values()),
        "tokens": record.get("tokens"),
        "updates": record.get("updates"),
        "supervised_tokens": record.get("supervised_tokens"),
        "device": record.get("device_name"),
        "tokens_per_s": record.get("tokens_per_s"),
        "peak_gib": record.get("peak_device_gib") or record.get("peak_rss_gib"),
        "mfu": record.get("mfu"),
        "energy_wh": record.get("energy_wh"),
        "cost_usd": record.get("cost_usd"),
        "identity": json.dumps(record["identity"]),
        "facts": json.dumps(facts),
    }


def _insert(db: duckdb.DuckDBPyConnection, table: str, rows: list[dict[str, Any]]) -> None:
    """Append rows by column name."""
    if rows:
        db.register("incoming", pa.Table.from_pylist(rows))
        db.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming")
        db.unregister("incoming")
