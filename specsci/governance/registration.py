"""Pre-registration: what a study declared before its first score, and what was changed since."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from specsci.core.errors import GateRefused, StoreError
from specsci.core.ids import digest
from specsci.core.levels import arm_of
from specsci.core.user_files import unhidden
from specsci.database.manifest import Manifest, damaged_manifests, manifests
from specsci.database.manifest_parts import Cell
from specsci.governance.json_records import read_one, write_one
from specsci.store.artifact import Store
from specsci.study.evals import EVALS

LOCKS, CELLS = "locks", "cells"
FROZEN = ("hypothesis", "correction", "contrasts", "token_efficiency", "evals", "arms", "replicates")
"""Parts of a manifest that a lock freezes: hypotheses, contrasts with family and scale, exclusion rules, sample size. Beside
them it freezes what is trained and asked, as one digest over the steps of all cells."""


@dataclass(frozen=True)
class Lock:
    """A frozen analysis plan: when it was frozen, and how many cells had been scored by then (0, or it came late).

    `earlier` are the locks that it replaced, each with its date and digest. `sealed` is the digest of all of it as it was made:
    one line to post elsewhere (a commit, OSF, a time stamp), since whoever edits the file can edit this as well.
    """

    study: str
    date: str
    scored_cells: int
    plan: dict[str, Any]
    earlier: list[dict[str, str]] = field(default_factory=list)
    sealed: str = ""

    @property
    def digest(self) -> str:
        """Over date, scored cells, plan and the locks before it."""
        return digest({k: v for k, v in vars(self).items() if k != "sealed"})

    @property
    def edited(self) -> str:
        """What speaks against the file being the lock that was made; empty where nothing does."""
        if not self.sealed:
            return "it has no digest: an older version made it, or it was edited"
        return (
            ""
            if self.sealed == self.digest
            else f"it was edited: its digest is {self.digest}, it was made with {self.sealed}"
        )


@dataclass(frozen=True)
class Stamp:
    """How a contrast stands to the lock: a code for programs, a sentence for people."""

    code: Literal["unregistered", "registered", "late", "exploratory", "left_plan"]
    text: str


def lock_path(store: Store, study: str) -> Path:
    """The file that holds a study's lock, there or not."""
    return store.root / LOCKS / f"{study}.json"


def read_lock(store: Store, study: str) -> Lock | None:
    """A study's lock; None where it has none.

    Raises:
        StoreError: the file is there and cannot be read as one.
    """
    path = lock_path(store, study)
    if not path.is_file():
        return None
    lock = read_one(path, Lock, "lock")
    missing = {*FROZEN, CELLS} - set(lock.plan)
    if missing:
        what = f"the lock lacks {', '.join(sorted(missing))}"
        raise StoreError(what, where=str(path), hint="restore the file from a copy")
    return lock


def lock_study(store: Store, manifest: Manifest) -> tuple[Lock, bool]:
    """Freeze a study's analysis plan; the same plan again changes nothing. Returns the lock, and whether it is new.

    A plan may be frozen anew for as long as nothing is scored.

    Raises:
        GateRefused: another plan is frozen and scores exist.
    """
    study, scored = manifest.study, scored_cells(store, manifest)
    before = read_lock(store, study)
    lock = Lock(study, datetime.date.today().isoformat(), scored, plan_of(manifest))
    if before and before.edited and scored:
        raise GateRefused(
            f"the lock of '{study}' is not as it was made: {before.edited}; {scored:,} of its cells are scored",
            where=str(lock_path(store, study)),
            hint="restore the file from a copy; until then nothing is registered",
        )
    if before and not before.edited and before.plan == lock.plan:
        return before, False
    if before and scored:
        raise GateRefused(
            f"'{study}' is locked since {before.date} on another plan, and {scored:,} of its cells are scored",
            where=str(lock_path(store, study)),
            hint="nothing: what was changed since is stamped exploratory in the results",
        )
    if before:
        lock = replace(lock, earlier=[*before.earlier, {"date": before.date, "digest": before.digest}])
    lock = replace(lock, sealed=lock.digest)
    write_one(lock_path(store, study), lock)
    return lock, True


def plan_of(manifest: Manifest) -> dict[str, Any]:
    """What a lock freezes of a study."""
    said = manifest.model_dump(include=set(FROZEN), exclude_unset=True)
    return {**{k: said[k] for k in FROZEN}, CELLS: digest(sorted(_asked(manifest, c) for c in manifest.cells))}


def _asked(manifest: Manifest, cell: Cell) -> str:
    """What a cell asks; of scores that are made elsewhere the model and the items alone, since they come after the lock."""
    if not _elsewhere(manifest, cell):
        return cell.step_digest
    asked = manifest.evals[cell.eval].items or ""
    items = manifest.family_parts.items.get(asked) if manifest.family_parts else None
    place = {"eval": cell.eval, "arm": cell.arm, "seed": cell.seed, "aft_tokens": cell.aft_tokens, "model": cell.model_digest}
    return digest({**place, "harness": cell.harness, "items": items or asked})


def _elsewhere(manifest: Manifest, cell: Cell) -> bool:
    kind = EVALS.get(manifest.evals[cell.eval].kind or "")
    return kind is not None and kind.elsewhere


