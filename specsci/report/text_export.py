"""A corpus or a set of conversations as a file for others, with its card, under its access label."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from specsci.core.errors import UserError
from specsci.core.files import temporary_beside, unwritable, write_whole
from specsci.core.ids import file_sha256
from specsci.core.record import Record
from specsci.core.rows import ROWS
from specsci.governance.release import check_release, lowering, now, record_lowering
from specsci.report.cards import data_card
from specsci.sources.origin import Origin, origin_path, write_origin
from specsci.store.artifact import Store

ENDINGS = (".jsonl", ".parquet")
TRAINED = ("row", "input_ids", "supervised")
"""Columns for the trainer, which are left out: they depend on a tokenizer."""
NAMES = {"cell": "doc_type", "template_id": "source"}
"""Columns by the names under which a study reads them back."""
READ_ROWS = 1024


@dataclass(frozen=True)
class Exported:
    """What was written: the file, its card (none of conversations and pools), rows and label."""

    file: Path
    card: Path | None
    rows: int
    access: str


def export_texts(
    store: Store, record: Record, target: Path, *, access: str | None = None, declassify: str | None = None
) -> Exported:
    """Write the rows of a step's artefact as JSON Lines or Parquet: what a study reads back as texts of its own.

    Raises:
        UserError: another ending, a target that is there or cannot be written.
        GateRefused: the label would be lowered without a reason.
        CorruptArtifact: the artefact is not what was written.
    """
    if target.suffix.lower() not in ENDINGS:
        raise UserError(f"'{target.name}' does not end in {' or '.join(ENDINGS)}", hint="name the file so")
    card = target.with_suffix(".md") if record.kind == "corpus" else None
    for path in (target, card, origin_path(target)):
        if path is not None and path.exists():
            raise UserError(f"{path} is there already", hint="name another file")
    wanted = access or record.access
    check_release("the texts", record.access, wanted, declassify)
    store.verify(record.kind, record.digest, ROWS)
    if lowered := lowering(record.access, wanted, declassify):
        what = {"texts": f"{record.kind} {record.digest}", "access": wanted, "exported_at": now(), "declassified": lowered}
        record_lowering(store.root, {**what, "to": str(target)})
    source = store.path(record.kind, record.digest) / ROWS
    write = _json_lines if target.suffix.lower() == ".jsonl" else _parquet
    temporary = temporary_beside(target)
    try:
        rows = write(_rows(source), temporary)
        write_origin(target, Origin(f"{record.kind} {record.digest}", wanted, rows=rows, sha256=file_sha256(temporary)))
        temporary.replace(target)
        if card is not None:
            text = data_card(store, record)
            write_whole(card, lambda part: part.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise unwritable(target, error, "the export") from error
    finally:
        temporary.unlink(missing_ok=True)
    return Exported(target, card, rows, wanted)


def _rows(source: Path) -> Iterator[list[dict[str, Any]]]:
    """The rows part by part: text or messages, and where each comes from."""
    with source.open("rb") as handle:
        file = pq.ParquetFile(handle)
        columns = [name for name in file.schema_arrow.names if name not in TRAINED]
        for batch in file.iter_batches(batch_size=READ_ROWS, columns=columns):
            yield [{NAMES.get(k, k): v for k, v in row.items() if v not in (None, "")} for row in batch.to_pylist()]


def _json_lines(parts: Iterator[list[dict[str, Any]]], target: Path) -> int:
    count = 0
    with target.open("w", encoding="utf-8") as out:
        for rows in parts:
            out.writelines(json.dumps(_plain(row), ensure_ascii=False) + "\n" for row in rows)
            count += len(rows)
    return count


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row without JSON in its values: messages as a list, and what a file said besides as keys of its own."""
    if "messages" in row:
        tools = {"tools": json.loads(row["tools"])} if "tools" in row else {}
        said = {"messages": json.loads(row["messages"]), **tools}
        return said | {k: v for k, v in row.items() if k not in (*said, "text")}
    more = json.loads(row["provenance"]) if "provenance" in row else {}
    return {**more, **{k: v for k, v in row.items() if k != "provenance"}}


def _columnar(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Messages whose calls have their arguments as JSON text: Parquet gives every object of a column the same keys."""
    for call in (call for m in messages for call in m.get("tool_calls", ())):
        call["function"]["arguments"] = json.dumps(call["function"]["arguments"], ensure_ascii=False)
    return messages


def _parquet(parts: Iterator[list[dict[str, Any]]], target: Path) -> int:
    tables = []
    for rows in parts:
        said = [{**r, "messages": _columnar(json.loads(r["messages"]))} if "messages" in r else r for r in rows]
        names = dict.fromkeys(name for row in said for name in row)
        tables.append(pa.table({name: [row.get(name) for row in said] for name in names}))
    table = pa.concat_tables(tables, promote_options="permissive")
    pq.write_table(table, target, compression="zstd")
    return int(table.num_rows)
