"""Kept imports, back into a database that is being built."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from specsci.core.errors import StoreError
from specsci.core.ids import digest
from specsci.database.manifest import Manifest
from specsci.results.sheet import sha256_of
from specsci.store.artifact import Store
from specsci.study.schema import IMPORTED

PROFILE = IMPORTED
FOLDER = "imports"


def step_digest(study: str, sha256: str, number: int) -> str:
    """What stands for the score step of an imported cell; two studies may have the same rows."""
    return digest({"study": study, "import": sha256, "cell": number})


def load_imports(db: duckdb.DuckDBPyConnection, store: Store, found: list[Manifest]) -> set[str]:
    """Put the rows of imported studies into the database; returns the step digests that are there.

    Raises:
        StoreError: a kept file is not what was written.
    """
    there: set[str] = set()
    for manifest in found:
        if manifest.profile == PROFILE:
            there |= load_import(db, store, manifest)
    return there


def load_import(db: duckdb.DuckDBPyConnection, store: Store, manifest: Manifest) -> set[str]:
    """Put the rows of one imported study into the database; returns the step digests that are there.

    Raises:
        StoreError: the kept file is not what was written.
    """
    imported = manifest.imported
    if imported is None:
        return set()
    path = store.root / FOLDER / manifest.study / imported.file
    try:
        data = path.read_bytes()
    except OSError:
        data = b""
    if sha256_of(data) != imported.sha256:
        raise StoreError(
            f"the import '{manifest.study}' is not what was written",
            where=str(path),
            hint=f"import {imported.source['file']} again with --replace",
        )
    digests = [cell.step_digest for cell in manifest.cells]
    kept = pq.read_table(pa.BufferReader(data))
    steps = pa.DictionaryArray.from_arrays(pa.compute.subtract(kept["number"].combine_chunks(), 1).cast(pa.int32()), digests)
    db.register("kept", kept.set_column(0, "step_digest", steps))
    try:
        if imported.level == "counts":
            db.execute("INSERT INTO count_rows SELECT * FROM kept")
        else:
            db.execute(
                "INSERT INTO score_rows (step_digest, item_id, cluster_id, readout, variant, sample, state, aligned) SELECT step_digest, item_id, cluster_id, 'imported', 'imported', sample, "
                "state, aligned FROM kept"
            )
    finally:
        db.unregister("kept")
    return set(digests)
