"""Filling the tables of a new results.duckdb from manifests, records and rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from specsci.core.errors import CorruptArtifact, SpecsciError, StoreError
from specsci.results.claims import CLAIMS, Claim
from specsci.results.imports import load_imports
from specsci.results.manifest import damaged_manifests
from specsci.results.parquet import ingest
from specsci.results.registration import edited_locks
from specsci.results.retired import RETIRED, Retired
from specsci.results.written import damaged
from specsci.store.artifact import Store
from specsci.store.record import HOLDS, MADE_ANEW

LeftOut = tuple[str, str, str, str, str]
"""Kind, name, study, reason, hint: a row of the table `left_out`."""
SCORES = """INSERT INTO score_rows
  SELECT named.step_digest, r.item_id, r.cluster_id, r.readout, r.variant, r.sample, r.state, r.aligned, r.value, r.slice,
         r.logprob_aligned, r.logprob_misaligned {source}"""
DOCUMENTS = """INSERT INTO documents
  SELECT named.step_digest, r.row, r.text, r.tokens, r.spec_digest, r.clause_id, r.unit_id, r.cell, r.backend,
         r.template_id, r.seed, p.prompt_digest, p.family, p.variant AS msm_spec, p.access
  {source} LEFT JOIN corpora p ON p.step_digest = named.step_digest"""
PROBES = "INSERT INTO probe_rows SELECT named.step_digest, r.row, r.tokens, r.nll {source}"
TRAINING = """INSERT INTO training
  SELECT named.step_digest, t.kind, t.label, r."update", r.tokens, r.loss, r.learning_rate
  {source} LEFT JOIN trained t ON t.digest = named.step_digest"""


def fill(db: duckdb.DuckDBPyConnection, store: Store, found: list[dict[str, Any]]) -> list[LeftOut]:
    """Fill the tables; returns the artefacts that are damaged and left out.

    Raises:
        StoreError: a kept import is not what was written.
        duckdb.Error: a study's rows do not fit.
    """
    records, missing = _records(store, found)
    missing += _ingest_rows(db, store, records, found)
    there = {*records, *load_imports(db, store, found)}
    _insert(db, "studies", [_study_row(m, there) for m in found])
    cells = [{"study": m["study"], **cell} for m in found for cell in m["cells"]]
    keys = ("arm", "base_model", "msm_spec", "aft_spec", "aft_tokens", "midtrain_tokens", "seed", "eval", "step_digest")
    _insert(db, "cells", [{"study": c["study"], **{k: c[k] for k in keys}} for c in cells])
    _insert(db, "arms", _arm_rows(found))
    _insert(db, "steps", [_step_row(m["study"], records[s]) for m in found for s in m["steps"] if s in records])
    _insert(db, "probes", [{"study": m["study"], **probe} for m in found for probe in m.get("probes", [])])
    return missing


def damaged_files(store: Store) -> list[LeftOut]:
    """Manifests, claims, locks and retirements of a store that cannot be read, and locks that are not as they were made."""
    out = [_row("manifest", error, Path(error.where).stem) for error in damaged_manifests(store)]
    written: tuple[tuple[str, str, type], ...] = (
        ("claim", CLAIMS, Claim), ("retirement", RETIRED, Retired),
    )  # fmt: skip
    for what, folder, kind in written:
        out += [_row(what, error, Path(error.where).stem) for error in damaged(store.root / folder, kind, what)]
    return out + [_row("lock", error, Path(error.where).stem) for error in edited_locks(store)]


def _row(kind: str, error: SpecsciError, study: str) -> LeftOut:
    return (kind, error.where, study, error.what, error.mend)


def _records(store: Store, found: list[dict[str, Any]]) -> tuple[dict[str, dict[str, Any]], list[LeftOut]]:
    """The records of all artefacts that are there and whole, and the rows of `left_out` of those that are not."""
    records: dict[str, dict[str, Any]] = {}
    missing: dict[str, LeftOut] = {}
    for manifest in found:
        for step, kind in manifest["steps"].items():
            if step in records or step in missing or not (store.path(kind, step) / "record.json").is_file():
                continue
            try:
                records[step] = store.verify(kind, step, HOLDS[kind]) if kind in HOLDS else store.record(kind, step)
            except CorruptArtifact as error:
                missing[step] = (kind, step, manifest["study"], error.what, error.mend)
    return records, list(missing.values())


def _ingest_rows(
    db: duckdb.DuckDBPyConnection, store: Store, records: dict[str, dict[str, Any]], found: list[dict[str, Any]]
) -> list[LeftOut]:
    """Put the artefacts' rows into their tables; records of those whose rows are no table are taken out of `records`."""
    trained = [{k: r.get(k, "") for k in ("digest", "kind", "label")} for r in records.values()]
    corpora = [_corpus_row(r) for r in records.values() if r["kind"] == "corpus"]
    db.register("trained", pa.Table.from_pylist(trained or [{"digest": "", "kind": "", "label": ""}]))
    if corpora:
        db.register("corpora", pa.Table.from_pylist(corpora))
    missing: list[LeftOut] = []
    for kinds, table, query in (
        (("score",), "score_rows", SCORES), (("probe",), "probe_rows", PROBES),
        (("midtrain", "align"), "training", TRAINING), (("corpus",), "documents", DOCUMENTS),
    ):  # fmt: skip
        files = {s: store.path(r["kind"], s) / HOLDS[r["kind"]] for s, r in records.items() if r["kind"] in kinds}
        for step, why in _ingest(db, table, query, files).items():
            study = next(m["study"] for m in found if step in m["steps"])
            missing.append((records[step]["kind"], step, study, why, MADE_ANEW))
            del records[step]
    return missing


def _ingest(db: duckdb.DuckDBPyConnection, table: str, query: str, files: Mapping[str, Path]) -> dict[str, str]:
    """Put files into a table, all at once; where that fails, one by one, and say which do not fit and why."""
    if not files:
        return {}
    try:
        ingest(db, query, files)
        return {}
    except (duckdb.InvalidInputException, duckdb.BinderException, duckdb.ConversionException, StoreError):
        db.execute(f"DELETE FROM {table}")
    bad: dict[str, str] = {}
    for step, path in files.items():
        try:
            ingest(db, query, {step: path})
        except (duckdb.InvalidInputException, duckdb.BinderException, duckdb.ConversionException, StoreError) as error:
            bad[step] = f"its rows do not fit: {str(error).splitlines()[0]}"
    return bad


def _corpus_row(record: dict[str, Any]) -> dict[str, Any]:
    params = record["identity"]["params"]
    return {
        "step_digest": record["digest"],
        "prompt_digest": params["grammar"],
        "family": params["family"],
        "variant": params["variant"],
        "access": record.get("access", "public"),
    }


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


_OWN = ("format", "seal", "kind", "digest", "label", "identity", "files", "busy_s")


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
