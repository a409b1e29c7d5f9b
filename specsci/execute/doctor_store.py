"""What a store's disk can do: links, renames, locks and clock, and which ledger it wants."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from specsci.core.errors import UserError
from specsci.execute.findings import Check
from specsci.store.disk import is_network
from specsci.store.ledger import FILES, SQLITE
from specsci.store.ledger.choice import VARIABLE, ledger_of, why

CLOCK_S = 5.0
"""Up to which difference the clocks of this machine and of the disk's are one."""
LOCK_WAIT_S = 30.0
_HOLD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


def store_checks(store: Path) -> Iterator[Check]:
    """What the disk of a store can do, tried in a folder that is removed again; the store need not exist."""
    there = next(p for p in (store, *store.resolve().parents) if p.exists())
    try:
        with tempfile.TemporaryDirectory(prefix=".specsci-doctor-", dir=there) as made:
            folder = Path(made)
            links, renames, locks = _links(folder), _renames(folder), _locks(folder)
            yield from (links, renames, locks, _clock(folder))
            yield _ledger(store, locks.level == "ok")
    except OSError as error:
        yield Check("store disk", "error", f"{there} cannot be written: {error.strerror}", "choose another place with --store DIR")


def _links(folder: Path) -> Check:
    """A name that can be made once only: what a claim is."""
    first = folder / "first"
    first.write_text("x")
    try:
        os.link(first, folder / "claim")
    except OSError as error:
        return Check("store links", "warn", f"no hard links ({error.strerror})", f"the ledger '{FILES}' cannot work here; take '{SQLITE}' on one machine")
    try:
        os.link(first, folder / "claim")
    except FileExistsError:
        return Check("store links", "ok", "a name can be made by one process alone")
    return Check("store links", "error", "one name was made twice", "this disk cannot hold a store that several runners share")


def _renames(folder: Path) -> Check:
    """A folder that is put in place whole, and never over one that is there: what publishing is."""
    hint = "this disk cannot hold a store: choose another place with --store DIR"
    for name in ("artefact", "second"):
        (folder / name).mkdir()
        (folder / name / "record.json").write_text(name)
    with suppress(OSError):  # as it should be
        (folder / "second").rename(folder / "artefact")
    if not (folder / "second").is_dir():
        return Check("store renames", "error", "a folder was renamed over another one that holds files", hint)
    (folder / "new").write_text("new")
    (folder / "new").replace(folder / "artefact" / "record.json")
    if (folder / "artefact" / "record.json").read_text() != "new":
        return Check("store renames", "error", "a file that was renamed over another one is not read as the new one", hint)
    return Check("store renames", "ok", "whole or not at all, and never over a folder that is there")


def _locks(folder: Path) -> Check:
    """Whether a lock of another process is seen, and WAL works: what SQLite rests on."""
    path = folder / "locks.sqlite"
    try:
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as db:
            mode = db.execute("PRAGMA journal_mode=WAL").fetchone()[0]
            db.execute("CREATE TABLE t (x)")
            holder = subprocess.Popen([sys.executable, "-c", _HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            try:
                assert holder.stdout is not None
                holder.stdout.readline()
                seen = _is_locked(db)
            finally:
                holder.communicate("", timeout=LOCK_WAIT_S)
    except (sqlite3.Error, OSError, subprocess.SubprocessError) as error:
        return Check("store locks", "warn", f"SQLite does not work here ({error})", f"take the ledger '{FILES}': {VARIABLE}={FILES}")
    if not seen or mode != "wal":
        what = "a lock of another process is not seen" if not seen else f"SQLite's journal is '{mode}' and not WAL"
        return Check("store locks", "warn", what, f"take the ledger '{FILES}': {VARIABLE}={FILES}")
    return Check("store locks", "ok", "SQLite sees the locks of other processes (of this machine)")


def _is_locked(db: sqlite3.Connection) -> bool:
    try:
        db.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        return True
    db.execute("ROLLBACK")
    return False


def _clock(folder: Path) -> Check:
    """The disk's clock (its server's, on a network disk) against this machine's."""
    before = time.time()
    (folder / "clock").write_text("x")
    after, written = time.time(), (folder / "clock").stat().st_mtime
    off = max(before - written, written - after, 0.0)
    if off > CLOCK_S:
        hint = "set this machine's clock; no lease rests on it, the times that `status` tells do"
        return Check("store clock", "warn", f"the disk's clock and this machine's are {off:.0f} s apart", hint)
    return Check("store clock", "ok", "this machine's and the disk's agree")


def _ledger(store: Path, locks: bool) -> Check:
    """The ledger that the store has or is to have, against what its disk wants."""
    try:
        name = ledger_of(store)
    except UserError as error:
        return Check("store ledger", "error", error.what, error.hint or "")
    text = f"'{name}' ({why(store)})"
    if name == SQLITE and (not locks or is_network(store)):
        place = store / "ledger.sqlite"
        hint = f"when nothing runs there, delete {place}* and set {VARIABLE}={FILES}; no result is lost"
        return Check("store ledger", "warn", f"{text}: SQLite's locks are not to be trusted there", hint)
    return Check("store ledger", "ok", text)
