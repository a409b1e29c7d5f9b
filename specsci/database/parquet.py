"""Rows of Parquet files in DuckDB, so that no name of a file or a folder changes what is read.

DuckDB takes `*`, `?` and `[` in a path for patterns, and reads columns from folders that are named `column=value`. Here paths are
escaped, partitions are off, the rows are joined to the files by their full names, and every file that was named must have been read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from specsci.core.errors import StoreError

SOURCE = "read_parquet($files, filename = true, hive_partitioning = false, union_by_name = true)"
"""The rows of the files `$files` (see `escaped`), each with its `filename`. A column that one file has without a value takes its
type from the others."""


def escaped(paths: Sequence[Path | str]) -> list[str]:
    """Paths as patterns that each match that one file."""
    return ["".join(f"[{c}]" if c in "*?[" else c for c in str(p)) for p in paths]


def ingest(
    db: duckdb.DuckDBPyConnection,
    query: str,
    files: Mapping[str, Path],
    values: Mapping[str, Mapping[str, str | None]] | None = None,
    later: Sequence[str] = (),
    **params: Any,
) -> list[str]:
    """Run a query over the rows of one file per step.

    Args:
        query: an `INSERT INTO table SELECT named.step_digest, ...` over `{source}`, which has the rows as `r` and the steps as
            `named`; `step_digest` is the table's column of that name.
        later: columns of text that no file need have.
        files: step digest to its file.
        values: step digest to values of it, which the query has as `record.NAME`; all steps have the same names.

    Returns:
        The steps whose files hold no rows.

    Raises:
        StoreError: rows came from a file that was not named, or a file's rows are missing.
        duckdb.Error: a file cannot be read, or its columns do not fit.
    """
    named = {step: path.absolute() for step, path in files.items()}
    try:
        _insert(db, query, named, values, params)
    except duckdb.Error:  # a file without rows may have no columns either, and files of earlier versions lack later ones
        filled = {step: path for step, path in named.items() if rows_in(path)}
        there = {name for path in filled.values() for name in pq.read_schema(path).names} if later else set()
        lacking = [name for name in later if name not in there]
        if len(filled) == len(named) and not lacking:
            raise
        if filled:
            _insert(db, query, filled, values, params, lacking)
    found = {step for (step,) in db.execute(f"SELECT DISTINCT step_digest FROM {query.split()[2]}").fetchall()}
    empty = [step for step in sorted(named.keys() - found) if not rows_in(named[step])]
    missing = [named[step] for step in sorted(named.keys() - found) if step not in empty]
    if None in found or missing:
        raise StoreError(
            f"{len(missing)} of {len(files)} files of rows were not read, or others were",
            where=str(missing[0]) if missing else "",
            hint="move the store to a path of plain letters, and report this path",
        )
    return empty


def _insert(
    db: duckdb.DuckDBPyConnection,
    query: str,
    files: Mapping[str, Path],
    values: Mapping[str, Mapping[str, str | None]] | None,
    params: Mapping[str, Any],
    lacking: Sequence[str] = (),
) -> None:
    of_steps = [dict(values[step]) if values else {} for step in files]
    kept = pa.array(of_steps, pa.struct([(name, pa.string()) for name in (of_steps[0] if of_steps else ())]))
    columns = {"file": [str(p) for p in files.values()], "step_digest": list(files)}
    db.register("named", pa.table({**columns, **({"record": kept} if of_steps and of_steps[0] else {})}))
    try:
        added = ", ".join(f"NULL::VARCHAR AS {name}" for name in lacking)
        rows = f"(SELECT *, {added} FROM {SOURCE})" if added else SOURCE
        source = f"FROM {rows} r LEFT JOIN named ON named.file = r.filename"
        db.execute(query.format(source=source), {"files": escaped(list(files.values())), **params})
    finally:
        db.unregister("named")


def rows_in(path: Path) -> int:
    """How many rows a file has, from its own metadata.

    Raises:
        StoreError: it is not a Parquet file.
    """
    try:
        with path.open("rb") as handle:
            return int(pq.ParquetFile(handle).metadata.num_rows)
    except (pa.ArrowException, OSError) as error:
        raise StoreError(f"it cannot be read as Parquet: {error}", where=str(path), hint="run the study again") from error


def read_columns(path: Path, columns: list[str]) -> pa.Table:
    """Some columns of one file: opened here, so that no part of its name means anything."""
    with path.open("rb") as handle:
        return pq.ParquetFile(handle).read(columns=columns)
