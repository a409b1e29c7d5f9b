"""The ledger: who works on which step now. SQLite in WAL mode; it can be deleted and loses nothing."""

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

from specsci.core.errors import StoreError
from specsci.core.liveness import is_dead, process_name

__all__ = ["LEASE_S", "Ledger", "is_dead", "read_snapshot"]
FILE = "ledger.sqlite"

LEASE_S = 30.0
_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS claims (
  digest TEXT PRIMARY KEY, runner TEXT NOT NULL, label TEXT NOT NULL, claimed_at REAL NOT NULL, lease_until REAL NOT NULL);
CREATE TABLE IF NOT EXISTS runs (
  runner TEXT PRIMARY KEY, study TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL, started_at REAL NOT NULL,
  seen_at REAL NOT NULL, state TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS failures (
  digest TEXT NOT NULL, runner TEXT NOT NULL, label TEXT NOT NULL, at REAL NOT NULL, error TEXT NOT NULL);
COMMIT;
"""
"""All tables or none: somebody may look while they are made."""


class Ledger:
    """Claims with leases. A claim whose lease ran out may be taken by any runner."""

    def __init__(self, root: Path, study: str = "") -> None:
        self.runner = process_name()
        self.study = study
        self.path = path = root / FILE
        try:
            self.db = sqlite3.connect(path, timeout=30, isolation_level=None)
            self.db.execute("PRAGMA journal_mode=WAL")
            self.db.execute("PRAGMA synchronous=NORMAL")
            self.db.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            raise _unusable(path, error) from error

    def _do(self, statement: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """Run a statement; raises StoreError when the disk is full or the file is not a database."""
        try:
            return self.db.execute(statement, values)
        except sqlite3.DatabaseError as error:
            raise _unusable(self.path, error) from error

    def claim(self, digest: str, label: str) -> bool:
        """Take a step, if nobody holds a live lease on it."""
        now = time.time()
        cursor = self._do(
            "INSERT INTO claims VALUES (?, ?, ?, ?, ?) ON CONFLICT(digest) DO UPDATE SET runner = excluded.runner, "
            "label = excluded.label, claimed_at = excluded.claimed_at, lease_until = excluded.lease_until "
            "WHERE claims.lease_until < ? OR claims.runner = excluded.runner",
            (digest, self.runner, label, now, now + LEASE_S, now),
        )
        return cursor.rowcount == 1

    def renew(self, done: int = 0, total: int = 0) -> None:
        """Prolong this runner's leases and say that it lives."""
        now = time.time()
        self._do("UPDATE claims SET lease_until = ? WHERE runner = ?", (now + LEASE_S, self.runner))
        self._do("UPDATE runs SET seen_at = ?, done = ?, total = ? WHERE runner = ?", (now, done, total, self.runner))

    def release(self, digest: str) -> bool:
        """Give a step back; returns whether it was still this runner's."""
        return self._do("DELETE FROM claims WHERE digest = ? AND runner = ?", (digest, self.runner)).rowcount == 1

    def start_run(self, total: int) -> None:
        """Enter this runner as running, with the number of its steps."""
        now = time.time()
        self._do(
            "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, 'running', 0, ?)",
            (self.runner, self.study, socket.gethostname(), os.getpid(), now, now, total),
        )

    def end_run(self, state: str) -> None:
        """Give up all of this runner's claims and enter the state in which it ended."""
        self._do("DELETE FROM claims WHERE runner = ?", (self.runner,))
        self._do("UPDATE runs SET state = ?, seen_at = ? WHERE runner = ?", (state, time.time(), self.runner))

    def failed(self, digest: str, label: str, error: str) -> None:
        """Enter a step's failure with the error's text."""
        self._do("INSERT INTO failures VALUES (?, ?, ?, ?, ?)", (digest, self.runner, label, time.time(), error))

    def free_dead_claims(self) -> None:
        """Free claims of runners on this host whose process is gone, without waiting for the lease."""
        rows = self._do("SELECT DISTINCT runner FROM claims").fetchall()
        for (runner,) in rows:
            if is_dead(runner):
                self._do("DELETE FROM claims WHERE runner = ?", (runner,))
                self._do("UPDATE runs SET state = 'killed' WHERE runner = ? AND state = 'running'", (runner,))

    def snapshot(self) -> dict[str, list[dict[str, Any]]]:
        """Live claims, runs and the last failures, for `status`."""
        try:
            return _snapshot(self.db)
        except sqlite3.DatabaseError as error:
            raise _unusable(self.path, error) from error

    def close(self) -> None:
        """Close the connection to the database."""
        self.db.close()


def _unusable(path: Path, error: Exception) -> StoreError:
    hint = "free space, or delete the ledger file (no result is lost); finished steps are kept"
    if "readonly" in str(error) or "unable to open" in str(error):
        hint = "ask the store's owner for the right to write there, or name another place with --store DIR"
    return StoreError(f"the ledger cannot be used: {error}", where=str(path), hint=hint)


def read_snapshot(root: Path) -> dict[str, list[dict[str, Any]]]:
    """What `Ledger.snapshot` says, without writing anything: of a store that one may only read, or that never ran.

    Raises:
        StoreError: the ledger is not a database.
    """
    path = root / FILE
    nothing: dict[str, list[dict[str, Any]]] = {"claims": [], "runs": [], "failures": []}
    if not path.is_file():
        return nothing
    try:
        with _read_only(path) as db:
            made = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            return _snapshot(db) if made else nothing  # a runner is about to make its tables
    except (sqlite3.DatabaseError, OSError) as error:
        raise _unusable(path, error) from error


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


def _snapshot(db: sqlite3.Connection) -> dict[str, list[dict[str, Any]]]:
    """Claims of runners that may live, the last runs, and the last failures."""
    now = time.time()
    claims = db.execute(
        "SELECT digest, runner, label, claimed_at FROM claims WHERE lease_until >= ? ORDER BY claimed_at", (now,)
    ).fetchall()
    runs = db.execute("SELECT * FROM runs ORDER BY started_at DESC LIMIT 5").fetchall()
    failures = db.execute("SELECT digest, label, at, error FROM failures ORDER BY at DESC LIMIT 10").fetchall()
    run_keys = ("runner", "study", "host", "pid", "started_at", "seen_at", "state", "done", "total")
    found = [dict(zip(run_keys, row, strict=True)) for row in runs]
    for run in found:
        if run["state"] == "running" and is_dead(run["runner"]):
            run["state"] = "killed"
    return {
        "claims": [
            {"digest": d, "runner": r, "label": label, "running_s": round(now - at, 1)}
            for d, r, label, at in claims
            if not is_dead(r)
        ],
        "runs": found,
        "failures": [dict(zip(("digest", "label", "at", "error"), row, strict=True)) for row in failures],
    }
