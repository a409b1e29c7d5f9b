"""Judgements as an artefact: what a judge said of each answer, and of the texts that tell how far it can be trusted."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

JUDGEMENTS = "judgements.parquet"
ROWS = pa.schema(
    [
        ("item_id", pa.string()),
        ("cluster_id", pa.string()),
        ("variant", pa.string()),
        ("sample", pa.int64()),
        ("readout", pa.string()),
        ("role", pa.string()),
        ("judge", pa.string()),
        ("state", pa.string()),
        ("score", pa.int64()),
        ("expected", pa.int64()),
        ("reason", pa.string()),
        ("request_digest", pa.string()),
    ]
)


def write_judgements(folder: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write judgements in their order."""
    pq.write_table(pa.Table.from_pylist(list(rows), ROWS), folder / JUDGEMENTS, compression="zstd")


def read_judgements(folder: Path) -> list[dict[str, Any]]:
    """The judgements of an artefact, in their order."""
    with (folder / JUDGEMENTS).open("rb") as handle:
        rows: list[dict[str, Any]] = pq.ParquetFile(handle).read().to_pylist()
    return rows
