"""Texts from data sets of a hub and from files, as files that a study names."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from specsci.core.errors import InputFileError, Problem, UserError, nearest
from specsci.core.files import temporary_beside, unwritable
from specsci.core.ids import file_sha256
from specsci.core.jsonl import Row, stream_rows
from specsci.sources.hub.data_sets import data_set_rows, fetch_data_set
from specsci.sources.hub.names import PREFIX, hub_model
from specsci.sources.origin import Origin, origin_path, write_origin
from specsci.sources.parquet_rows import is_parquet, parquet_rows
from specsci.sources.text_files import MESSAGES, SHARE_GPT, chat_of, text_of

ENDING = ".jsonl"
CHAT_COLUMNS = (MESSAGES, "conversations", "conversation")
What = Literal["documents", "conversations"]


@dataclass(frozen=True)
class Request:
    """What is imported, and how its columns are read.

    Attributes:
        columns: a column's new name by its old one, such as `{"content": "text"}`.
        files: patterns of a data set's files; all by default.
        skip_unusable: whether rows that are no text or conversation are left out and counted, or end the import.
    """

    source: str
    target: Path
    columns: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    config: str | None = None
    split: str = "train"
    limit: int | None = None
    access: str = "public"
    skip_unusable: bool = False


@dataclass(frozen=True)
class Imported:
    """What was written, and how many rows were left out, by the reason."""

    file: Path
    card: Path
    origin: Origin
    what: What
    left_out: dict[str, int]


def import_texts(request: Request) -> Imported:
    """Write the rows of a source as JSON Lines with a card and with the file that tells its origin.

    Raises:
        UserError: the source cannot be had, or the target is there.
        InputFileError: a row is neither text nor conversation.
    """
    target = request.target
    if target.suffix.lower() != ENDING:
        raise UserError(f"'{target.name}' does not end in {ENDING}", hint="name the file so")
    card = target.with_suffix(".md")
    for path in (target, card, origin_path(target)):
        if path.exists():
            raise UserError(f"{path} is there already", hint="name another file")
    source, licence, rows = _opened(request)
    left_out = Counter[str]()
    temporary = temporary_beside(target)
    try:
        with closing(rows), temporary.open("w", encoding="utf-8") as out:
            count, what = _write(_taken(rows, request, left_out), out)
        if not count:
            raise UserError(f"{request.source} gave no row", hint=f"left out: {dict(left_out)}" if left_out else "is it empty?")
        origin = Origin(source, request.access, licence, count, file_sha256(temporary))
        write_origin(target, origin)  # first: the label is there when the file is
        temporary.replace(target)
        card.write_text(_card(request, origin, what, left_out), encoding="utf-8")
    except OSError as error:
        raise unwritable(target, error, "the import") from error
    finally:
        temporary.unlink(missing_ok=True)
    return Imported(target, card, origin, what, dict(left_out))


def _opened(request: Request) -> tuple[str, str, Generator[Row | Problem, None, None]]:
    """The source with its commit or SHA-256, its licence, and its rows."""
    if request.source.startswith(PREFIX):
        found = fetch_data_set(hub_model(request.source), request.files)
        return found.source, found.licence, _numbered(data_set_rows(found.folder, request.config, request.split))
    path = Path(request.source)
    if not path.is_file():
        raise UserError(f"'{request.source}' is no file", hint="name a file, or hub:ORG/NAME@REVISION")
    rows = _each(parquet_rows(path, request.source) if is_parquet(path) else stream_rows(path, request.source))
    return f"{path.name} (SHA-256 {file_sha256(path)})", "", rows


def _numbered(rows: Iterator[dict[str, Any]]) -> Generator[Row | Problem, None, None]:
    for number, row in enumerate(rows, 1):
        yield Row(number, row)


def _each(rows: Iterator[Row | Problem]) -> Generator[Row | Problem, None, None]:
    yield from rows


def _taken(rows: Iterable[Row | Problem], request: Request, left_out: Counter[str]) -> Iterator[tuple[dict[str, Any], What]]:
    """Rows with their columns' new names, as long as the limit; what is unusable is left out or ends the import."""
    taken, renamed = 0, False
    for row in rows:
        if taken == request.limit:
            return
        if isinstance(row, Row):
            renamed = renamed or _check_columns(row.data, request)
            found = _read(row, request)
        else:
            found = row
        if isinstance(found, Problem):
            if not request.skip_unusable:
                raise InputFileError([found])
            left_out[found.what] += 1
            continue
        taken += 1
        yield found


