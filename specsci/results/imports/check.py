"""An import's file as columns of names and whole numbers, every rule checked; nothing of it is in the store yet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from specsci.core.errors import nearest
from specsci.core.former import COUNTS
from specsci.core.levels import AT
from specsci.results.imports.rules import check_doubles, groups
from specsci.results.imports.values import Refused, clean_name, looks, whole_number
from specsci.results.sheet import MOST_PROBLEMS, Problems, Sheet, read_sheet

REQUIRED = {"arm": str, "seed": int, "eval": str, "aligned": int, "valid": int, "attempted": int}
"""Column to its type."""
OPTIONAL = {
    "item_id": str, "cluster_id": str, "base_model": str, "msm_spec": str, "aft_spec": str, "aft_tokens": int, "state": str,
    "sample": int, "harness": str,
}  # fmt: skip
FORMER = {**COUNTS, **{f"rate_{old}": f"rate_{new}" for old, new in COUNTS.items()}}
"""Columns under the names that files written for earlier versions give them."""
DERIVED = ("study", "readout", "items", "rate_valid", "rate_attempted", "mean_value", "outcome", "chosen", "subject", "truncated")
"""Columns of an exported `rates.parquet` that follow from the others; they are not read."""
KINDS: dict[str, type] = {**REQUIRED, **OPTIONAL}
STATES = ("ok", "unparsed", "refused", "error", "truncated", "not_expressible")
CELL = ("arm", "base_model", "msm_spec", "aft_spec", "aft_tokens", "seed", "eval", "harness")
BASE = "imported"
"""The base model of rows that name none."""
MOST_COUNT = 10**12
MOST_PER_ITEM = 100_000
MOST_ANSWERS = 20_000_000
"""Counts above these are not counts of answers that anybody read, and single answers are written out."""


@dataclass(frozen=True)
class Given:
    """An import's rows.

    Args:
        numbers: whole numbers by column, int64.
        names: by column, the row's place in `texts[column]`, int32.
        texts: distinct names by column; None stands for a missing one.
        level: `counts`, or `answers` where every row is an item.
    """

    file: str
    sha256: str
    rows: int
    numbers: dict[str, np.ndarray]
    names: dict[str, np.ndarray]
    texts: dict[str, list[str | None]]
    level: Literal["counts", "answers"]
    sampled: bool = False
    """Whether a column numbers the samples of an item."""
    read_as: str = ""
    """How the rows were made of a log; empty for a table."""

    def column(self, name: str) -> np.ndarray:
        """A column as integers that are equal where its values are."""
        return self.numbers[name] if name in self.numbers else self.names[name]


def read_given(file: Path) -> Given:
    """Read and check an import's file.

    Raises:
        InputFileError: what is wrong in the file, with line and column.
    """
    return checked(read_sheet(file, (*KINDS, *FORMER)), name=file.name)


def checked(sheet: Sheet, *, name: str = "", read_as: str = "") -> Given:
    """A sheet's rows, checked by every rule.

    Args:
        name: the file's name; the sheet's own where it is not given.
        read_as: how the rows were made of a log, for the import's record.

    Raises:
        InputFileError: what is wrong, with line and column.
    """
    sheet = _in_todays_names(sheet)
    problems = Problems(sheet)
    _check_columns(sheet)
    if not sheet.rows:
        problems.add_header(None, "there are no rows")
        problems.raise_if_any()
    numbers, absent = _numbers(sheet, problems)
    names, texts = _names(sheet, problems)
    level: Literal["counts", "answers"] = "answers" if "item_id" in sheet.columns else "counts"
    given = Given(name or sheet.file, sheet.sha256, sheet.rows, numbers, names, texts, level, "sample" in sheet.columns, read_as)
    _check_counts(given, problems, absent)
    if given.level == "answers":
        _check_states(given, problems)
    problems.raise_if_any()
    check_doubles(given, problems)
    problems.raise_if_any()
    return given


def _in_todays_names(sheet: Sheet) -> Sheet:
    """The sheet with today's names of its columns; where a file has both names of a column, the former one is refused as unknown."""
    own = {new: old for old, new in FORMER.items() if old in sheet.columns and new not in sheet.columns}
    columns = {name if name not in own.values() else FORMER[name]: column for name, column in sheet.columns.items()}
    return replace(sheet, columns=columns, place=lambda row, column: sheet.place(row, own.get(column or "", column)))


