"""The ledger as one SQLite database in WAL mode: for disks of this machine."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from typing_extensions import override

from specsci.core.errors import StoreError
from specsci.store.ledger.ledger import FAILURES, Ledger, Snapshot, seen_claims, seen_run, seen_runs

FILE, FORMAT = "ledger.sqlite", 2
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS claims (
  digest TEXT PRIMARY KEY, runner TEXT NOT NULL, token INTEGER NOT NULL, label TEXT NOT NULL, claimed_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS tokens (last INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS runs (
  runner TEXT PRIMARY KEY, study TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL, started_at REAL NOT NULL,
  seen_at REAL NOT NULL, state TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL DEFAULT 0,
  beat INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS failures (
  digest TEXT NOT NULL, runner TEXT NOT NULL, label TEXT NOT NULL, at REAL NOT NULL, error TEXT NOT NULL);
INSERT INTO tokens SELECT 0 WHERE NOT EXISTS (SELECT * FROM tokens);
PRAGMA user_version = {FORMAT};
COMMIT;
"""
"""All tables or none: somebody may look while they are made."""
_RUN = ("runner", "study", "host", "pid", "started_at", "seen_at", "state", "done", "total")


class SqliteLedger(Ledger):
    """Claims, runs and failures in tables; tokens count up over the whole ledger."""

    name = "sqlite"

    def __init__(self, root: Path, study: str = "") -> None:
        super().__init__(root, study)
        self.path = path = root / FILE
        try:
            self.db = sqlite3.connect(path, timeout=30, isolation_level=None)
            self.db.execute("PRAGMA journal_mode=WAL")
            self.db.execute("PRAGMA synchronous=NORMAL")
            self._make()
        except sqlite3.DatabaseError as error:
            raise unusable(path, error) from error

    def _make(self) -> None:
        """Make the tables; those of a version before hold nothing that is not made anew."""
        version = self.db.execute("PRAGMA user_version").fetchone()[0]
        if version > FORMAT:
            raise StoreError("the ledger is of a newer specsci", where=str(self.path), hint="update specsci, or delete the ledger")
        if version == 0 and self.db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            self.db.executescript("BEGIN IMMEDIATE; DROP TABLE IF EXISTS claims; DROP TABLE IF EXISTS runs; COMMIT;")
        if version < FORMAT:
            self.db.executescript(_SCHEMA)

    def _do(self, statement: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """Run a statement; raises StoreError when the disk is full or the file is not a database."""
        try:
            return self.db.execute(statement, values)
        except sqlite3.DatabaseError as error:
            raise unusable(self.path, error) from error

    @contextmanager
    def _change(self) -> Iterator[None]:
        """A transaction: all of it or nothing, whatever other processes do."""
        self._do("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._do("ROLLBACK")
            raise
        self._do("COMMIT")

    @override
    def _claim(self, digest: str, label: str) -> int:
        held = "SELECT c.runner, coalesce(r.beat, 0) FROM claims c LEFT JOIN runs r ON r.runner = c.runner WHERE c.digest = ?"
        row = self._do(held, (digest,)).fetchone()
        if row is not None and row[0] != self.runner and not self.watch.silent(*row):
            return 0
        with self._change():
            if self._do(held, (digest,)).fetchone() != row:
                return 0  # another runner was first
            token = int(self._do("UPDATE tokens SET last = last + 1 RETURNING last").fetchone()[0])
            self._do("INSERT OR REPLACE INTO claims VALUES (?, ?, ?, ?, ?)", (digest, self.runner, token, label, time.time()))
        return token

    @override
    def _release(self, digest: str, token: int) -> bool:
        gone = self._do("DELETE FROM claims WHERE digest = ? AND runner = ? AND token = ?", (digest, self.runner, token))
        return gone.rowcount == 1

    @override
    def holds(self, digest: str, runner: str, token: int) -> bool:
        return bool(self._do("SELECT runner, token FROM claims WHERE digest = ?", (digest,)).fetchone() == (runner, token))

    @override
    def start_run(self, total: int) -> None:
        now = time.time()
        self._do(
            "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, 'running', 0, ?, 0)",
            (self.runner, self.study, socket.gethostname(), os.getpid(), now, now, total),
        )

    @override
    def renew(self, done: int = 0, total: int = 0) -> None:
        values = (time.time(), done, total, self.runner)
        self._do("UPDATE runs SET beat = beat + 1, seen_at = ?, done = ?, total = ? WHERE runner = ?", values)

    @override
    def end_run(self, state: str) -> None:
        self._do("DELETE FROM claims WHERE runner = ?", (self.runner,))
        self._do("UPDATE runs SET state = ?, seen_at = ? WHERE runner = ?", (state, time.time(), self.runner))
        self.tokens.clear()

    @override
    def failed(self, digest: str, label: str, error: str) -> None:
        self._do("INSERT INTO failures VALUES (?, ?, ?, ?, ?)", (digest, self.runner, label, time.time(), error))

    @override
    def snapshot(self) -> Snapshot:
        try:
            return _snapshot(self.db)
        except sqlite3.DatabaseError as error:
            raise unusable(self.path, error) from error

    @override
    def close(self) -> None:
        self.db.close()


def unusable(path: Path, error: Exception) -> StoreError:
    """What is said of a ledger that cannot be read or written."""
    hint = "free space, or delete the ledger file (no result is lost); finished steps are kept"
    if "readonly" in str(error) or "unable to open" in str(error):
        hint = "ask the store's owner for the right to write there, or name another place with --store DIR"
    return StoreError(f"the ledger cannot be used: {error}", where=str(path), hint=hint)


def read(root: Path) -> Snapshot | None:
    """What `SqliteLedger.snapshot` says, without writing anything; None where there is no ledger of a form that can be read.

    Raises:
        StoreError: the file is not a database.
    """
    path = root / FILE
    if not path.is_file():
        return None
    try:
        with _read_only(path) as db:
            return _snapshot(db) if db.execute("PRAGMA user_version").fetchone()[0] == FORMAT else None
    except (sqlite3.DatabaseError, OSError) as error:
        raise unusable(path, error) from error


def holder(root: Path, digest: str) -> tuple[str, int] | None:
    """Who holds a step, and under which token, for a process that has not opened the ledger; None for nobody."""
    path = root / FILE
    if not path.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True, timeout=30)) as db:
            row = db.execute("SELECT runner, token FROM claims WHERE digest = ?", (digest,)).fetchone()
    except sqlite3.DatabaseError as error:
        raise unusable(path, error) from error
    return (str(row[0]), int(row[1])) if row else None


@contextmanager
def _read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """The ledger, or a copy of it where SQLite would have to write beside it (its log's index) and may not."""
    if os.access(path.parent, os.W_OK):
        with closing(sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True, timeout=30)) as db:
            yield db
        return
    with tempfile.TemporaryDirectory(prefix="specsci-") as folder:
        for file in (path, path.with_name(f"{FILE}-wal")):
            if file.is_file():
                shutil.copyfile(file, Path(folder) / file.name)
        with closing(sqlite3.connect(Path(folder) / FILE)) as db:
            yield db


def _snapshot(db: sqlite3.Connection) -> Snapshot:
    runs = [seen_run(dict(zip(_RUN, row, strict=True))) for row in db.execute(f"SELECT {', '.join(_RUN)} FROM runs ORDER BY started_at DESC")]
    claims = db.execute("SELECT digest, runner, label, claimed_at FROM claims").fetchall()
    failures = db.execute("SELECT digest, label, at, error FROM failures ORDER BY at DESC LIMIT ?", (FAILURES,)).fetchall()
    return {
        "claims": seen_claims(claims, runs),
        "runs": seen_runs(runs),
        "failures": [dict(zip(("digest", "label", "at", "error"), row, strict=True)) for row in failures],
    }
