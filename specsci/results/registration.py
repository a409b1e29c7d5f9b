"""Pre-registration: what a study declared before its first score, and what was changed since."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specsci.errors import GateRefused, StoreError
from specsci.ids import digest
from specsci.store.artifact import Store, write_json

LOCKS = "locks"
FROZEN = ("hypothesis", "correction", "contrasts", "token_efficiency", "evals", "arms", "replicates")
"""Parts of a manifest that a lock freezes: hypotheses, contrasts with family and scale, exclusion rules, sample size."""


@dataclass(frozen=True)
class Lock:
    """A frozen analysis plan: when it was frozen, and how many cells had been scored by then (0, or it came late)."""

    study: str
    date: str
    scored_cells: int
    plan: dict[str, Any]

    @property
    def digest(self) -> str:
        return digest(self.plan)


def lock_path(store: Store, study: str) -> Path:
    return store.root / LOCKS / f"{study}.json"


def read_lock(store: Store, study: str) -> Lock | None:
    """A study's lock; None where it has none.

    Raises:
        StoreError: the file is there and cannot be read as one.
    """
    path = lock_path(store, study)
    if not path.is_file():
        return None
    try:
        return Lock(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise StoreError("the lock cannot be read", where=str(path), mend="restore the file from a copy") from error


def lock_study(store: Store, manifest: dict[str, Any]) -> tuple[Lock, bool]:
    """Freeze a study's analysis plan; the same plan again changes nothing. Returns the lock, and whether it is new.

    A plan may be frozen anew for as long as nothing is scored.

    Raises:
        GateRefused: another plan is frozen and scores exist.
    """
    scored = sum(store.path("score", c["step_digest"]).is_dir() for c in manifest["cells"])
    study = manifest["study"]
    lock = Lock(study, datetime.date.today().isoformat(), scored, {k: manifest[k] for k in FROZEN})
    before = read_lock(store, study)
    if before and before.digest == lock.digest:
        return before, False
    if before and scored:
        raise GateRefused(
            f"'{study}' is locked since {before.date} on another plan, and {scored:,} of its cells are scored",
            where=str(lock_path(store, study)),
            mend="nothing: what was changed since is stamped exploratory in the results",
        )
    lock_path(store, study).parent.mkdir(exist_ok=True)
    write_json(lock_path(store, study), vars(lock))
    return lock, True


def stamps(manifest: dict[str, Any], lock: Lock | None) -> dict[str, str]:
    """Each contrast's standing: `unregistered`, `registered DATE`, `late: ...`, or `exploratory: ...` with what changed."""
    names = [c["name"] for c in manifest["contrasts"]]
    if lock is None:
        return dict.fromkeys(names, "unregistered")
    whole = [k for k in ("correction", "replicates") if manifest[k] != lock.plan[k]]
    found = {}
    for contrast in manifest["contrasts"]:
        changed = [*whole, *_changes(contrast, manifest, lock)]
        if changed:
            found[contrast["name"]] = f"exploratory: changed after the lock of {lock.date}: {', '.join(changed)}"
        elif lock.scored_cells:
            found[contrast["name"]] = f"late: locked on {lock.date} with {lock.scored_cells:,} cells already scored"
        else:
            found[contrast["name"]] = f"registered {lock.date}"
    return found


def _changes(contrast: dict[str, Any], manifest: dict[str, Any], lock: Lock) -> list[str]:
    """What of a contrast, its eval or its arms is otherwise than it was locked."""
    before = {c["name"]: c for c in lock.plan["contrasts"]}.get(contrast["name"])
    if before is None:
        return ["the contrast is new"]
    changed = [k for k in contrast if contrast[k] != before.get(k)]
    if manifest["evals"][contrast["eval"]] != lock.plan["evals"].get(contrast["eval"]):
        changed.append(f"eval {contrast['eval']}")
    return changed + [f"arm {a}" for a in contrast["weights"] if manifest["arms"][a] != lock.plan["arms"].get(a)]
