"""The file of the request ledger: its name, its tables, and how it is read without being written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from specsci.core.errors import StoreError

FILE = "requests.sqlite"
FORMAT = 1
SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS requests (
  digest TEXT PRIMARY KEY, study TEXT NOT NULL, generator TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
  batch TEXT, owner TEXT, reserved_usd REAL NOT NULL DEFAULT 0, usd REAL, text TEXT, stop TEXT, usage TEXT, model TEXT, residency TEXT,
  error TEXT, latency_s REAL, about TEXT NOT NULL, request TEXT NOT NULL, created_at REAL NOT NULL, sent_at REAL, ended_at REAL);
CREATE INDEX IF NOT EXISTS requests_by_batch ON requests (batch);
CREATE INDEX IF NOT EXISTS requests_by_state ON requests (state);
CREATE TABLE IF NOT EXISTS batches (
  mark TEXT PRIMARY KEY, id TEXT UNIQUE, provider TEXT NOT NULL, study TEXT NOT NULL, generator TEXT NOT NULL, owner TEXT NOT NULL, state TEXT NOT NULL,
  requests INTEGER NOT NULL, created_at REAL NOT NULL, ended_at REAL);
CREATE TABLE IF NOT EXISTS foreign_batches (id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS spent (
  scope TEXT PRIMARY KEY, settled_usd REAL NOT NULL DEFAULT 0, reserved_usd REAL NOT NULL DEFAULT 0,
  unknown_usd REAL NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS counts (
  scope TEXT NOT NULL, what TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (scope, what));
PRAGMA user_version = 1;
COMMIT;
"""


@contextmanager
def reading(root: Path) -> Iterator[sqlite3.Connection | None]:
    """A store's request ledger, for reading alone, its rows by name; None where the store has none.

    Raises:
        StoreError: the file is not a request ledger.
    """
    path = root / FILE
    if not path.is_file():
        yield None
        return
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=30)) as db:
            db.row_factory = sqlite3.Row
            yield db
    except sqlite3.DatabaseError as error:
        raise unusable(path, error) from error


def unusable(path: Path, error: Exception) -> StoreError:
    """The error of a file that cannot be used as a request ledger."""
    hint = "free space, or restore the file from a copy: it holds replies that were paid for"
    return StoreError(f"the request ledger cannot be used: {error}", where=str(path), hint=hint)
