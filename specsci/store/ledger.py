"""The ledger: who works on which step now. SQLite in WAL mode; it can be deleted and loses nothing."""

from __future__ import annotations

import os
import socket
import sqlite3
import time
import uuid
from pathlib import Path
from typing import Any

from specsci.errors import StoreError

LEASE_S = 30.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS claims (
  digest TEXT PRIMARY KEY, runner TEXT NOT NULL, label TEXT NOT NULL, claimed_at REAL NOT NULL, lease_until REAL NOT NULL);
CREATE TABLE IF NOT EXISTS runs (
  runner TEXT PRIMARY KEY, study TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL, started_at REAL NOT NULL,
  seen_at REAL NOT NULL, state TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS failures (
  digest TEXT NOT NULL, runner TEXT NOT NULL, label TEXT NOT NULL, at REAL NOT NULL, error TEXT NOT NULL);
"""


class Ledger:
    """Claims with leases. A claim whose lease ran out may be taken by any runner."""

    def __init__(self, root: Path, study: str = "") -> None:
        self.runner = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self.study = study
        self.path = path = root / "ledger.sqlite"
        try:
            self.db = sqlite3.connect(path, timeout=30, isolation_level=None)
            self.db.execute("PRAGMA journal_mode=WAL")
            self.db.execute("PRAGMA synchronous=NORMAL")
            self.db.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            raise _unusable(path, error) from error

    def _do(self, statement: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """Run a statement; raises StoreError when the disk is full or the file is no database."""
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
        now = time.time()
        self._do(
            "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, 'running', 0, ?)",
            (self.runner, self.study, socket.gethostname(), os.getpid(), now, now, total),
        )

    def end_run(self, state: str) -> None:
        self._do("DELETE FROM claims WHERE runner = ?", (self.runner,))
        self._do("UPDATE runs SET state = ?, seen_at = ? WHERE runner = ?", (state, time.time(), self.runner))

    def failed(self, digest: str, label: str, error: str) -> None:
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
        now = time.time()
        claims = self._do(
            "SELECT digest, runner, label, claimed_at FROM claims WHERE lease_until >= ? ORDER BY claimed_at", (now,)
        ).fetchall()
        runs = self._do("SELECT * FROM runs ORDER BY started_at DESC LIMIT 5").fetchall()
        failures = self._do("SELECT digest, label, at, error FROM failures ORDER BY at DESC LIMIT 10").fetchall()
        run_keys = ("runner", "study", "host", "pid", "started_at", "seen_at", "state", "done", "total")
        return {
            "claims": [
                {"digest": d, "runner": r, "label": label, "running_s": round(now - at, 1)} for d, r, label, at in claims
            ],
            "runs": [dict(zip(run_keys, row, strict=True)) for row in runs],
            "failures": [dict(zip(("digest", "label", "at", "error"), row, strict=True)) for row in failures],
        }

    def close(self) -> None:
        self.db.close()


def _unusable(path: Path, error: Exception) -> StoreError:
    mend = "free space, or delete the ledger file (no result is lost); finished steps are kept"
    return StoreError(f"the ledger cannot be used: {error}", where=str(path), mend=mend)


def is_dead(runner: str) -> bool:
    """Whether a runner was a process of this host that is gone."""
    name, _, pid = runner.rpartition("-")[0].rpartition("-")
    return name == socket.gethostname() and pid.isdigit() and not _alive(int(pid))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
