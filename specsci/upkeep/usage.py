"""What lies in a store, how large it is, and which studies name it."""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from specsci.core.errors import GateRefused
from specsci.core.user_files import unhidden
from specsci.database.manifest import Manifest, damaged_manifests, manifests
from specsci.store.artifact import RECORD, Store

TUNING = "tuning"
"""Folder of the records of searches (`specsci tune`)."""


@dataclass(frozen=True)
class Artefact:
    """An artefact on disk: its size, when it was made, and the studies that name it."""

    kind: str
    digest: str
    bytes: int
    made_at: float
    studies: tuple[str, ...]
    folder: Path

    @property
    def age_s(self) -> float:
        """Seconds since it was made, by this machine's clock."""
        return max(0.0, time.time() - self.made_at)


def naming(store: Store) -> dict[str, list[str]]:
    """Step digest to the studies that name it, in present or former versions.

    Raises:
        GateRefused: a manifest cannot be read, so that nobody knows what it names.
    """
    damaged = damaged_manifests(store)
    if damaged:
        raise GateRefused(
            f"what studies name cannot be known: {damaged[0].what}",
            where=damaged[0].where,
            hint="run that study again, which writes its manifest anew; or remove the file",
        )
    found: dict[str, set[str]] = defaultdict(set)
    for manifest in manifests(store, superseded=True):
        for digest in named(manifest):
            found[digest].add(manifest.study)
    for path in unhidden(store.root / TUNING, "*.json"):
        for digest in _searched(path):
            found[digest].add(f"{path.stem} (tuning)")
    return {digest: sorted(studies) for digest, studies in found.items()}


def _searched(path: Path) -> list[str]:
    """The steps of a search's trials; raises GateRefused where they cannot be read."""
    try:
        return list(map(str, json.loads(path.read_text(encoding="utf-8"))["steps"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = "what a search needs cannot be known: its record cannot be read"
        raise GateRefused(what, where=str(path), hint="run `specsci tune` again, which writes it anew; or remove the file") from error


def named(manifest: Manifest) -> set[str]:
    """All steps that a manifest names."""
    return set(manifest.steps)


def artefacts(store: Store) -> list[Artefact]:
    """All artefacts, whole or not; raises GateRefused as `naming` does."""
    studies, found = naming(store), []
    for folder in unhidden(store.root / "steps", "*/*"):
        record = folder / RECORD
        made_at = record.stat().st_mtime if record.is_file() else folder.stat().st_mtime
        found.append(Artefact(folder.parent.name, folder.name, size(folder), made_at, tuple(studies.get(folder.name, ())), folder))
    return found


def size(place: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    if not place.is_dir() or place.is_symlink():
        return place.lstat().st_size if place.exists() or place.is_symlink() else 0
    total = 0
    for folder, _, names in os.walk(place):
        for name in names:
            try:
                total += os.lstat(Path(folder) / name).st_size
            except OSError:
                continue  # a runner at work took it away
    return total


BESIDE = ("checkpoints", "stage", "quarantine", "imports", "results.duckdb", "requests.sqlite")
"""What else of a store takes space."""


@dataclass(frozen=True)
class Line:
    """One line of an overview: how many artefacts, their bytes, and those that nothing else names."""

    name: str
    artefacts: int
    bytes: int
    alone_bytes: int | None = None


@dataclass(frozen=True)
class Usage:
    """How a store's space is used; studies may share artefacts, so that their lines add up to more than there is."""

    total_bytes: int
    kinds: list[Line]
    studies: list[Line]
    beside: list[Line]


def usage(store: Store, older_than_s: float = 0.0) -> Usage:
    """The space by kind and by study, of artefacts of some age; raises GateRefused as `naming` does."""
    found = [a for a in artefacts(store) if a.age_s >= older_than_s]
    kinds: dict[str, list[Artefact]] = defaultdict(list)
    studies: dict[str, list[Artefact]] = defaultdict(list)
    for one in found:
        kinds[one.kind].append(one)
        for study in one.studies or ("",):
            studies[study].append(one)
    beside = [Line(name, 0, size(store.root / name)) for name in BESIDE if (store.root / name).exists()]
    return Usage(
        total_bytes=sum(a.bytes for a in found) + sum(line.bytes for line in beside),
        kinds=sorted((Line(k, len(v), sum(a.bytes for a in v)) for k, v in kinds.items()), key=lambda line: -line.bytes),
        studies=[
            Line(name, len(v), sum(a.bytes for a in v), sum(a.bytes for a in v if len(a.studies) <= 1)) for name, v in sorted(studies.items())
        ],
        beside=beside,
    )
