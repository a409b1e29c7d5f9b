"""Files of documents that a user brings: JSON Lines or Parquet with a `text` in every row, read as a stream.

A row may say which clause it is about (`clause_id`), what sort of text it is (`doc_type`) and where it comes from (`source`); all
else that it has is kept as its provenance. Braces are text: nothing is filled in.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from specsci.core.errors import InputFileError, Problem
from specsci.core.files import write_whole
from specsci.core.ids import text_digest
from specsci.core.jsonl import BOM, MAX_PROBLEMS, Row, kind_of, parse_rows, raise_problems, stream_rows
from specsci.core.remembered import remembered_sha256
from specsci.core.shipped import cache_folder
from specsci.sources.parquet_rows import is_parquet, parquet_rows
from specsci.sources.text_files import TEXT, text_of

NAMED = ("clause_id", "doc_type", "source")
"""Further keys of a row that mean something here."""
FACTS_FORMAT = 1
"""Of the kept facts of a file; raised where what is counted or checked changes."""


@dataclass(frozen=True)
class Document:
    """A row of a file: its number (from 1), text and provenance; what the row does not say is empty."""

    row: int
    text: str
    clause_id: str = ""
    doc_type: str = ""
    source: str = ""
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FileFacts:
    """What is known of a file of documents without a tokenizer: its SHA-256, rows, characters of text and distinct texts."""

    sha256: str
    rows: int
    characters: int
    distinct: int


def documents(path: Path, name: str) -> Iterator[Document | Problem]:
    """The documents of a file, in its order, and what is wrong with the rows that are none.

    Args:
        name: what the file is called in messages.

    Raises:
        UserError: the file cannot be opened.
    """
    rows = parquet_rows(path, name) if is_parquet(path) else stream_rows(path, name)
    for row in rows:
        yield row if isinstance(row, Problem) else document(row, name)


def document(row: Row, name: str) -> Document | Problem:
    """One row as a document, or what is wrong with it."""
    text = text_of(row, name)
    if isinstance(text, Problem):
        return text
    named: dict[str, str] = {}
    for key in NAMED:
        value = row.data.get(key)
        if value is not None and not isinstance(value, str):
            return Problem(name, row.line, 1, f"{key}: {kind_of(value)} where a text is expected", f"write {key} as a text")
        named[key] = value or ""
    return Document(row.line, text, **named, more={k: v for k, v in row.data.items() if k != TEXT and k not in NAMED})


def facts_of(path: Path, name: str) -> FileFacts:
    """A file's facts; the first time that a content is seen all of its rows are checked, later the facts are read back.

    Raises:
        InputFileError: rows that are not documents, the first of them with their places; or there are no rows.
        UserError: the file cannot be opened.
    """
    sha256 = remembered_sha256(path)
    kept = cache_folder("documents") / f"{sha256}.{FACTS_FORMAT}.json"
    try:
        return FileFacts(**json.loads(kept.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        found = _counted(path, name, sha256)
    with suppress(OSError):  # where nothing can be kept, the next check takes as long
        write_whole(kept, lambda part: part.write_text(json.dumps(asdict(found)), encoding="utf-8"))
    return found


def _counted(path: Path, name: str, sha256: str) -> FileFacts:
    rows = characters = 0
    seen: set[int] = set()
    problems: list[Problem] = []
    for found in documents(path, name):
        if isinstance(found, Problem):
            problems.append(found)
            if len(problems) >= MAX_PROBLEMS:
                break
            continue
        rows += 1
        characters += len(found.text)
        seen.add(int(text_digest(found.text)[:15], 16))
    raise_problems(problems)
    if not rows:
        raise InputFileError([Problem(name, 1, 1, "the file holds no documents", f"give every line an object with `{TEXT}`")])
    return FileFacts(sha256, rows, characters, len(seen))


class DocumentFile:
    """A file's documents by their place in it (from 0), each read where it stands: the file may be larger than memory."""

    def __init__(self, path: Path, name: str, scratch: Path) -> None:
        """Find where every row stands. Parquet is written out as JSON Lines in `scratch` first.

        Raises:
            InputFileError: a row of a Parquet file cannot be read.
        """
        self.path, self.name = path, name
        if is_parquet(path):
            self.path = scratch / f"{text_digest(name)}.jsonl"
            _as_json_lines(path, name, self.path)
        self._starts, self._lines = _line_starts(self.path)
        self._file = self.path.open("rb")

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, place: int) -> Document:
        """A document; raises InputFileError where its row is none."""
        self._file.seek(self._starts[place])
        number = self._lines[place]
        rows, problems = parse_rows(self._file.readline(), self.name)
        found = document(Row(number, rows[0].data), self.name) if rows else problems[0]
        if isinstance(found, Problem):
            raise InputFileError([Problem(self.name, number, found.column, found.what, found.hint)])
        return found

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _line_starts(path: Path) -> tuple[array[int], array[int]]:
    """Where the lines that are not blank begin, in bytes, and their numbers (from 1); shape (rows,) each."""
    starts, lines, place = array("q"), array("q"), 0
    with path.open("rb") as file:
        if file.read(len(BOM)) == BOM:
            place = len(BOM)
        file.seek(place)
        for number, line in enumerate(file, 1):
            if line.strip():
                starts.append(place)
                lines.append(number)
            place += len(line)
    return starts, lines


def _as_json_lines(path: Path, name: str, target: Path) -> None:
    with target.open("w", encoding="utf-8") as out:
        for row in parquet_rows(path, name):
            if isinstance(row, Problem):
                raise InputFileError([row])
            out.write(json.dumps(row.data, ensure_ascii=False, default=str) + "\n")