def _check_columns(sheet: Sheet) -> None:
    problems = Problems(sheet)
    unknown = [c for c in sheet.columns if c not in (*KINDS, *DERIVED)]
    for name in (n for n in REQUIRED if n not in sheet.columns):
        problems.add_header(None, f"there is no column '{name}'", nearest(name, unknown) if unknown else "")
    for name in unknown:
        problems.add_header(name, f"unknown column '{name}'", nearest(name, KINDS))
    if "item_id" not in sheet.columns:
        for name in ("cluster_id", "state", "sample"):
            if name in sheet.columns:
                problems.add_header(name, f"'{name}' is of single answers, and there is no column 'item_id'", "add item_id")
    if "study" in sheet.columns and len(np.unique(sheet.columns["study"].codes)) > 1:
        problems.add_header("study", "there are rows of several studies", "import them one by one")
    problems.raise_if_any()


def _numbers(sheet: Sheet, problems: Problems) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Columns of whole numbers, and the rows in which one that is needed cannot be read."""
    found, absent = {}, np.zeros(sheet.rows, bool)
    for name in (n for n, kind in KINDS.items() if kind is int):
        if name not in sheet.columns:
            found[name] = np.zeros(sheet.rows, np.int64)
            continue
        column = sheet.columns[name]
        values, bad = np.zeros(len(column.values), np.int64), {}
        for number, value in enumerate(column.values):
            try:
                read = whole_number(name, value, sheet.decimal_comma)
                if read is None and name != "aft_tokens":
                    raise Refused(f"'{name}' is empty")
                values[number] = read or 0
            except Refused as error:
                bad[number] = error
        _say(problems, name, bad)
        found[name] = values[column.codes]
        absent |= np.isin(column.codes, list(bad))
    return found, absent


def _say(problems: Problems, name: str, bad: dict[int, Refused]) -> None:
    """Each row that holds a refused value, the first ones of each value."""
    column = problems.sheet.columns[name]
    for row in column.rows(bad):
        error = bad[int(column.codes[row])]
        problems.add(row, name, error.what, error.hint)


def _names(sheet: Sheet, problems: Problems) -> tuple[dict[str, np.ndarray], dict[str, list[str | None]]]:
    """Columns of names, and their distinct texts."""
    names, texts = {}, {}
    for name in (n for n, kind in KINDS.items() if kind is str):
        default = BASE if name == "base_model" else None
        if name not in sheet.columns:
            names[name], texts[name] = np.zeros(sheet.rows, np.int32), [default]
            continue
        column = sheet.columns[name]
        used = set(np.unique(column.codes).tolist())
        order: dict[str | None, int] = {}
        renumber, bad = np.zeros(len(column.values), np.int32), {}
        for number, value in enumerate(column.values):
            if number not in used:
                continue
            try:
                text = clean_name(name, value)
                if text is None and (name in REQUIRED or name == "item_id"):
                    marker = (
                        "" if value is None or not str(value).strip() else f" ('{str(value).strip()}' marks a missing value)"
                    )
                    raise Refused(f"'{name}' is empty{marker}")
                if name == "state" and text is not None and text not in STATES:
                    raise Refused(f"'state' is none of {', '.join(STATES)}", nearest(text, STATES))
                if name == "harness" and text is not None and (AT in text or text.isdigit()):
                    raise Refused("'harness' is a number or holds an @", "give the condition a name with a letter, such as operator")
                renumber[number] = order.setdefault(text if text is not None else default, len(order))
            except Refused as error:
                bad[number] = error
        _say(problems, name, bad)
        names[name], texts[name] = renumber[column.codes], list(order) or [default]
        _check_looks(problems, name, names[name], texts[name])
    return names, texts


def _check_looks(problems: Problems, name: str, codes: np.ndarray, texts: list[str | None]) -> None:
    """Refuse two names that nobody can tell apart."""
    seen: dict[str, str] = {}
    alike: dict[int, str] = {}
    for number, text in enumerate(texts):
        if text is not None and (first := seen.setdefault(looks(text), text)) != text:
            alike[number] = first
    for number, first in list(alike.items())[:MOST_PROBLEMS]:
        other = int(np.flatnonzero(codes == texts.index(first))[0])
        row = int(np.flatnonzero(codes == number)[0])
        what = f"'{texts[number]}' looks like '{first}' ({problems.sheet.line(other)}) and is another name"
        problems.add(row, name, what, "write both alike, or name them apart")


def _check_counts(given: Given, problems: Problems, absent: np.ndarray) -> None:
    aligned, valid, attempted = (given.numbers[n] for n in ("aligned", "valid", "attempted"))
    most = MOST_PER_ITEM if given.level == "answers" else MOST_COUNT
    rules: list[tuple[np.ndarray, str | None, str, str]] = [
        (
            (aligned < 0) | (aligned > valid) | (valid > attempted), None, "not 0 <= aligned <= valid <= attempted",
            "aligned answers are among the valid ones, and those among the attempted",
        ),
        (attempted < 1, "attempted", "no answer was attempted", "leave the row out"),
        (attempted > most, "attempted", f"'attempted' is above {most:,}", "is it a count of answers?"),
        ((given.numbers["seed"] < 0) | (given.numbers["aft_tokens"] < 0), None, "'seed' or 'aft_tokens' is negative", ""),
        (given.numbers["sample"] < 0, "sample", "'sample' is negative", ""),
    ]  # fmt: skip
    for broken, column, what, hint in rules:
        for row in np.flatnonzero(broken & ~absent)[:MOST_PROBLEMS]:
            problems.add(int(row), column, what, hint)
    if given.level == "answers" and not problems.found and (total := int(attempted.sum())) > MOST_ANSWERS:
        row = int(np.searchsorted(np.cumsum(attempted), MOST_ANSWERS, side="right"))
        problems.add(
            row, "attempted", f"{total:,} answers, and at most {MOST_ANSWERS:,} are taken in", "import counts without item_id"
        )


def _check_states(given: Given, problems: Problems) -> None:
    valid, attempted = given.numbers["valid"], given.numbers["attempted"]
    texts, codes = given.texts["state"], given.names["state"]
    said_ok = np.array([t == "ok" for t in texts], bool)[codes]
    said_other = np.array([t not in ("ok", None) for t in texts], bool)[codes]
    for row in np.flatnonzero((said_ok & (valid < attempted)) | (said_other & (valid > 0)))[:MOST_PROBLEMS]:
        problems.add(int(row), "state", "'state' is ok exactly where the answer is valid")
    if given.sampled:
        for row in np.flatnonzero(attempted != 1)[:MOST_PROBLEMS]:
            problems.add(int(row), "attempted", "a row with 'sample' is one answer", "attempted is 1 there; or leave 'sample' out")


def cells(given: Given) -> tuple[np.ndarray, np.ndarray]:
    """The number of each row's cell (from 0, in the order of the file), and the first row of each cell."""
    return groups(*(given.column(name) for name in CELL))


def plain(given: Given, row: int) -> dict[str, Any]:
    """The cell of a row as plain values."""
    return {
        name: int(given.numbers[name][row]) if name in given.numbers else given.texts[name][given.names[name][row]]
        for name in CELL
    }
