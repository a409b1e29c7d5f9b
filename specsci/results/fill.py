"""Filling the tables of a new results.duckdb from manifests, records and rows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from specsci.core.errors import CorruptArtifact, SpecsciError, StoreError
from specsci.core.kinds import KINDS, Rows
from specsci.core.record import Record
from specsci.database.manifest import Manifest, damaged_manifests
from specsci.database.manifest_parts import Eval, Part
from specsci.database.parquet import ingest
from specsci.governance.claims import CLAIMS, Claim
from specsci.governance.grades import GRADES, Grades
from specsci.governance.json_records import damaged
from specsci.governance.registration import edited_locks
from specsci.governance.retired import RETIRED, Retired
from specsci.results.imports import load_imports
from specsci.store.artifact import Store
from specsci.store.record import MADE_ANEW, holds
from specsci.study.frame import FILE as FRAME

LeftOut = tuple[str, str, str, str, str]
"""Kind, name, study, reason, hint: a row of the table `left_out`."""


def fill(db: duckdb.DuckDBPyConnection, store: Store, found: list[Manifest]) -> list[LeftOut]:
    """Fill the tables; returns the artefacts that are damaged and left out.

    Raises:
        StoreError: a kept import is not what was written.
        duckdb.Error: a study's rows do not fit.
    """
    records, missing = _records(store, found)
    missing += _ingest_rows(db, store, records, found)
    there = {*records, *load_imports(db, store, found)}
    _insert(db, "studies", [_study_row(m, there) for m in found])
    _insert(db, "cells", [{"study": m.study, **_of(cell, _CELL), "subject": m.subject_of(cell)} for m in found for cell in m.cells])
    _insert(db, "evals", [_eval_row(m, name, spec) for m in found for name, spec in m.evals.items()])
    _insert(db, "arms", _arm_rows(found))
    _insert(db, "frames", _frame_rows(store, found, records))
    _insert(db, "steps", [_step_row(m.study, records[s]) for m in found for s in m.steps if s in records])
    _insert(db, "probes", [{"study": m.study, **probe.plain()} for m in found for probe in m.probes])
    return missing


def damaged_files(store: Store) -> list[LeftOut]:
    """Manifests, claims, locks and retirements of a store that cannot be read, and locks that are not as they were made."""
    out = [_row("manifest", error, Path(error.where).stem) for error in damaged_manifests(store)]
    written: tuple[tuple[str, str, type], ...] = (
        ("claim", CLAIMS, Claim), ("retirement", RETIRED, Retired), ("grades", GRADES, Grades),
    )  # fmt: skip
    for what, folder, kind in written:
        out += [_row(what, error, Path(error.where).stem) for error in damaged(store.root / folder, kind, what)]
    return out + [_row("lock", error, Path(error.where).stem) for error in edited_locks(store)]


def _row(kind: str, error: SpecsciError, study: str) -> LeftOut:
    return (kind, error.where, study, error.what, error.hint)


def _records(store: Store, found: list[Manifest]) -> tuple[dict[str, Record], list[LeftOut]]:
    """The records of all artefacts that are there and whole, and the rows of `left_out` of those that are not."""
    records: dict[str, Record] = {}
    missing: dict[str, LeftOut] = {}
    for manifest in found:
        for step, kind in manifest.steps.items():
            if step in records or step in missing or not (store.path(kind, step) / "record.json").is_file():
                continue
            try:
                file = holds(kind)
                records[step] = store.verify(kind, step, file) if file else store.record(kind, step)
            except CorruptArtifact as error:
                missing[step] = (kind, step, manifest.study, error.what, error.hint)
    return records, list(missing.values())


def _ingest_rows(
    db: duckdb.DuckDBPyConnection, store: Store, records: dict[str, Record], found: list[Manifest]
) -> list[LeftOut]:
    """Put the artefacts' rows into their tables; records of those whose rows are not a table are taken out of `records`."""
    missing: list[LeftOut] = []
    by_rows: dict[Rows, list[str]] = {}
    for step, record in records.items():
        kind = KINDS.get(record.kind)
        for rows in (kind.rows, *kind.more_rows) if kind is not None else ():
            if rows is not None:
                by_rows.setdefault(rows, []).append(step)
    for rows, steps in by_rows.items():
        for step, why in _ingest(db, store, rows, {s: records[s] for s in steps if s in records}).items():
            study = next(m.study for m in found if step in m.steps)
            missing.append((records[step].kind, step, study, why, MADE_ANEW))
            del records[step]
    return missing


