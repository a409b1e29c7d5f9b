"""results.duckdb, built from the store's Parquet rows and put in place of the old file when it is whole.

Readers that have the old file open keep it; nobody sees half a database. What is damaged is left out and named in the table
`left_out`; everything else is served.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb

from specsci.core.errors import SpecsciError, StoreError
from specsci.core.files import leftovers, remove, sync, temporary_beside, unwritable
from specsci.database.connection import first_line
from specsci.database.manifest import Manifest, manifests
from specsci.database.stamp import DATABASE, current_stamp, say
from specsci.results.derived_tables import add_answers
from specsci.results.fill import LeftOut, damaged_files, fill
from specsci.store.artifact import Store, check_place

SQL = Path(__file__).parent
LOCK = ".results.lock"
LOCK_WAIT_S = 120.0
MEMORY_SHARE = 0.75
"""Of what DuckDB would take by itself (80 % of the machine's memory)."""


def build(store: Store, study: str | None = None) -> Path:
    """Build the database anew; the files it takes are checked against their records first.

    Args:
        study: a study without which the database is of no use to the caller.

    Raises:
        StoreError: the new file cannot be written (the old one stays), or the study named, or every study, is damaged.
    """
    check_place(store.root)
    target = Path(os.path.abspath(store.root)) / DATABASE  # noqa: PTH100 - links stay as they are named
    with _alone(store):
        for left in [*leftovers(store.root), store.root / "results.stamp"]:  # the stamp of earlier versions
            remove(left)
        folder = temporary_beside(store.root / "results")
        try:
            folder.mkdir(parents=True)
            _write_whole_ones(store, folder, study)
            _put_in_place(folder / DATABASE, target)
        except OSError as error:
            if isinstance(error, SpecsciError):
                raise
            raise unwritable(target, error, "the results") from error
        finally:
            remove(folder)
    return target


def left_out(root: Path) -> list[dict[str, Any]]:
    """What the database of a store lacks because it is damaged: kind, name, study, reason and hint."""
    from specsci.database.connection import connect, rows

    with connect(root) as db:
        return rows(db, "SELECT kind, name, study, reason, hint FROM left_out ORDER BY ALL")


@contextmanager
def _alone(store: Store) -> Iterator[None]:
    """One builder at a time, so that the last one in place is the last that looked at the store.

    A builder that is stopped holds nobody up for longer than `LOCK_WAIT_S`: the database says what it was built from, and an
    older one is built anew by the next run.
    """
    try:
        descriptor = os.open(store.root / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise unwritable(store.root / DATABASE, error, "the results") from error
    try:
        until = time.monotonic() + LOCK_WAIT_S
        while time.monotonic() < until:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.05)
            except OSError:
                break  # a file system without locks
        yield
    finally:
        os.close(descriptor)


def _write_whole_ones(store: Store, folder: Path, study: str | None) -> list[LeftOut]:
    """Write the database of all studies, or, where that fails, of those that can be built one by one."""
    stamp = current_stamp(store)
    found = manifests(store)
    try:
        return _write(store, folder / DATABASE, found, stamp, damaged_files(store))
    except Exception as error:
        if _is_of_the_machine(error):
            raise unwritable(store.root / DATABASE, error, "the results") from error
        bad = {m.study: why for m in found if (why := _alone_fails(store, m))}
        if study in bad:
            raise _as_store_error(bad[study]) from bad[study]
        if len(bad) in (0, len(found)):
            raise _as_store_error(error) from error
    remove(folder / DATABASE)
    remove(folder / f"{DATABASE}.wal")
    whole = [m for m in found if m.study not in bad]
    missing = [*damaged_files(store), *(("study", name, name, *_said(why)) for name, why in bad.items())]
    return _write(store, folder / DATABASE, whole, stamp, missing)


def _write(store: Store, path: Path, found: list[Manifest], stamp: str, missing: list[LeftOut]) -> list[LeftOut]:
    """Write one database, and read it back."""
    with duckdb.connect(str(path), config={"temp_directory": str(path.with_name("spill"))}) as db:
        _limit_memory(db)
        missing = [*missing, *_populate(db, store, found)]
        _name_claims_left_out(db, missing)
        say(db, stamp, missing)
        counts = _counts(db)
        db.execute("CHECKPOINT")
    if Path(f"{path}.wal").exists():
        raise StoreError("the results cannot be written: a log was left", where=str(path), hint="free space")
    with duckdb.connect(str(path), read_only=True) as db:
        if _counts(db) != counts:
            raise StoreError("the results that were written do not read back", where=str(path), hint="check the disk")
    return missing


def _populate(db: duckdb.DuckDBPyConnection, store: Store, found: list[Manifest]) -> list[LeftOut]:
    db.execute((SQL / "schema.sql").read_text(encoding="utf-8"))
    missing = fill(db, store, found)
    db.execute((SQL / "views.sql").read_text(encoding="utf-8"))
    add_answers(db, store, found)
    return missing


def _alone_fails(store: Store, manifest: Manifest) -> Exception | None:
    """Why one study cannot be built by itself; None where it can."""
    try:
        with duckdb.connect() as db:
            _populate(db, store, [manifest])
    except Exception as error:  # noqa: BLE001 - returned, and named in `left_out`
        return error
    return None


def _limit_memory(db: duckdb.DuckDBPyConnection) -> None:
    """Leave room for the rest of the machine; DuckDB's own limit is written like `18.7 GiB`."""
    row = db.execute("SELECT current_setting('memory_limit')").fetchone()
    number, _, unit = str(row[0] if row else "").partition(" ")
    with suppress(ValueError):
        db.execute(f"SET memory_limit = '{float(number) * MEMORY_SHARE:.1f}{unit}'")


def _counts(db: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Rows of every table."""
    names = [n for (n,) in db.execute("SELECT table_name FROM duckdb_tables() WHERE NOT temporary ORDER BY 1").fetchall()]
    return dict(db.execute(" UNION ALL ".join(f"SELECT '{n}', count(*) FROM \"{n}\"" for n in names)).fetchall())


def _name_claims_left_out(db: duckdb.DuckDBPyConnection, missing: list[LeftOut]) -> None:
    """A claim on a study that is left out is not withdrawn: how it stands cannot be told."""
    for name in {row[2] for row in missing if row[0] == "study"}:
        why = f"its study '{name}' is damaged and left out of the results"
        db.execute("UPDATE claims SET status = 'draft', why = ? WHERE study = ?", [why, name])


def _put_in_place(made: Path, target: Path) -> None:
    """Rename a whole database over the old one, and remove the log that another program left beside that."""
    sync(made)
    Path(f"{target}.wal").unlink(missing_ok=True)
    made.replace(target)
    with suppress(OSError):
        sync(target.parent)


def _is_of_the_machine(error: Exception) -> bool:
    """Whether an error tells of memory or disk, and of no study."""
    kinds = (duckdb.IOException, duckdb.FatalException, duckdb.TransactionException, duckdb.OutOfMemoryException)
    return isinstance(error, kinds)


def _said(error: Exception) -> tuple[str, str]:
    """What is wrong and what helps."""
    if isinstance(error, SpecsciError):
        return (f"{error.where}: {error.what}" if error.where else error.what), error.hint
    return f"{type(error).__name__}: {first_line(error)}", "run `specsci doctor --verify`"


def _as_store_error(error: Exception) -> Exception:
    """What DuckDB says as an error of the store; anything else as it is."""
    if isinstance(error, duckdb.Error):
        return StoreError(f"the results cannot be built: {first_line(error)}", hint="run `specsci doctor --verify`")
    return error
