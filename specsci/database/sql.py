"""A user's query on the results: its columns and rows as values that every format can show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from specsci.core.errors import InputFileError, Problem, UserError

READS_HINT = "a query reads the tables of the results alone; open results.duckdb with DuckDB itself for anything else"
TABLES_HINT = '`specsci results sql "SHOW TABLES"` lists the tables'


def query_in(file: Path) -> str:
    """A file's query.

    Raises:
        UserError: it cannot be read.
        InputFileError: it is not UTF-8.
    """
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise UserError(f"the query cannot be read: {error.strerror or error}", where=str(file)) from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line, column = before.count(b"\n") + 1, len(before) - (before.rfind(b"\n") + 1) + 1
        problem = Problem(str(file), line, column, f"is not UTF-8 (byte {error.start})", "save it as UTF-8")
        raise InputFileError([problem]) from error


def answer(db: duckdb.DuckDBPyConnection, query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names, each another, and rows.

    Raises:
        UserError: there is no query in the text, or it fails.
    """
    try:
        for statement in db.extract_statements(query):
            if statement.type == duckdb.StatementType.PRAGMA:  # DuckDB before 2.0 takes some although its settings are locked
                raise UserError("the query failed: a PRAGMA is not a query", hint=READS_HINT)
        cursor = db.execute(query)
        if cursor is None:
            raise UserError("there is no query in it, only comments or semicolons", hint=TABLES_HINT)
        described = cursor.description or []
        names = apart([d[0] for d in described])
        if any("TIME ZONE" in str(d[1]) for d in described):
            # Python objects of these types need another library; DuckDB writes them as text, with their zone
            columns = [f"c{n}" for n in range(len(names))]
            wanted = [
                f"CAST({c} AS VARCHAR)" if "TIME ZONE" in str(d[1]) else c for c, d in zip(columns, described, strict=True)
            ]
            text = db.extract_statements(query)[-1].query.strip().rstrip(";")
            cursor = db.execute(f"SELECT {', '.join(wanted)} FROM (\n{text}\n) AS given({', '.join(columns)})")
        return names, [] if cursor is None else cursor.fetchall()
    except (duckdb.Error, UnicodeEncodeError) as error:
        raise UserError(f"the query failed: {error}", hint=_hint(error)) from error


def _hint(error: Exception) -> str:
    if isinstance(error, duckdb.PermissionException) or "locked" in str(error):
        return READS_HINT
    return TABLES_HINT


def apart(names: Sequence[str]) -> list[str]:
    """Names of which no two are equal: the second `a` is `a_1`, as DuckDB calls it."""
    found: list[str] = []
    for name in names:
        new, number = name, 0
        while new in found or (new != name and new in names):
            number += 1
            new = f"{name}_{number}"
        found.append(new)
    return found


def json_value(value: Any) -> Any:
    """A value as JSON has one: numbers that are not finite are null, decimals are numbers, keys are texts."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return json_value(float(value)) if value.is_nan() or value % 1 else int(value)
    if isinstance(value, dict):
        return {str(k): json_value(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(v) for v in value]
    return value
