"""Reading JSON Lines that other people wrote: one object a line, and every fault with its line and column.

Lines end on a line feed alone (a carriage return before it is dropped), so that a U+2028 inside a text is a
character and no line. The file is UTF-8; a byte-order mark at its beginning is skipped; blank lines are skipped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specsci.core.errors import InputFileError, Problem, UserError

MAX_DEPTH = 64
"""Deepest nesting of objects and lists that is read."""
MAX_PROBLEMS = 20
"""Most problems of one file that are listed."""
MAX_LINE_BYTES = 1 << 26
"""Longest line that is read."""
BOM = b"\xef\xbb\xbf"
FOREIGN = {
    b"\x1f\x8b": ("gzip-compressed", "decompress it: gunzip FILE"),
    b"PK\x03\x04": ("a zip archive", "unpack it"),
    b"PAR1": ("Parquet", "write it as JSON Lines, one object a line"),
    b"\xff\xfe": ("UTF-16", "save it as UTF-8: iconv -f UTF-16 -t UTF-8"),
    b"\xfe\xff": ("UTF-16", "save it as UTF-8: iconv -f UTF-16 -t UTF-8"),
    b"version https://git-lfs": ("a Git LFS pointer, not the file itself", "fetch it: git lfs pull"),
}
"""First bytes of files that are not text, with what they are and what helps."""
NAMES = {dict: "an object", list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}


@dataclass(frozen=True)
class Row:
    """One line's object, and the line that it stands in (1-based)."""

    line: int
    data: dict[str, Any]


class _Refused(ValueError):
    """A value that JSON allows and this reader does not."""


def read_rows(path: Path, *, name: str = "") -> list[Row]:
    """The objects of a file.

    Args:
        name: what the file is called in messages; its path where not given.

    Raises:
        UserError: the file cannot be opened.
        InputFileError: lines that are not objects; the first `MAX_PROBLEMS` of them are listed.
    """
    shown = name or str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"the file cannot be read: {error.strerror}", where=shown) from error
    rows, problems = parse_rows(data, shown)
    raise_problems(problems)
    return rows


def parse_rows(data: bytes, name: str) -> tuple[list[Row], list[Problem]]:
    """The objects of a file's bytes, and what is wrong with the lines that are left out.

    Args:
        name: what the file is called in messages.
    """
    if (foreign := _foreign(data, name)) is not None:
        return [], [foreign]
    rows: list[Row] = []
    problems: list[Problem] = []
    for number, line in enumerate(data.removeprefix(BOM).split(b"\n"), 1):
        if not line.strip():
            continue
        found = _object(line.removesuffix(b"\r"), name, number)
        if isinstance(found, Problem):
            problems.append(found)
        else:
            rows.append(Row(number, found))
    return rows, problems


def stream_rows(path: Path, name: str) -> Iterator[Row | Problem]:
    """The objects of a file of any size, line by line, and what is wrong with the lines that are none.

    Args:
        name: what the file is called in messages.

    Raises:
        UserError: the file cannot be opened.
    """
    try:
        with path.open("rb") as file:
            first = file.read(64)
            if (foreign := _foreign(first, name)) is not None:
                yield foreign
                return
            file.seek(len(BOM) if first.startswith(BOM) else 0)
            for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES), b""), 1):
                if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
                    yield Problem(name, number, 1, f"the line is longer than {MAX_LINE_BYTES:,} bytes", "write one object a line")
                    return
                if not line.strip():
                    continue
                found = _object(line.removesuffix(b"\n").removesuffix(b"\r"), name, number)
                yield found if isinstance(found, Problem) else Row(number, found)
    except OSError as error:
        raise UserError(f"the file cannot be read: {error.strerror}", where=name) from error


def _foreign(first: bytes, name: str) -> Problem | None:
    """What a file is that is no JSON Lines, by its first bytes."""
    for start, (kind, hint) in FOREIGN.items():
        if first.startswith(start):
            return Problem(name, 1, 1, f"the file is {kind}", hint)
    return None


def raise_problems(problems: list[Problem]) -> None:
    """Raise what is wrong with a file, if anything: the first `MAX_PROBLEMS`, and how many more there are.

    Raises:
        InputFileError: there are problems.
    """
    if not problems:
        return
    first = sorted(problems, key=lambda p: (p.file, p.line, p.column))
    shown, last = first[:MAX_PROBLEMS], first[-1]
    if len(first) > MAX_PROBLEMS:
        shown.append(
            Problem(last.file, last.line, last.column, f"the last of {len(first):,} problems; {last.what}", last.hint)
        )
    raise InputFileError(shown)


def kind_of(value: Any) -> str:
    """A JSON value's type in words: `null`, `a text`, `a list`."""
    return "null" if value is None else NAMES.get(type(value), type(value).__name__)


def _object(line: bytes, name: str, number: int) -> dict[str, Any] | Problem:
    """The object of one line, or what is wrong with it."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        column = len(line[: error.start].decode("utf-8")) + 1
        hint = "save the file as UTF-8: iconv -f LATIN1 -t UTF-8 FILE (or -f WINDOWS-1252)"
        return Problem(name, number, column, f"the byte 0x{line[error.start]:02x} is not valid UTF-8", hint)
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_once)
        _check(value, deep=line.count(b"[") + line.count(b"{") > MAX_DEPTH, escaped=b"\\u" in line)
    except json.JSONDecodeError as error:
        return Problem(name, number, error.colno, f"not JSON: {_plain(error)}", _hint(text, error))
    except _Refused as error:
        return Problem(name, number, 1, str(error))
    except RecursionError:
        return Problem(name, number, 1, f"nested deeper than {MAX_DEPTH} levels")
    except ValueError:
        return Problem(name, number, 1, "a number of too many digits", "write it as a text, or shorten it")
    if isinstance(value, dict):
        return value
    hint = "write one object {...} a line" + (": jq -c '.[]' FILE" if isinstance(value, list) else "")
    return Problem(name, number, 1, f"the line holds {kind_of(value)} where an object is expected", hint)


def _plain(error: json.JSONDecodeError) -> str:
    return error.msg[:1].lower() + error.msg[1:]


def _hint(text: str, error: json.JSONDecodeError) -> str:
    """What helps against a line that is not valid JSON."""
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
        return "the line is cut off (or an object stands on several lines): write every object on one line, whole"
    if error.msg.startswith("Extra data"):
        return "write one object a line, with nothing behind it"
    if text.lstrip()[:1] not in "{[":
        return "write one object {...} a line"
    return "write one JSON object a line: keys and texts in double quotes, no comma at the end"


def _no_constant(word: str) -> Any:
    raise _Refused(f"{word} is not a valid JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise _Refused(f"the number {digits[:40]} is too large")
    return number


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, every key of which is given once."""
    out = dict(pairs)
    if len(out) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _Refused(f"the key '{twice}' is given twice")
    return out


def _check(value: Any, *, deep: bool, escaped: bool) -> None:
    """Refuse nesting without bound, and half characters that no file could hold."""
    if not deep and not escaped:
        return
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH + 1:
            raise _Refused(f"nested deeper than {MAX_DEPTH} levels")
        below: list[Any] = []
        for part in level:
            if isinstance(part, dict):
                below += [*part, *part.values()]
            elif isinstance(part, list):
                below += part
            elif isinstance(part, str) and not part.isascii() and any("\ud800" <= c <= "\udfff" for c in part):
                raise _Refused("a text holds half a character (a lone surrogate such as \\ud800)")
        level = below
