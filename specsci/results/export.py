"""Results as files for others, under the access label of what they come from."""

from __future__ import annotations

import getpass
import json
import os
import time
from pathlib import Path
from typing import IO, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from specsci.core.errors import GateRefused, SpecsciError, StoreError, UserError, nearest
from specsci.core.files import leftovers, remove, temporary_beside, unwritable
from specsci.core.kinds import names
from specsci.database.connection import connect
from specsci.database.manifest import Manifest, manifests
from specsci.specs.schema import ACCESS
from specsci.store.artifact import Store, write_json

TABLES = ("scores", "rates", "arms", "contrasts", "token_efficiency", "documents", "training")
DECLASSIFIED = "declassified.jsonl"


def label_of(store: Store, manifest: Manifest) -> str:
    """The highest access label among a study's family and its artefacts; raises CorruptArtifact where one cannot be read."""
    labels: set[str] = {manifest.access}
    labelled = names(lambda kind: kind.labelled)
    for digest, kind in manifest.steps.items():
        path = store.path(kind, digest) / "record.json"
        if kind in labelled and path.is_file():
            labels.add(store.record(kind, digest).access)
    return max(labels, key=lambda label: ACCESS.index(label) if label in ACCESS else len(ACCESS) - 1)


def check_release(data_label: str, wanted: str, declassify: str | None) -> None:
    """Refuse to give data a lower label than its own without a reason in writing.

    Raises:
        GateRefused: the wanted label is lower and there is no reason.
    """
    if ACCESS.index(wanted) < ACCESS.index(data_label) and not (declassify or "").strip():
        raise GateRefused(
            f"the results are {data_label} and would be exported as {wanted}",
            hint=f"export them as {data_label}, or give --declassify REASON, which is recorded",
        )


def export(store: Store, study: str, target: Path, *, access: str | None = None, declassify: str | None = None) -> Path:
    """Write a study's tables as Parquet files into a new directory, with `export.json` to say what they are.

    Raises:
        UserError: no such study, or a target that is there.
        GateRefused: the label would be lowered without a reason.
    """
    known = {m.study: m for m in manifests(store)}
    if study not in known:
        raise UserError(f"no study '{study}' in {store.root}", hint=nearest(study, known))
    if target.exists():
        raise UserError(f"{target} is there already", hint="name a new directory")
    label = label_of(store, known[study])
    wanted = access or label
    check_release(label, wanted, declassify)
    lowered = wanted != label and ACCESS.index(wanted) < ACCESS.index(label)
    facts: dict[str, Any] = {
        "study": study,
        "access": wanted,
        "family": known[study].family,
        "family_version": known[study].family_version,
        "exported_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "declassified": {"from": label, "reason": declassify, "by": _user()} if lowered else None,
    }
    if lowered:
        _record(store, {**facts, "to": str(target)})
    for left in leftovers(target.absolute().parent, target.name):
        remove(left)
    temporary = temporary_beside(target)
    try:
        temporary.mkdir(parents=True)
        facts["rows"] = _write_tables(store, study, temporary)
        write_json(temporary / "export.json", facts)
        temporary.rename(target)
    except (duckdb.Error, OSError) as error:
        if isinstance(error, SpecsciError):
            raise
        raise unwritable(target, error, "the export") from error
    finally:
        remove(temporary)
    return target


def _write_tables(store: Store, study: str, folder: Path) -> dict[str, int]:
    rows: dict[str, int] = {}
    with connect(store.root) as db:
        there = {name for (name,) in db.execute("SELECT table_name FROM information_schema.tables").fetchall()}
        for name in TABLES:
            if name not in there:
                continue
            chosen = f"SELECT * FROM {name} WHERE {_where(name)}"
            batches, rows[name] = db.sql(chosen, params=[study]).to_arrow_reader(), 0
            with (folder / f"{name}.parquet").open("wb") as handle, _writer(handle, batches.schema) as out:
                for batch in batches:
                    out.write_batch(batch)
                    rows[name] += batch.num_rows
    return rows


def _writer(handle: IO[bytes], schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(handle, schema, compression="zstd")


def _where(table: str) -> str:
    if table in ("documents", "training"):
        return "step_digest IN (SELECT step_digest FROM steps WHERE study = ?)"
    return "study = ?"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _record(store: Store, facts: dict[str, Any]) -> None:
    """Append a lowering of a label to the store's own list, before anything leaves."""
    try:
        with (store.root / DECLASSIFIED).open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(facts) + "\n")
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as error:
        raise StoreError(
            f"the declassification cannot be recorded: {error}", where=str(store.root), hint="free space"
        ) from error
