"""Checking a whole store against its records, and clearing up what is not whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from specsci.core.errors import CorruptArtifact
from specsci.core.files import leftovers, remove
from specsci.core.liveness import is_dead
from specsci.core.user_files import unhidden
from specsci.store.absent import FILE as ABSENT
from specsci.store.artifact import Store, owner_of
from specsci.store.record import MADE_ANEW, RECORD

IGNORED = ("log.txt", ABSENT, ".DS_Store", "Thumbs.db", "desktop.ini")
"""A step's log and the list of what is away, which are kept beside what the record names, and what file browsers leave behind."""


def check(store: Store, *, repair: bool = False) -> Iterator[CorruptArtifact]:
    """Every artefact that is not what was written; `repair` quarantines it, so that the next run makes it anew."""
    for folder in unhidden(store.root / "steps", "*/*"):
        error = _wrong(store, folder)
        if error is not None:
            if repair:
                store.quarantine(folder.parent.name, folder.name)
            yield error


def _wrong(store: Store, folder: Path) -> CorruptArtifact | None:
    kind, digest = folder.parent.name, folder.name
    if not folder.is_dir():
        return CorruptArtifact(f"'{digest}' is not an artefact's folder", digest=digest, where=str(folder), hint="remove it")
    try:
        record = store.verify(kind, digest, here=True)
    except CorruptArtifact as error:
        return error
    there = {
        p.relative_to(folder).as_posix()
        for p in folder.rglob("*")
        if not p.is_dir() and not p.name.startswith("._") and p.name not in IGNORED
    }
    more = sorted(there - record.files.keys() - {RECORD})
    if more:
        what = f"{kind} {digest}: its record does not know '{more[0]}'"
        return CorruptArtifact(what, digest=digest, where=str(folder / more[0]), hint=f"remove that file, or {MADE_ANEW}")
    return None


def left_behind(store: Store) -> list[Path]:
    """What killed processes left in a store: stages, temporary files, databases that were never put in place."""
    found = [
        p
        for folder in ("", "studies", "studies/superseded", "locks", "claims", "retired")
        for p in leftovers(store.root / folder)
    ]
    for imported in (store.root / "imports").glob("*"):
        found += leftovers(imported)
    found += leftovers(store.root / "imports")
    for folder in sorted((store.root / "stage").glob("*")):
        if is_dead(owner_of(folder)):
            found.append(folder)
    return sorted(set(found))


def clear(paths: list[Path]) -> None:
    """Remove what was left behind."""
    for path in paths:
        remove(path)


def readable_by_group(store: Store) -> list[Path]:
    """Files of artefacts that are less open than their own folder: written by a library that keeps them to itself."""
    found = []
    for folder in unhidden(store.root / "steps", "*/*"):
        wanted = folder.stat().st_mode & 0o044
        for place, _, names in os.walk(folder):
            found += [Path(place, n) for n in names if (Path(place, n).stat().st_mode & 0o044) & wanted != wanted]
    return found


def open_up(store: Store, paths: list[Path]) -> None:
    """Let who may read an artefact's folder read its files."""
    for path in paths:
        folder = store.root.joinpath(*path.relative_to(store.root).parts[:3])
        path.chmod(path.stat().st_mode | (folder.stat().st_mode & 0o044))