def _check_columns(data: Mapping[str, Any], request: Request) -> bool:
    """The first row has the columns that are to be renamed."""
    for old in request.columns:
        if old not in data:
            raise UserError(f"the rows of {request.source} have no column '{old}'", hint=nearest(old, data))
    return True


def _read(row: Row, request: Request) -> tuple[dict[str, Any], What] | Problem:
    data = {request.columns.get(name, name): value for name, value in row.data.items() if value is not None}
    chat = next((name for name in CHAT_COLUMNS if isinstance(data.get(name), list)), None)
    if chat is None:
        text = text_of(Row(row.line, data), request.source)
        return text if isinstance(text, Problem) else (data, "documents")
    data[MESSAGES] = [_message(m) for m in data.pop(chat)]
    read = chat_of(Row(row.line, data), request.source)
    if isinstance(read, Problem):
        return read
    return {**data, MESSAGES: read.said, **({"tools": list(read.tools)} if read.tools else {})}, "conversations"


def _message(message: Any) -> Any:
    """A message with the keys and roles of the OpenAI interface, where it has those of ShareGPT."""
    if not isinstance(message, dict):
        return message
    found = {name: value for name, value in message.items() if value is not None}
    if "role" not in found and isinstance(found.get("from"), str):
        role = found.pop("from")
        found["role"] = SHARE_GPT.get(role.strip().lower(), role)
    if "content" not in found and "value" in found:
        found["content"] = found.pop("value")
    return found


def _write(rows: Iterator[tuple[dict[str, Any], What]], out: Any) -> tuple[int, What]:
    """Write rows; a file holds documents or conversations, not both."""
    count, kind = 0, None
    for row, what in rows:
        if kind is not None and what != kind:
            raise UserError(f"row {count + 1} is one of {what}, and those before are {kind}", hint="import them apart")
        kind = what
        out.write(json.dumps(row, ensure_ascii=False, default=_plain) + "\n")
        count += 1
    return count, kind or "documents"


def _plain(value: Any) -> Any:
    """A value that JSON does not have, as a text."""
    with suppress(AttributeError):
        return value.isoformat()
    return str(value)


def _card(request: Request, origin: Origin, what: What, left_out: Mapping[str, int]) -> str:
    renamed = ", ".join(f"{old} → {new}" for old, new in request.columns.items())
    key = f"corpora: {{VARIANT: {{files: {request.target.name}}}}}" if what == "documents" else f"align: {request.target.name}"
    lines = [
        f"# {request.target.name}",
        "",
        f"{origin.rows:,} {what}, imported with specsci. Access: {origin.access}.",
        "",
        f"- source: {origin.source}",
        f"- licence: {origin.licence or 'not told by the source'}",
        *([f"- configuration: {request.config}"] if request.config else []),
        *([f"- split: {request.split}"] if origin.source.startswith(PREFIX) else []),
        *([f"- files: {', '.join(request.files)}"] if request.files else []),
        *([f"- the first {request.limit:,} usable rows"] if request.limit else []),
        *([f"- renamed columns: {renamed}"] if renamed else []),
        *[f"- left out: {count:,} rows: {why}" for why, count in sorted(left_out.items())],
        f"- SHA-256 of the file: `{origin.sha256}`",
        "",
        f"A study reads it as `{key}`.",
    ]
    return "\n".join(lines) + "\n"
