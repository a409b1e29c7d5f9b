"""Answers in words, as an artefact: what was asked, what was said, and how it ended."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SAMPLES = "samples.parquet"
ROWS = pa.schema(
    [
        ("item_id", pa.string()),
        ("cluster_id", pa.string()),
        ("variant", pa.string()),
        ("sample", pa.int64()),
        ("prompt", pa.string()),
        ("reply", pa.string()),
        ("state", pa.string()),
        ("input_tokens", pa.int64()),
        ("output_tokens", pa.int64()),
    ]
)
"""Columns of a file of samples; `prompt` is the text that the model was given."""


def write_samples(folder: Path, rows: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Write samples; returns counts for the step's record: answers, those that were cut off, tokens."""
    kept = list(rows)
    pq.write_table(pa.Table.from_pylist(kept, ROWS), folder / SAMPLES, compression="zstd")
    return {
        "answers": len(kept),
        "truncated": sum(r["state"] == "truncated" for r in kept),
        "output_tokens": sum(r["output_tokens"] for r in kept),
    }


def read_samples(folder: Path) -> list[dict[str, Any]]:
    """The samples of an artefact, in their order."""
    with (folder / SAMPLES).open("rb") as handle:
        rows: list[dict[str, Any]] = pq.ParquetFile(handle).read().to_pylist()
    return rows
