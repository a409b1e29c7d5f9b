"""Delimited text as sheets: comma, semicolon or tab; quotes as RFC 4180 has them; UTF-8, or what a byte order mark says.

Comment lines (`#`) may stand above the header. Below it `#` is a character like any other.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc

from specsci.core.errors import InputFileError, Problem
from specsci.results.sheet import MOST_PROBLEMS, MOST_ROWS, Column, Sheet, column_name, refused, sha256_of

DELIMITERS = (",", ";", "\t")
MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
"""The four-byte marks stand before the two-byte ones that they begin with."""
QUOTE, NEWLINE, RETURN = b'"'[0], b"\n"[0], b"\r"[0]
BLOCK_BYTES = 16 * 2**20
HEADER_WITHIN = 20
"""Lines in which a header is looked for that does not come first."""


def read_delimited(data: bytes, file: str, known: Collection[str], *, lines_in_values: bool = False) -> Sheet:
    """The rows of a delimited text.

    Raises:
        InputFileError: bytes that are not text, a quote out of place, a row with more or fewer cells than the header, or
            columns without a name of their own.
    """
    text = Text(_utf8(data, file))
    start, header_line, forced = _find_header(text.data, file)
    end = _line_end(text.data, start)
    delimiter, names = _header(text.data[start:end].decode(), file, header_line, known, forced)
    body = min(_after(text.data, end), len(text.data))
    text.delimiter, text.head, text.body = delimiter, start, body
    if sum(n in known for n in names) < 3 and (hint := _header_hint(text.data[body:], header_line, known)):
        raise refused(file, "this line is not a header", hint, header_line)
    _check_quotes(text, file, lines_in_values)
    if not text.data[body:].strip(b"\r\n"):
        return _sheet(file, data, names, {n: Column([None], np.zeros(0, np.int32)) for n in names}, text, np.arange(0))
    table = _parse(text, names, file, lines_in_values)
    columns = {name: _column(table.column(number)) for number, name in enumerate(names)}
    kept = np.arange(table.num_rows)
    if all("" in c.values for c in columns.values()):  # rows of delimiters alone, as spreadsheets write below the last one
        blank = np.logical_and.reduce([np.array([not v.strip() for v in c.values])[c.codes] for c in columns.values()])
        kept = np.flatnonzero(~blank)
        columns = {n: Column(c.values, c.codes[kept]) for n, c in columns.items()}
    sheet = _sheet(file, data, names, columns, text, kept)
    problems = [
        Problem(file, *sheet.place(row, name), "a value in a column without a name", "name the column, or leave it out")
        for name, column in columns.items()
        if not name.strip()
        for row in column.rows([n for n, v in enumerate(column.values) if v.strip()])
    ]
    if problems:
        raise InputFileError(problems)
    return sheet


def _sheet(file: str, data: bytes, names: list[str], columns: dict[str, Column], text: Text, kept: np.ndarray) -> Sheet:
    order = {name: number for number, name in enumerate(names)}
    named = {name: column for name, column in columns.items() if name.strip()}
    return Sheet(
        file, sha256_of(data), named, len(kept),
        lambda row, column: text.place(int(kept[row]) if row >= 0 else -1, order.get(column or "", 0)),
        decimal_comma=text.delimiter != ",",
    )  # fmt: skip


@dataclass
class Text:
    """The bytes (UTF-8) of a delimited text, and where its rows and cells stand."""

    data: bytes
    delimiter: str = ","
    head: int = 0
    """Where the header begins."""
    body: int = 0
    """Where the first row after it begins."""

    @cached_property
    def array(self) -> np.ndarray:
        """The text's bytes as numbers, shape (bytes,)."""
        return np.frombuffer(self.data, np.uint8)

    @cached_property
    def breaks(self) -> np.ndarray:
        """Where lines end: a line feed, or a carriage return that none follows."""
        found = self.array == NEWLINE
        if b"\r" in self.data:
            alone = self.array == RETURN
            alone[:-1] &= ~found[1:]
            found |= alone
        return np.flatnonzero(found)

    @cached_property
    def quotes(self) -> np.ndarray:
        """Where quotes stand in the header and below."""
        return np.flatnonzero(self.array[self.head :] == QUOTE) + self.head if QUOTE in self.data else np.zeros(0, int)

    @cached_property
    def rows(self) -> np.ndarray:
        """Where each row that is not empty begins and ends, shape (rows, 2)."""
        outside = self.breaks[np.searchsorted(self.quotes, self.breaks) % 2 == 0]
        ends = outside[outside >= self.body]
        starts, stops = np.concatenate([[self.body], ends + 1]), np.concatenate([ends, [len(self.data)]])
        stops = stops - ((stops > starts) & (self.array[np.maximum(stops - 1, 0)] == RETURN))
        found: np.ndarray = np.stack([starts, stops], axis=1)[stops > starts]
        return found

    def at(self, offset: int) -> tuple[int, int]:
        """Line and column (in characters) of a byte."""
        line = int(np.searchsorted(self.breaks, offset))
        begin = int(self.breaks[line - 1]) + 1 if line else 0
        return line + 1, len(self.data[begin:offset].decode(errors="replace")) + 1

    def place(self, row: int, column: int) -> tuple[int, int]:
        """Line and column of a cell; row -1 is the header."""
        begin, end = (int(x) for x in self.rows[row]) if row >= 0 else (self.head, _line_end(self.data, self.head))
        cells = self.cells(self.data[begin:end])
        return self.at(begin + cells[min(column, len(cells) - 1)])

    def cells(self, row: bytes) -> list[int]:
        """Where each cell of a row begins."""
        starts, inside = [0], False
        for number, byte in enumerate(row):
            if byte == QUOTE:
                inside = not inside
            elif byte == ord(self.delimiter) and not inside:
                starts.append(number + 1)
        return starts


