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
        path = root / "ledger.sqlite"
        try:
            self.db = sqlite3.connect(path, timeout=30, isolation_level=None)
            self.db.execute("PRAGMA journal_mode=WAL")
            self.db.execute("PRAGMA synchronous=NORMAL")
            self.db.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"the ledger cannot be used: {error}",
                where=str(path),
                mend="delete the ledger file (no result is lost), or free space",
            ) from error

    def claim(self, digest: str, label: str) -> bool:
        """Take a step, if nobody holds a live lease on it."""
        now = time.time()
        cursor = self.db.execute(
            "INSERT INTO claims VALUES (?, ?, ?, ?, ?) ON CONFLICT(digest) DO UPDATE SET runner = excluded.runner, "
            "label = excluded.label, claimed_at = excluded.claimed_at, lease_until = excluded.lease_until "
            "WHERE claims.lease_until < ? OR claims.runner = excluded.runner",
            (digest, self.runner, label, now, now + LEASE_S, now),
        )
        return cursor.rowcount == 1

    def renew(self, done: int = 0, total: int = 0) -> None:
        """Prolong this runner's leases and say that it lives."""
        now = time.time()
        self.db.execute("UPDATE claims SET lease_until = ? WHERE runner = ?", (now + LEASE_S, self.runner))
        self.db.execute("UPDATE runs SET seen_at = ?, done = ?, total = ? WHERE runner = ?", (now, done, total, self.runner))

    def release(self, digest: str) -> None:
        self.db.execute("DELETE FROM claims WHERE digest = ? AND runner = ?", (digest, self.runner))

    def start_run(self, total: int) -> None:
        now = time.time()
        self.db.execute(
            "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, 'running', 0, ?)",
            (self.runner, self.study, socket.gethostname(), os.getpid(), now, now, total),
        )

    def end_run(self, state: str) -> None:
        self.db.execute("DELETE FROM claims WHERE runner = ?", (self.runner,))
        self.db.execute("UPDATE runs SET state = ?, seen_at = ? WHERE runner = ?", (state, time.time(), self.runner))

    def failed(self, digest: str, label: str, error: str) -> None:
        self.db.execute("INSERT INTO failures VALUES (?, ?, ?, ?, ?)", (digest, self.runner, label, time.time(), error))

    def free_dead_claims(self) -> None:
        """Free claims of runners on this host whose process is gone, without waiting for the lease."""
        rows = self.db.execute("SELECT DISTINCT runner FROM claims").fetchall()
        host = socket.gethostname()
        for (runner,) in rows:
            name, pid, _ = runner.rsplit("-", 2)
            if name == host and not _alive(int(pid)):
                self.db.execute("DELETE FROM claims WHERE runner = ?", (runner,))
                self.db.execute("UPDATE runs SET state = 'killed' WHERE runner = ? AND state = 'running'", (runner,))

    def snapshot(self) -> dict[str, list[dict[str, Any]]]:
        """Live claims, runs and the last failures, for `status`."""
        now = time.time()
        claims = self.db.execute(
            "SELECT digest, runner, label, claimed_at FROM claims WHERE lease_until >= ? ORDER BY claimed_at", (now,)
        ).fetchall()
        runs = self.db.execute("SELECT * FROM runs ORDER BY started_at DESC LIMIT 5").fetchall()
        failures = self.db.execute("SELECT digest, label, at, error FROM failures ORDER BY at DESC LIMIT 10").fetchall()
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


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
