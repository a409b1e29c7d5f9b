"""Items as an artefact: filled in and checked once, so that whoever asks them reads no family."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from specsci.specs.items import Item

ITEMS = "items.parquet"
_COLUMNS = ("item_id", "cluster_id", "prompt", "aligned", "misaligned", "slice", "statement", "expected")


def write_item_rows(folder: Path, items: list[Item]) -> None:
    """Write items into an artefact's folder, in their order."""
    schema = pa.schema([(name, pa.string()) for name in _COLUMNS])
    pq.write_table(pa.Table.from_pylist([asdict(item) for item in items], schema), folder / ITEMS)


def read_item_rows(folder: Path) -> list[Item]:
    """The items of an artefact, in their order."""
    with (folder / ITEMS).open("rb") as handle:
        file = pq.ParquetFile(handle)
        there = [name for name in _COLUMNS if name in file.schema_arrow.names]  # the last two are not in artefacts of earlier versions
        return [Item(**row) for row in file.read(columns=there).to_pylist()]