def _utf8(data: bytes, file: str) -> bytes:
    """The text as UTF-8 without a mark, and without blank lines at its end."""
    mark = next((m for m in MARKS if data.startswith(m)), b"")
    encoding = MARKS.get(mark, "utf-8")
    body = data[len(mark) :]
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        line, column = _where(body[: error.start], encoding)
        what = f"byte {body[error.start : error.start + 1].hex()} is not valid {encoding.upper()}"
        raise refused(file, what, "save the file as UTF-8 (Excel: 'CSV UTF-8')", line, column) from error
    if (place := text.find("\0")) >= 0:
        before = text[:place]
        line, column = before.count("\n") + 1, place - (before.rfind("\n") + 1) + 1
        raise refused(
            file, "a NUL character; the text may be UTF-16 without its mark", "save the file as UTF-8", line, column
        )
    return (body if encoding == "utf-8" else text.encode()).rstrip(b" \r\n")


def _where(before: bytes, encoding: str) -> tuple[int, int]:
    text = before.decode(encoding, errors="replace")
    return text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1


def _line_end(data: bytes, start: int) -> int:
    ends = [e for e in (data.find(b"\n", start), data.find(b"\r", start)) if e >= 0]
    return min(ends, default=len(data))


def _after(data: bytes, end: int) -> int:
    return end + (2 if data[end : end + 2] == b"\r\n" else 1)


def _find_header(data: bytes, file: str) -> tuple[int, int, str]:
    """Where the header begins, its line, and what divides the columns if a line `sep=;` says so."""
    start, line, forced = 0, 1, ""
    while start < len(data):
        end = _line_end(data, start)
        text = data[start:end].strip()
        if text[:4].lower() == b"sep=" and len(text) <= 5:
            forced = text[4:].decode(errors="replace") or "\t"
        elif text and not text.startswith((b"#", b'"#')):
            return start, line, forced
        start, line = _after(data, end), line + 1
    raise refused(file, "there is no header, only comments", "the first line below comments names the columns")


def _header(text: str, file: str, line: int, known: Collection[str], forced: str) -> tuple[str, list[str]]:
    """What divides the columns, and their names in lower case."""
    if forced and forced not in DELIMITERS:
        raise refused(file, f"'{forced}' divides the columns", "use a comma, a semicolon or a tab", line)
    read: dict[str, list[str]] = {}
    trouble: Exception | None = None
    for delimiter in [forced] if forced else DELIMITERS:
        try:
            (names,) = csv.reader([text], delimiter=delimiter, strict=True)
        except (csv.Error, ValueError) as error:
            trouble = error
            continue
        read[delimiter] = [column_name(n) for n in names]
    if not read:
        raise refused(file, f"the header cannot be read: {trouble}", "close every quote", line)
    delimiter = max(read, key=lambda d: sum(n in known for n in read[d]))
    names = read[delimiter]
    while len(names) > 1 and not names[-1]:
        names.pop()
    spare = len(next(csv.reader([text], delimiter=delimiter))) - len(names)
    problems = []
    for number, name in enumerate(names):
        column = _column_of(text, delimiter, number)
        if not name:
            hint = "name it, or write the file without row numbers (pandas: index=False, R: row.names=FALSE)"
            problems.append(Problem(file, line, column, f"column {number + 1} has no name", hint))
        elif name in names[:number]:
            problems.append(Problem(file, line, column, f"two columns are named '{name}'"))
    if problems:
        raise InputFileError(problems)
    return delimiter, names + [" " * (n + 1) for n in range(spare)]


