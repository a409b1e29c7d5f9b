"""What of a store may go: artefacts that no study names, what killed runners left, and models whose scores are all there."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from specsci.core.errors import GateRefused, UserError
from specsci.core.files import temporary_beside
from specsci.core.kinds import trains
from specsci.database.manifest import Manifest, manifests
from specsci.store.absent import REMOVED, absent, mark
from specsci.store.artifact import Store, is_complete, read_record
from specsci.store.fsck import left_behind
from specsci.store.ledger import read_snapshot
from specsci.upkeep.usage import Artefact, artefacts, size

Keep = Literal["none", "last", "all"]
WEIGHTS = ("model/", "adapter/")
"""Folders of a model's artefact that go; its curves and its record stay."""


@dataclass(frozen=True)
class Removal:
    """Something that may go: a place, and of a model that is kept as a record alone the files below it."""

    what: str
    why: str
    place: Path
    bytes: int
    files: tuple[str, ...] = ()


def sweep(store: Store, *, older_than_s: float = 0.0, kinds: Collection[str] = (), keep_models: Keep = "all") -> list[Removal]:
    """What no study needs.

    Args:
        older_than_s: leave out what was made later.
        kinds: artefacts of these kinds alone.
        keep_models: which weights of finished studies stay.

    Raises:
        GateRefused: a manifest cannot be read, so that nobody knows what it names.
    """
    there = [a for a in artefacts(store) if a.age_s >= older_than_s and (not kinds or a.kind in kinds)]
    found = [Removal(f"{a.kind} {a.digest}", "no study names it", a.folder, a.bytes) for a in there if not a.studies]
    if not kinds:
        found += list(_left(store))
    return found + _weights(store, there, keep_models)


def _left(store: Store) -> Iterator[Removal]:
    """What killed runners left, what was quarantined, and checkpoints of steps that are done or that nobody runs."""
    running = {c["digest"] for c in read_snapshot(store.root)["claims"]}
    for place in left_behind(store):
        yield Removal(str(place.relative_to(store.root)), "its runner is gone", place, size(place))
    for place in sorted((store.root / "quarantine").glob("*")):
        yield Removal(f"quarantine/{place.name}", "it is damaged", place, size(place))
    done = {p.name for p in store.root.glob("steps/*/*")}
    for place in sorted((store.root / "checkpoints").glob("*")):
        if place.name.partition(".")[0] in done - running:
            yield Removal(f"checkpoints/{place.name}", "its step is done", place, size(place))


def _weights(store: Store, there: list[Artefact], keep: Keep) -> list[Removal]:
    """Weights of trained models that every study that names them has scored to the end."""
    if keep == "all":
        return []
    studies = manifests(store, superseded=False)
    finished = {m.study for m in studies if all(is_complete(store.path(kind, digest)) for digest, kind in m.steps.items())}
    last = set[str]().union(*(last_models(m) for m in studies)) if keep == "last" else set()
    found = []
    for one in there:
        if not trains(one.kind) or one.digest in last or not one.studies or not set(one.studies) <= finished:
            continue
        record, away = read_record(one.folder), absent(one.folder)
        files = tuple(n for n in (record.files if record else ()) if n.startswith(WEIGHTS) and n not in away.files)
        if record and files:
            freed = sum(record.files[name].bytes for name in files)
            found.append(Removal(f"weights of {record.label} [{one.digest}]", "all its scores are there", one.folder, freed, files))
    return found


def last_models(manifest: Manifest) -> set[str]:
    """The models of a study at each arm's largest AFT budget."""
    largest: dict[tuple[str, str, int], int] = defaultdict(int)
    for cell in manifest.cells:
        place = (cell.arm, cell.base_model, cell.seed)
        largest[place] = max(largest[place], cell.aft_tokens)
    found = {c.model_digest for c in manifest.cells if c.aft_tokens == largest[c.arm, c.base_model, c.seed]}
    return {digest for digest in found if digest}


def without_study(store: Store, study: str, *, force: bool = False) -> list[Removal]:
    """A study's manifests, and the artefacts that no other study names. What people wrote of it (locks, claims) stays.

    Raises:
        UserError: the store has no such study.
        GateRefused: it is running, or a manifest cannot be read.
    """
    files = [p for p in (store.root / "studies").rglob("*.json") if p.stem == study or (p.parent.name == "superseded" and p.name.startswith(f"{study}."))]
    if not files:
        known = ", ".join(m.study for m in manifests(store)) or "none"
        raise UserError(f"the store has no study '{study}'", hint=f"it has: {known}")
    refuse_running(store, study, force=force)
    found = [Removal(f"{a.kind} {a.digest}", f"only '{study}' names it", a.folder, a.bytes) for a in artefacts(store) if a.studies == (study,)]
    imported = store.root / "imports" / study
    more = [*files, *([imported] if imported.exists() else [])]
    return [*found, *(Removal(str(p.relative_to(store.root)), f"it is of '{study}'", p, size(p)) for p in more)]


def without_steps(store: Store, digests: Collection[str], *, force: bool = False) -> list[Removal]:
    """Artefacts by their digests, or by the beginnings of them.

    Raises:
        UserError: there is no such artefact, or several.
        GateRefused: a study names one, and `force` is not given.
    """
    there, found = artefacts(store), []
    for wanted in digests:
        some = [a for a in there if a.digest.startswith(wanted)]
        if len(some) != 1:
            what = "no artefact" if not some else f"{len(some)} artefacts"
            raise UserError(f"{what} of this store have a digest that begins with '{wanted}'", hint="`specsci results sql` has them in the table steps")
        one = some[0]
        if one.studies and not force:
            raise GateRefused(f"{one.kind} {one.digest} is named by {', '.join(one.studies)}", hint="with --force it is removed, and made anew by the next run")
        found.append(Removal(f"{one.kind} {one.digest}", "it was asked for", one.folder, one.bytes))
    return found


def refuse_running(store: Store, study: str | None = None, *, force: bool = False) -> None:
    """Refuse to take away what a runner may be at work with; raises GateRefused."""
    runs = [r for r in read_snapshot(store.root)["runs"] if r["state"] == "running" and study in (None, r["study"])]
    if runs and not force:
        what = f"'{runs[0]['study']}' is running on {runs[0]['host']} (process {runs[0]['pid']})"
        raise GateRefused(what, hint="wait for its end; or, where that machine is gone, add --force")


def carry_out(removals: Collection[Removal], store: Store | None = None) -> int:
    """Remove what was found; each in one rename first, so that nobody meets half of it. Returns the bytes that are free now.

    Args:
        store: where what lies elsewhere as well is removed there too.
    """
    freed = 0
    for one in removals:
        if store is not None and store.remote is not None:
            store.remote.drop(one.place, one.files)
        if one.files:
            mark(one.place, REMOVED, {*absent(one.place).files, *one.files})
            for name in one.files:
                (one.place / name).unlink(missing_ok=True)
        elif one.place.is_dir() and not one.place.is_symlink():
            away = temporary_beside(one.place)
            try:
                one.place.rename(away)
            except FileNotFoundError:
                continue  # another process removed it first
            shutil.rmtree(away, ignore_errors=True)
        else:
            one.place.unlink(missing_ok=True)
        freed += one.bytes
    return freed
