"""Text rows on disk: Parquet with tokens, the supervision mask, and one column per provenance field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from specsci.core.token_row import TokenRow

ROWS = "rows.parquet"


def write_rows(folder: Path, texts: list[str], rows: list[TokenRow], provenance: dict[str, list[Any]]) -> None:
    """Write rows with their text, tokens, mask and provenance columns (all of one length)."""
    pq.write_table(_table(texts, rows, provenance, 0), folder / ROWS, compression="zstd")


def _table(texts: list[str], rows: list[TokenRow], provenance: Mapping[str, Any], first: int) -> pa.Table:
    columns: dict[str, Any] = {
        "row": pa.array(range(first, first + len(rows)), pa.int32()),
        "text": texts,
        "tokens": pa.array([len(r.input_ids) for r in rows], pa.int32()),
        "input_ids": pa.array([r.input_ids for r in rows], pa.list_(pa.int32())),
        "supervised": pa.array([r.supervised for r in rows], pa.list_(pa.bool_())),
        **provenance,
    }
    return pa.table(columns)


class RowWriter:
    """Writes rows part by part, for texts that need not lie in memory together; a part's columns are those of the first."""

    def __init__(self, folder: Path) -> None:
        self.path, self.count = folder / ROWS, 0
        self._writer: pq.ParquetWriter | None = None

    def write(self, texts: list[str], rows: list[TokenRow], provenance: dict[str, pa.Array]) -> None:
        """Append rows with their text, tokens, mask and provenance columns (all of one length)."""
        table = _table(texts, rows, provenance, self.count)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self.path, table.schema, compression="zstd")
        self._writer.write_table(table)
        self.count += len(rows)

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.close()


def read_token_rows(folder: Path) -> list[TokenRow]:
    """The rows as the trainer takes them, in file order."""
    table = _read(folder, ["input_ids", "supervised"])
    ids, masks = table["input_ids"].to_pylist(), table["supervised"].to_pylist()
    return [TokenRow(i, m) for i, m in zip(ids, masks, strict=True)]


def read_texts(folder: Path) -> list[str]:
    """The rows' texts, in file order."""
    texts: list[str] = _read(folder, ["text"])["text"].to_pylist()
    return texts


@dataclass(frozen=True)
class Once:
    """Texts of an artefact, each row of a source once: their places, from 0, and clause ids, empty where a row has none."""

    texts: list[str]
    labels: list[str]
    places: list[int]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.texts)


def read_once(folder: Path) -> Once:
    """The texts in file order; a source's row that was taken in several passes is there once."""
    with (folder / ROWS).open("rb") as handle:
        file = pq.ParquetFile(handle)
        names = [n for n in ("text", "clause_id", "source_file", "source_row") if n in file.schema_arrow.names]
        rows = list(enumerate(file.read(columns=names).to_pylist()))
    if "source_row" in names:
        rows = list({(r["source_file"], r["source_row"]): (n, r) for n, r in reversed(rows)}.values())[::-1]
    return Once([r["text"] for _, r in rows], [r.get("clause_id") or "" for _, r in rows], [n for n, _ in rows])


def _read(folder: Path, columns: list[str]) -> pa.Table:
    """Columns of the one file; it is opened here, so that no part of its path is taken for a pattern or a partition."""
    with (folder / ROWS).open("rb") as handle:
        return pq.ParquetFile(handle).read(columns=columns)


def conversation_text(messages: list[dict[str, Any]]) -> str:
    """A conversation as one plain text, one line a turn; calls of tools as JSON behind what is said."""
    return "\n".join(f"{m['role']}: {m['content']}{_calls(m)}" for m in messages)


def _calls(message: dict[str, Any]) -> str:
    return "".join(f" {json.dumps(call['function'], ensure_ascii=False)}" for call in message.get("tool_calls", ()))
