"""The rows that every eval kind writes: one answer of one model each."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from specsci.core.errors import StepFailed

SCORES = "scores.parquet"
ROWS = pa.schema(
    [
        ("item_id", pa.string()),
        ("cluster_id", pa.string()),
        ("slice", pa.string()),
        ("readout", pa.string()),
        ("variant", pa.string()),
        ("sample", pa.int64()),
        ("state", pa.string()),
        ("aligned", pa.bool_()),
        ("value", pa.float64()),
        ("logprob_aligned", pa.float64()),
        ("logprob_misaligned", pa.float64()),
        ("wire_digest", pa.string()),
    ]
)
"""A score file's columns: written down, so that they are there, with their types, where no row or no value is."""
State = Literal["ok", "refused", "unparsed", "truncated", "error", "not_expressible"]
STATES: tuple[str, ...] = ("ok", "refused", "unparsed", "truncated", "error", "not_expressible")


def write_scores(folder: Path, rows: Iterable[dict[str, Any]], *, binary: bool) -> dict[str, int]:
    """Write score rows; returns the counts `attempted`, `valid` and `aligned` of the first readout for the step's record.

    Raises:
        StepFailed: a row is none: an unknown column or state, an answer that is not an answer, or two rows of one question.
    """
    kept = [_checked(row, binary) for row in rows]
    keys = [(r["item_id"], r["readout"], r["variant"], r["sample"]) for r in kept]
    if len(set(keys)) != len(keys):
        twice = next(k for k in keys if keys.count(k) > 1)
        raise StepFailed(f"two score rows of one question: {twice}", hint="give repeats another `sample`")
    pq.write_table(pa.Table.from_pylist(kept, ROWS), folder / SCORES)
    first = [r for r in kept if r["readout"] == kept[0]["readout"]]
    valid = [r for r in first if r["state"] == "ok"]
    counts = {"attempted": len(first), "valid": len(valid)}
    return {**counts, "aligned": sum(bool(r["aligned"]) for r in valid)} if binary else counts


def _checked(row: dict[str, Any], binary: bool) -> dict[str, Any]:
    """A row with every column; an answer where the state is `ok`, and none elsewhere."""
    full = {"variant": "single", "sample": 0, **dict.fromkeys(set(ROWS.names) - {"variant", "sample"}), **row}
    if unknown := row.keys() - set(ROWS.names):
        raise StepFailed(f"a score row has the unknown columns {sorted(unknown)}", hint=f"columns: {', '.join(ROWS.names)}")
    if not full["item_id"] or not full["readout"] or full["state"] not in STATES:
        raise StepFailed(f"a score row needs item_id, readout and a state of {', '.join(STATES)}: {row}")
    answer = full["aligned"] if binary else full["value"]
    if (answer is not None) != (full["state"] == "ok"):
        what = "aligned" if binary else "value"
        raise StepFailed(f"a score row has `{what}` exactly where its state is ok: {row}")
    return full