def _ingest(db: duckdb.DuckDBPyConnection, store: Store, rows: Rows, records: dict[str, Record]) -> dict[str, str]:
    """Put files into a table, all at once; where that fails, one by one, and say which do not fit and why."""
    files = {step: store.path(r.kind, step) / rows.file for step, r in records.items()}
    values = {step: {name: _at(r, path) for name, path in rows.of_record} for step, r in records.items()}
    query = f"INSERT INTO {rows.table} SELECT named.step_digest, {rows.select} {{source}}"
    unfit = (duckdb.InvalidInputException, duckdb.BinderException, duckdb.ConversionException, StoreError)
    try:
        ingest(db, query, files, values, rows.later)
        return {}
    except unfit:
        db.execute(f"DELETE FROM {rows.table} WHERE step_digest IN (SELECT unnest($steps))", {"steps": list(files)})
    bad: dict[str, str] = {}
    for step, path in files.items():
        try:
            ingest(db, query, {step: path}, {step: values[step]}, rows.later)
        except unfit as error:
            bad[step] = f"its rows do not fit: {str(error).splitlines()[0]}"
    return bad


def _at(record: Record, path: str) -> str | None:
    """The text at the first dotted path of several (`|` between them) that a record has; None where it has none."""
    for one in path.split("|"):
        value: Any = record.plain()
        for key in one.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            return str(value)
    return None


_CELL = (
    "arm", "base_model", "msm_spec", "aft_spec", "aft_tokens", "midtrain_tokens", "seed", "eval", "step_digest", "items_digest",
    "samples_digest", "harness", "frame_digest", "judgements_digest", "second_digest",
)  # fmt: skip


def _study_row(manifest: Manifest, there: set[str]) -> dict[str, Any]:
    scored = sum(c.step_digest in there for c in manifest.cells)
    keys = ("study", "title", "hypothesis", "profile", "family", "family_version", "file", "correction", "access")
    return {
        **_of(manifest, keys),
        "complete": scored == len(manifest.cells),
        "cells": len(manifest.cells),
        "cells_scored": scored,
        "manifest": json.dumps(manifest.plain()),
    }


def _eval_row(manifest: Manifest, name: str, spec: Eval) -> dict[str, Any]:
    """An eval's row; which readouts its rows have is filled in once they are there."""
    told = manifest.readout_of(name)
    return {
        "study": manifest.study,
        "eval": name,
        "kind": spec.kind,
        "role": spec.role,
        "items": spec.items,
        "outcome": told.outcome,
        "readout": told.readout,
        "harness": spec.harness,
    }


def _frame_rows(store: Store, found: list[Manifest], records: dict[str, Record]) -> list[dict[str, Any]]:
    """What stood around the questions of a condition or of an arm's prompt, once for each study that asks so."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for manifest in found:
        for cell in manifest.cells:
            step, prompt = cell.frame_digest, manifest.arms[cell.arm].prompt
            if step in records:
                place = {"step_digest": step, "study": manifest.study, "harness": cell.harness, "prompt": prompt}
                rows[manifest.study, step, cell.harness] = place
    texts = {step: (store.path("frame", step) / FRAME).read_text(encoding="utf-8") for _, step, _ in rows}
    return [{**row, "frame": texts[row["step_digest"]]} for row in rows.values()]


def _of(part: Part, keys: Iterable[str]) -> dict[str, Any]:
    return {k: getattr(part, k) for k in keys}


def _arm_rows(found: list[Manifest]) -> list[dict[str, Any]]:
    keys = ("arm", "msm_spec", "aft_spec", "base_model", "seed", "aft_tokens", "midtrain_tokens", "model_digest")
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for manifest in found:
        for cell in manifest.cells:
            row = {"study": manifest.study, "title": manifest.arms[cell.arm].title, **_of(cell, keys)}
            rows[tuple(row.values())] = row
    return list(rows.values())


def _step_row(study: str, record: Record) -> dict[str, Any]:
    facts = record.facts
    return {
        "study": study,
        "step_digest": record.digest,
        "kind": record.kind,
        "label": record.label,
        "busy_s": record.busy_s,
        "bytes": sum(f.bytes for f in record.files.values()),
        "tokens": facts.get("tokens"),
        "updates": facts.get("updates"),
        "supervised_tokens": facts.get("supervised_tokens"),
        "device": facts.get("device_name"),
        "tokens_per_s": facts.get("tokens_per_s"),
        "peak_gib": facts.get("peak_device_gib") or facts.get("peak_rss_gib"),
        "mfu": facts.get("mfu"),
        "energy_wh": facts.get("energy_wh"),
        "cost_usd": facts.get("cost_usd"),
        "identity": json.dumps(record.plain()["identity"]),
        "facts": json.dumps({"access": record.access, **facts} if "access" in record.model_fields_set else facts),
    }


def _insert(db: duckdb.DuckDBPyConnection, table: str, rows: list[dict[str, Any]]) -> None:
    """Append rows by column name."""
    if rows:
        db.register("incoming", pa.Table.from_pylist(rows))
        db.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming")
        db.unregister("incoming")
