"""SHA-256 of large files, read once: remembered by place in the file system, size, and times of content and inode.

For plans, which need the hashes of the same gigabytes again and again. What a step takes is hashed anew as it is copied (see `outside`),
so that no artefact rests on a remembered hash.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from specsci.core.errors import StoreError
from specsci.core.ids import file_sha256
from specsci.core.shipped import cache_folder

LARGE_BYTES = 4 * 2**20
"""Smaller files are hashed faster than they are looked up."""
SETTLED_NS = 2 * 10**9
"""A file that changed this shortly ago may change again within one tick of the clock: it is not remembered yet."""


def remembered_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, 64 hex digits; of a large file that has not changed since, as it was read then."""
    before = path.stat()
    sys.audit("specsci.read", str(path))  # a plan rests on it also where it is not opened
    if before.st_size < LARGE_BYTES:
        return file_sha256(path)
    key = _key(before)
    try:
        place = cache_folder("hashes") / "hashes.sqlite"
        with closing(sqlite3.connect(place, timeout=5, isolation_level=None)) as db:
            db.execute("CREATE TABLE IF NOT EXISTS hashes (key TEXT PRIMARY KEY, sha256 TEXT NOT NULL)")
            row = db.execute("SELECT sha256 FROM hashes WHERE key = ?", (key,)).fetchone()
            if row:
                return str(row[0])
            found = file_sha256(path)
            after = path.stat()
            if _key(after) == key and _is_settled(after, place):
                db.execute("INSERT OR REPLACE INTO hashes VALUES (?, ?)", (key, found))
            return found
    except (sqlite3.Error, StoreError):
        return file_sha256(path)


def _key(facts: os.stat_result) -> str:
    return f"{facts.st_dev}/{facts.st_ino}/{facts.st_size}/{facts.st_mtime_ns}/{facts.st_ctime_ns}"


def _is_settled(facts: os.stat_result, place: Path) -> bool:
    """Whether the last change lies back far enough, by the clock of the disk that remembers."""
    now = place.with_name(f"now-{os.getpid()}")
    try:
        now.write_bytes(b"")
        return now.stat().st_mtime_ns - max(facts.st_mtime_ns, facts.st_ctime_ns) > SETTLED_NS
    except OSError:
        return False
    finally:
        now.unlink(missing_ok=True)
