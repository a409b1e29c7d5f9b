"""Parquet files as sheets: columns of texts and numbers, and nothing else."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from specsci.core.errors import InputFileError, Problem
from specsci.results.sheet import MOST_ROWS, Column, Sheet, column_name, refused, sha256_of

MAGIC = b"PAR1"
EXACT = {"halffloat": 2**11, "float": 2**24, "double": 2**53}
"""Up to where every whole number has a float of its own, by type."""


def read_columnar(data: bytes, file: str, known: Collection[str] = ()) -> Sheet:
    """A Parquet file's columns; truth values are refused where a column is known, and else are the texts `true` and `false`.

    Raises:
        InputFileError: it is cut short, holds too many rows, or has a column of another kind than text or number.
    """
    try:
        parquet = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        if parquet.metadata.num_rows > MOST_ROWS:
            raise refused(file, f"holds {parquet.metadata.num_rows:,} rows, and at most {MOST_ROWS:,} are read")
        schema = parquet.schema_arrow
        flags = [f.name for f in schema if types.is_boolean(f.type) and column_name(f.name) not in known]
        _check(schema, file, flags)
        texts = [f.name for f in schema if types.is_string(f.type) or types.is_large_string(f.type)]
        table = pq.ParquetFile(pa.BufferReader(data), read_dictionary=texts, page_checksum_verification=True).read()
        table.validate(full=True)
        for name in flags:
            table = table.set_column(table.column_names.index(name), name, table.column(name).cast(pa.string()))
        columns = {name: _column(table.column(name)) for name in table.column_names}
    except (pa.ArrowException, OSError, UnicodeDecodeError, MemoryError) as error:
        if isinstance(error, InputFileError):
            raise
        what = (str(error).splitlines() or ["it is damaged"])[0]
        raise refused(file, f"cannot be read as Parquet: {what}") from error
    names = {name: column_name(name) for name in columns}
    order = {name: number for number, name in enumerate(names.values(), 1)}
    return Sheet(
        file, sha256_of(data), {names[n]: c for n, c in columns.items()}, table.num_rows,
        lambda row, column: (max(row + 1, 1), order.get(column or "", 1)), "row",
    )  # fmt: skip


def _check(schema: pa.Schema, file: str, flags: Collection[str]) -> None:
    """Refuse kinds of columns that are neither text nor numbers, and two of one name."""
    problems, seen = [], set()
    for number, found in enumerate(schema, 1):
        kind = found.type.value_type if types.is_dictionary(found.type) else found.type
        if not _is_plain(kind) and found.name not in flags:
            what = f"column '{found.name}' is of type {kind}"
            problems.append(Problem(file, 1, number, what, "write texts as text and counts as whole numbers"))
        if (name := column_name(found.name)) in seen:
            problems.append(Problem(file, 1, number, f"two columns are named '{name}'"))
        seen.add(name)
    if problems:
        raise InputFileError(problems)


def _is_plain(kind: pa.DataType) -> bool:
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    number = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    return bool(text or number or types.is_null(kind))


def _column(found: pa.ChunkedArray) -> Column:
    """Distinct values, and the number of each row's."""
    if types.is_null(found.type):
        return Column([None], np.zeros(len(found), np.int32))
    if types.is_string_view(found.type):
        found = found.cast(pa.large_string())
    encoded = found if types.is_dictionary(found.type) else found.dictionary_encode()
    whole = encoded.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], whole.type)
    values: list[Any] = [_plain(v, whole.type.value_type) for v in whole.dictionary.to_pylist()]
    codes = whole.indices.fill_null(len(values)).to_numpy(zero_copy_only=False).astype(np.int32)
    return Column([*values, None], codes)


def _plain(value: Any, kind: pa.DataType) -> Any:
    """A value; a float that may stand for several whole numbers is left a text that is none."""
    if isinstance(value, float):
        if value != value:
            return None
        if abs(value) > EXACT[str(kind)]:
            return f"{value!r} (rounded)"
    return value
