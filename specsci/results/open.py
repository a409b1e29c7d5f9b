"""Opening a store's results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from specsci.errors import UserError
from specsci.results.stamp import DATABASE


def connect(root: Path) -> duckdb.DuckDBPyConnection:
    """The results of a store, read-only.

    Raises:
        UserError: there are none yet.
    """
    path = root / DATABASE
    if not path.is_file():
        raise UserError(f"no results in {root}", mend="run a study first, or `specsci results rebuild`")
    try:
        return duckdb.connect(str(path), read_only=True)
    except duckdb.Error as error:
        raise UserError(f"{path} cannot be opened: {error}", mend="delete it and run `specsci results rebuild`") from error


def rows(
    db: duckdb.DuckDBPyConnection, query: str, params: list[Any] | dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """A query's rows as dicts by column name."""
    cursor = db.execute(query, params or [])
    names = [d[0] for d in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
