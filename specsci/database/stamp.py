"""Whether results.duckdb reflects the store: the database says of itself what it was built from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from specsci.core.ids import digest
from specsci.core.user_files import unhidden
from specsci.core.version import __version__
from specsci.database.manifest import manifests
from specsci.store.artifact import Store

DATABASE = "results.duckdb"
FORMAT = 23
"""Bumped by hand when the database's tables or answers change."""
WRITTEN = ("studies/*.json", "locks/*.json", "claims/*.json", "retired/*.json", "grades/*.json")
"""What the answers depend on beside the artefacts: manifests, and what people wrote."""
BUILT_FROM = """CREATE TABLE built_from (stamp VARCHAR, format INTEGER, specsci VARCHAR, built_at TIMESTAMP);
CREATE TABLE left_out (kind VARCHAR, name VARCHAR, study VARCHAR, reason VARCHAR, hint VARCHAR);"""
"""`built_from` has one row. `left_out` names what is damaged and therefore not in the other tables: a step's kind and digest, a
study, a manifest, a claim, a lock or a retirement by its file."""


@dataclass(frozen=True)
class BuiltFrom:
    """What a database says of itself: a digest of what it was built from, its format, and the version that built it."""

    stamp: str
    format: int
    specsci: str


def current_stamp(store: Store) -> str:
    """A digest of everything that the database is built from: manifests, what people wrote, and the artefacts that are there."""
    found = manifests(store)
    wanted = {kind for m in found for kind in m.steps.values()}
    listing = {kind: set(_listdir(store.root / "steps" / kind)) for kind in wanted}
    have = sorted(d for m in found for d, kind in m.steps.items() if d in listing[kind])
    said = {f"{p.parent.name}/{p.name}": _sha256(p) for pattern in WRITTEN for p in unhidden(store.root, pattern)}
    return digest({"have": have, "said": said, "format": FORMAT})


def is_current(store: Store) -> bool:
    """Whether the database is there, whole, and reflects the store as it is."""
    path = Path(os.path.abspath(store.root)) / DATABASE  # noqa: PTH100 - links stay as they are named
    if not path.is_file():
        return False
    try:
        with duckdb.connect(str(path), read_only=True) as db:
            found = said_of(db)
    except duckdb.Error:
        return False
    return found.format == FORMAT and found.stamp == current_stamp(store)


def said_of(db: duckdb.DuckDBPyConnection) -> BuiltFrom:
    """What an open database says of itself; raises duckdb.Error where it says nothing."""
    found = db.execute("SELECT stamp, format, specsci FROM built_from").fetchall()
    if len(found) != 1:
        raise duckdb.InvalidInputException("its table built_from has not one row")
    return BuiltFrom(*found[0])


def say(db: duckdb.DuckDBPyConnection, stamp: str, left_out: Sequence[tuple[Any, ...]]) -> None:
    """Write into a database what it was built from; where something was left out, it never counts as current."""
    db.execute(BUILT_FROM)
    if left_out:
        db.executemany("INSERT INTO left_out VALUES (?, ?, ?, ?, ?)", [list(row) for row in left_out])
    kept = f"incomplete: {stamp}" if left_out else stamp
    db.execute("INSERT INTO built_from VALUES (?, ?, ?, now()::TIMESTAMP)", [kept, FORMAT, __version__])


def _listdir(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() else []  # noqa: PTH208 - names alone, of many


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "unreadable"
