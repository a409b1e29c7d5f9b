"""Rows of a Parquet file that a user brings, as those of JSON Lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from specsci.core.errors import Problem
from specsci.core.jsonl import Row

PARQUET = b"PAR1"
READ_ROWS = 1024


def is_parquet(path: Path) -> bool:
    """Whether a file is Parquet, whatever its name."""
    with path.open("rb") as file:
        return file.read(len(PARQUET)) == PARQUET


def parquet_rows(path: Path, name: str) -> Iterator[Row | Problem]:
    """The rows of a file, by their number (from 1), and what keeps the rest from being read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=READ_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    yield Row(number, row)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        yield Problem(name, number + 1, 1, f"not readable Parquet: {str(error).splitlines()[0]}", "write the file anew")