def scored_cells(store: Store, manifest: Manifest) -> int:
    """Cells that the store has scores of: of the study as it is handed in, and as it was run under this name before.

    Scores that were made elsewhere count from when their file is there: whoever locks then may have seen them.

    Raises:
        StoreError: a manifest of the study cannot be read, so that what it scored is not known.
    """
    for error in damaged_manifests(store):
        if Path(error.where).name.partition(".")[0] == manifest.study.partition(".")[0]:
            raise error
    same = [m for m in manifests(store, superseded=True) if m.study == manifest.study]
    steps = {c.step_digest for m in (manifest, *same) for c in m.cells}
    brought = {c.step_digest for m in (manifest, *same) for c in m.cells if c.step_digest in m.steps and _elsewhere(m, c)}
    return sum(step in brought or store.path("score", step).is_dir() for step in steps)


def stamps(manifest: Manifest, lock: Lock | None) -> dict[str, Stamp]:
    """Each contrast's registration: `unregistered`, `registered DATE`, `late: ...`, or `exploratory: ...` with what changed."""
    names = [c.name for c in manifest.contrasts]
    if lock is None:
        return dict.fromkeys(names, Stamp("unregistered", "unregistered"))
    if lock.edited:
        said = f"unregistered: the lock of {lock.date} does not count, {lock.edited}"
        return dict.fromkeys(names, Stamp("unregistered", said))
    now = plan_of(manifest)
    whole = _changed_for_all(now, lock.plan)
    found: dict[str, Stamp] = {}
    for contrast in now["contrasts"]:
        changed = [*whole, *_changes(contrast, now, lock.plan)]
        if changed:
            said = f"exploratory: changed after the lock of {lock.date}: {', '.join(changed)}"
            found[contrast["name"]] = Stamp("exploratory", said)
        elif lock.scored_cells:
            said = f"late: locked on {lock.date} with {lock.scored_cells:,} cells already scored"
            found[contrast["name"]] = Stamp("late", said)
        else:
            found[contrast["name"]] = Stamp("registered", f"registered {lock.date}")
    return found


def left_plan(manifest: Manifest, lock: Lock | None) -> list[dict[str, Any]]:
    """Contrasts of the locked plan, of whatever family, that the study no longer declares."""
    if lock is None:
        return []
    now = {c.name for c in manifest.contrasts}
    return [c for c in lock.plan["contrasts"] if c["name"] not in now]


def edited_locks(store: Store) -> list[StoreError]:
    """What `doctor --verify` says of the locks of a store: those that cannot be read or are not as they were made."""
    found = []
    for path in unhidden(store.root / LOCKS, "*.json"):
        try:
            lock = read_lock(store, path.stem)
        except StoreError as error:
            found.append(error)
            continue
        if lock and lock.edited:
            found.append(
                StoreError(f"the lock of '{path.stem}': {lock.edited}", where=str(path), hint="restore the file from a copy")
            )
    return found


def lock_or_none(store: Store, study: str) -> Lock | None:
    """A study's lock; None where it has none, or one that cannot be read."""
    try:
        return read_lock(store, study)
    except StoreError:
        return None


def registered(store: Store, manifest: Manifest) -> dict[str, Stamp]:
    """The stamps of a study by the lock that the store has of it; with one that cannot be read, nothing is registered."""
    try:
        return stamps(manifest, read_lock(store, manifest.study))
    except StoreError as error:
        said = f"unregistered: its lock cannot be read ({error.what})"
        return dict.fromkeys([c.name for c in manifest.contrasts], Stamp("unregistered", said))


def _changed_for_all(now: dict[str, Any], locked: dict[str, Any]) -> list[str]:
    """What was changed, of a plan that was locked, that every contrast rests on."""
    changed = [k for k in ("hypothesis", "correction", "replicates", "token_efficiency") if now[k] != locked[k]]
    controls = {n for n, e in {**locked["evals"], **now["evals"]}.items() if e.get("role") != "outcome"}
    changed += [f"control {n}" for n in sorted(controls) if now["evals"].get(n) != locked["evals"].get(n)]
    if now[CELLS] != locked[CELLS]:
        changed.append("what is trained or asked (step digests)")
    return changed


def _changes(contrast: dict[str, Any], now: dict[str, Any], locked: dict[str, Any]) -> list[str]:
    """What of a contrast, its family, its eval or its arms is otherwise than it was locked."""
    before = {c["name"]: c for c in locked["contrasts"]}.get(contrast["name"])
    if before is None:
        return ["the contrast is new"]
    changed = [k for k in contrast if contrast[k] != before.get(k)]
    names = {c["name"] for c in now["contrasts"]}
    gone = [c["name"] for c in locked["contrasts"] if c.get("family") == before.get("family") and c["name"] not in names]
    if gone:
        changed.append(f"its family lost {', '.join(gone)}")
    if now["evals"][contrast["eval"]] != locked["evals"].get(contrast["eval"]):
        changed.append(f"eval {contrast['eval']}")
    arms = dict.fromkeys(map(arm_of, contrast["weights"]))
    return changed + [f"arm {a}" for a in arms if now["arms"][a] != locked["arms"].get(a)]
