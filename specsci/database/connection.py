"""Opening a store's results to read them, and nothing else with them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from specsci.core.errors import UserError
from specsci.database.stamp import DATABASE, FORMAT, said_of
from specsci.store.artifact import check_place

LOCKED = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "lock_configuration": "true",
}
"""A query reads the tables: no file, no network, no object of this program, and no setting that would change that."""
REBUILD = "run `specsci results rebuild`"


@contextmanager
def connect(root: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The results of a store, read-only and shut off from everything else.

    Raises:
        UserError: there are none yet; another program holds them; another version or another program built them; they are
            damaged, which may show while they are read.
    """
    check_place(root)
    path = Path(os.path.abspath(root)) / DATABASE  # noqa: PTH100 - links stay as they are named
    if not path.is_file():
        raise UserError(f"no results in {root}", hint="run a study first, or `specsci results rebuild`")
    try:
        db = duckdb.connect(str(path), read_only=True, config=dict(LOCKED))
    except duckdb.Error as error:
        raise _unopened(path, error) from error
    with db:
        _check_version(db, path)
        try:
            yield db
        except duckdb.Error as error:
            raise UserError(f"{path} cannot be read: {first_line(error)}", hint=REBUILD) from error


def _check_version(db: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Refuse a database that this version of specsci did not build."""
    try:
        said = said_of(db)
    except duckdb.Error as error:
        what = "was not built by this version of specsci, or is damaged"
        raise UserError(f"{path} {what}: {first_line(error)}", hint=REBUILD) from error
    if said.format != FORMAT:
        what = f"is of format {said.format} (specsci {said.specsci}); this version reads format {FORMAT}"
        raise UserError(f"{path} {what}", hint=REBUILD)


def _unopened(path: Path, error: duckdb.Error) -> UserError:
    """What is said of a database that cannot be opened."""
    text = str(error)
    if "lock" in text.lower() and isinstance(error, duckdb.IOException):
        return UserError(
            f"{path}: another program has it open to write: {first_line(error)}", hint="close that, or open it read-only"
        )
    if Path(f"{path}.wal").exists():
        what = f"{path} has a log beside it that is not its own ({DATABASE}.wal): a program that wrote in it was killed"
        return UserError(what, hint=f"{REBUILD}, which removes the log")
    if isinstance(error, duckdb.IOException) and not os.access(path, os.R_OK):
        return UserError(f"{path} may not be read by this account", hint="ask its owner for the right to read it")
    return UserError(f"{path} cannot be opened: {first_line(error)}", hint=f"{REBUILD}, which replaces it")


def first_line(error: Exception) -> str:
    """The first line of what a library says, which is the one for people."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def rows(
    db: duckdb.DuckDBPyConnection, query: str, params: list[Any] | dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """A query's rows as dicts by column name."""
    cursor = db.execute(query, params or [])
    names = [d[0] for d in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
