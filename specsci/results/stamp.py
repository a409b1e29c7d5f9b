"""Whether results.duckdb reflects the store, without opening it."""

from __future__ import annotations

import os
from pathlib import Path

from specsci.ids import digest
from specsci.results.manifest import manifests
from specsci.store.artifact import Store

DATABASE, STAMP = "results.duckdb", "results.stamp"
FORMAT = 12
"""Bumped by hand when the database's tables or answers change."""
WRITTEN = ("locks/*.json", "claims/*.json", "retired/*.json")
"""What people wrote that the answers depend on."""


def current_stamp(store: Store) -> str:
    """A digest of everything that the database is built from: manifests, and the artefacts that are there."""
    found = manifests(store)
    wanted = {kind for m in found for kind in m["steps"].values()}
    listing = {kind: set(_listdir(store.root / "steps" / kind)) for kind in wanted}
    have = sorted(d for m in found for d, kind in m["steps"].items() if d in listing[kind])
    said = {p.name: p.read_text(encoding="utf-8") for pattern in WRITTEN for p in sorted(store.root.glob(pattern))}
    return digest({"manifests": found, "have": have, "said": said, "format": FORMAT})


def is_current(store: Store) -> bool:
    """Whether the database is there and reflects the store as it is."""
    try:
        stamp = (store.root / STAMP).read_text(encoding="utf-8")
    except OSError:
        return False
    return (store.root / DATABASE).is_file() and stamp == current_stamp(store)


def _listdir(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() else []
