"""Results as files for others, under the access label of what they come from."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from specsci.core.errors import SpecsciError, UserError, nearest
from specsci.core.files import leftovers, remove, temporary_beside, unwritable
from specsci.core.kinds import names
from specsci.database.connection import connect
from specsci.database.manifest import Manifest, manifests
from specsci.governance.release import check_release, lowering, now, record_lowering
from specsci.specs.schema import ACCESS
from specsci.store.artifact import Store, write_json

TABLES = ("scores", "rates", "arms", "contrasts", "token_efficiency", "documents", "training")


def label_of(store: Store, manifest: Manifest) -> str:
    """The highest access label among a study's family and its artefacts; raises CorruptArtifact where one cannot be read."""
    labels: set[str] = {manifest.access}
    labelled = names(lambda kind: kind.labelled)
    for digest, kind in manifest.steps.items():
        path = store.path(kind, digest) / "record.json"
        if kind in labelled and path.is_file():
            labels.add(store.record(kind, digest).access)
    return max(labels, key=lambda label: ACCESS.index(label) if label in ACCESS else len(ACCESS) - 1)


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
    check_release("the results", label, wanted, declassify)
    lowered = lowering(label, wanted, declassify)
    facts: dict[str, Any] = {
        "study": study,
        "access": wanted,
        "family": known[study].family,
        "family_version": known[study].family_version,
        "exported_at": now(),
        "declassified": lowered,
    }
    if lowered:
        record_lowering(store.root, {**facts, "to": str(target)})
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
