"""A table that somebody else wrote, CSV or Parquet, read strictly: as it stands, or refused with line and column.

The bytes are read once; what is hashed is what is read, and no part of the path is a pattern.
"""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from specsci.core.errors import InputFileError, Problem

MOST_BYTES = 4 * 2**30
"""A file of more bytes is refused before it is read."""
MOST_ROWS = 20_000_000
"""A table of more rows is refused: Parquet says so beforehand, and a small file may hold any number."""
MOST_PROBLEMS = 20
PACKED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip (a spreadsheet is one too)",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet format",
}
MISSING = frozenset(
    ("", "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "NaN", "nan", "-nan", "NaT", "None", "NULL", "Null", "null", "nil", "-", "--", ".", "?")
)  # fmt: skip
"""What R, pandas, polars, Excel, SAS and people write where there is no value."""

BLANKS = " \t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
"""What may stand around a value and is not part of it; other white space breaks lines."""


@dataclass(frozen=True)
class Column:
    """Values of a column, each distinct one once (`None` where there is none), and which of them each row has (int32)."""

    values: list[Any]
    codes: np.ndarray

    def rows(self, which: Collection[int], most: int = MOST_PROBLEMS) -> list[int]:
        """The first rows that have one of these values, by the values' numbers."""
        if not which:
            return []
        wanted = np.zeros(len(self.values), bool)
        wanted[list(which)] = True
        return [int(r) for r in np.flatnonzero(wanted[self.codes])[:most]]


@dataclass(frozen=True)
class Sheet:
    """A table read from a file.

    Args:
        columns: by lower-case name.
        rows: how many rows there are.
        place: line and column (from 1) of a row's cell, of its beginning where no column is named; row -1 is the header.
        row_word: what `place` counts: `line`, or `row` where a file has no lines.
        decimal_comma: whether a comma in a number is a decimal one, because something else divides the columns.
    """

    file: str
    sha256: str
    columns: dict[str, Column]
    rows: int
    place: Callable[[int, str | None], tuple[int, int]]
    row_word: str = "line"
    decimal_comma: bool = False

    def line(self, row: int) -> str:
        """`line 7`."""
        return f"{self.row_word} {self.place(row, None)[0]}"


@dataclass
class Problems:
    """What is wrong with a sheet, each with its place."""

    sheet: Sheet
    found: list[Problem] = field(default_factory=list)

    def add(self, row: int, column: str | None, what: str, hint: str = "") -> None:
        """Record a problem of a cell, or of a whole row where no column is named."""
        self.found.append(Problem(self.sheet.file, *self.sheet.place(row, column), what, hint))

    def add_header(self, column: str | None, what: str, hint: str = "") -> None:
        """Record a problem of the header."""
        self.add(-1, column, what, hint)

    def raise_if_any(self) -> None:
        """Raise InputFileError with the first problems in reading order, if there are any."""
        if self.found:
            raise InputFileError(sorted(set(self.found), key=lambda p: (p.line, p.column))[:MOST_PROBLEMS])


def read_sheet(path: Path, known: Collection[str], *, lines_in_values: bool = False) -> Sheet:
    """Read a table.

    Args:
        known: names of columns that are looked for; they tell what divides the columns.
        lines_in_values: whether a quoted value may go over several lines.

    Raises:
        InputFileError: the file cannot be read as a table, and where.
    """
    from specsci.results.columnar import MAGIC, read_columnar
    from specsci.results.delimited import read_delimited

    data = _bytes(path)
    for magic, name in PACKED.items():
        if data.startswith(magic):
            raise refused(
                path, f"cannot be read: it is packed as {name}", "unpack it, or save it as CSV, and give that file"
            )
    if data.startswith(MAGIC):
        return read_columnar(data, str(path), known)
    if path.suffix.lower() in (".parquet", ".pq"):
        raise refused(
            path, "cannot be read as Parquet: it does not begin as a Parquet file does", "give a CSV the name .csv"
        )
    return read_delimited(data, str(path), known, lines_in_values=lines_in_values)


def column_name(text: str) -> str:
    """A column's name as it is looked for: `Aft Tokens ` is `aft_tokens`."""
    return re.sub(r"[\s-]+", "_", text.strip().lower())


def sha256_of(data: bytes) -> str:
    """The SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def refused(path: Path | str, what: str, hint: str = "", line: int = 1, column: int = 1) -> InputFileError:
    """The error for one problem of a file."""
    return InputFileError([Problem(str(path), line, column, what, hint)])


def _bytes(path: Path) -> bytes:
    """All bytes of a regular file."""
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise refused(path, "cannot be read: it is not a regular file", "write the rows into a file first")
        if facts.st_size > MOST_BYTES:
            raise refused(
                path,
                f"holds {facts.st_size:,} bytes, and at most {MOST_BYTES:,} are read",
                "give its parts names of their own",
            )
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, InputFileError):
            raise
        raise refused(path, f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not data.strip():
        raise refused(path, "the file is empty", "give a CSV with a header, or Parquet")
    return data