def _column_of(text: str, delimiter: str, number: int) -> int:
    data = text.encode()
    starts = Text(data, delimiter).cells(data)
    start = starts[min(number, len(starts) - 1)]  # fewer where a quote is out of place, which is said next
    return len(data[:start].decode()) + 1


def _check_quotes(text: Text, file: str, lines_in_values: bool) -> None:
    """Refuse quotes that do not stand around a whole cell: what they hold depends on who reads them.

    Quotes open and close by turns. One that opens has a delimiter or a line end before it, one that closes has one behind
    it; two side by side within quotes are a quote character.
    """
    quotes, data = text.quotes, text.array
    if not len(quotes):
        return
    edge = np.zeros(256, bool)
    edge[[ord(text.delimiter), NEWLINE, RETURN, QUOTE]] = True
    opens, closes = quotes[0::2], quotes[1::2]
    before = np.where(opens > text.head, data[np.maximum(opens - 1, 0)], NEWLINE)
    behind = np.where(closes + 1 < len(data), data[np.minimum(closes + 1, len(data) - 1)], NEWLINE)
    inside = text.breaks[np.searchsorted(quotes, text.breaks) % 2 == 1]
    over_lines = np.unique(quotes[np.searchsorted(quotes, inside) - 1])
    bad = np.sort(np.concatenate([opens[~edge[before]], closes[~edge[behind]]]))
    first = int(over_lines[0]) if len(over_lines) and not lines_in_values else len(data)
    bad = bad[bad <= first]  # what stands behind a quote that was forgotten is the other way round
    hint = "put the whole value in quotes, and double the quotes within it"
    if len(bad):
        raise InputFileError(Problem(file, *text.at(int(b)), "a quote within a value", hint) for b in bad[:MOST_PROBLEMS])
    if first < len(data):
        raise InputFileError(
            Problem(file, *text.at(int(b)), "a quote that opens here is not closed on its line", "keep a value on one line")
            for b in over_lines[:MOST_PROBLEMS]
        )
    if len(quotes) % 2:
        raise refused(file, "a quote is opened and never closed", "close it", *text.at(int(quotes[-1])))


def _parse(text: Text, names: list[str], file: str, lines_in_values: bool) -> pa.Table:
    """All rows, every cell as text."""
    wrong: list[tuple[int, int]] = []

    def ragged(row: pc.InvalidRow) -> str:
        wrong.append((row.number, row.actual_columns))
        return "skip" if len(wrong) < MOST_PROBLEMS else "error"

    keys = [f"c{number}" for number in range(len(names))]
    try:
        reader = pc.open_csv(
            pa.BufferReader(pa.py_buffer(text.data).slice(text.body)),
            read_options=pc.ReadOptions(use_threads=False, column_names=keys, block_size=BLOCK_BYTES),
            parse_options=pc.ParseOptions(
                delimiter=text.delimiter, newlines_in_values=lines_in_values, invalid_row_handler=ragged
            ),
            convert_options=pc.ConvertOptions(
                column_types=dict.fromkeys(keys, pa.dictionary(pa.int32(), pa.string())), strings_can_be_null=False
            ),
        )
        batches, rows = [], 0
        for batch in reader:
            batches.append(batch)
            rows += batch.num_rows
            if rows > MOST_ROWS:
                raise refused(file, f"holds more than {MOST_ROWS:,} rows", "give its parts names of their own")
        table = pa.Table.from_batches(batches, reader.schema)
    except pa.ArrowException as error:
        if not wrong:
            raise refused(file, f"cannot be read: {str(error).splitlines()[0]}") from error
    if wrong:
        hint = "comment lines stand above the header only" if len(names) > 1 else ""
        raise InputFileError(
            Problem(file, *text.place(number - 1, 0), f"{cells} cells, and the header has {len(names)}", hint)
            for number, cells in wrong
        )
    return table


def _column(found: pa.ChunkedArray) -> Column:
    whole = found.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks)
    return Column(whole.dictionary.to_pylist(), whole.indices.to_numpy(zero_copy_only=False))


def _header_hint(below: bytes, line: int, known: Collection[str]) -> str:
    """Where a header seems to stand below other rows; empty where none does."""
    for number, text in enumerate(below[:100_000].splitlines()[:HEADER_WITHIN], line + 1):
        for delimiter in DELIMITERS:
            names = {column_name(n.strip('"')) for n in text.decode(errors="replace").split(delimiter)}
            if len(names & set(known)) >= 3:
                return f"the header seems to stand on line {number}: begin the lines above it with '#', or take them out"
    return ""
