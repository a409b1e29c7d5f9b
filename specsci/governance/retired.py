"""What was invalidated (`specsci results retire`), and the cells of a study that rest on it."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specsci.core.errors import UserError, nearest
from specsci.core.user_files import unhidden
from specsci.database.manifest import Manifest, manifests
from specsci.database.manifest_parts import Contrast
from specsci.governance.json_records import damaged, read_all, write_one
from specsci.store.artifact import Store, read_record

RETIRED = "retired"
EVAL = "eval:"


@dataclass(frozen=True)
class Retired:
    """A step (with all that was made from it), or an instrument (`eval:STUDY/EVAL`), that results no longer rest on."""

    what: str
    reason: str
    by: str
    date: str


def read_retired(store: Store) -> list[Retired]:
    """All that was invalidated, in the order of days.

    A retirement that cannot be read still invalidates: its file's name tells what, where the store still knows it.
    """
    found = read_all(store.root / RETIRED, Retired, "retirement")
    found += _unreadable(store)
    return sorted(found, key=lambda r: (r.date, r.what))


def _unreadable(store: Store) -> list[Retired]:
    """Retirements by damaged files, found by the names that their subjects would give them."""
    stems = {Path(e.where).stem: e for e in damaged(store.root / RETIRED, Retired, "retirement")}
    if not stems:
        return []
    steps = [p.name for p in unhidden(store.root, "steps/*/*")]
    instruments = [f"{EVAL}{m.study}/{name}" for m in manifests(store) for name in m.evals]
    named = {d for m in manifests(store) for d in m.steps}
    known = {retired_name(what): what for what in {*steps, *named, *instruments}}
    return [Retired(known[s], f"(the reason cannot be read: {e.what})", "", "") for s, e in stems.items() if s in known]


def retired_name(what: str) -> str:
    """The name, without its ending, of the file that says that something was invalidated."""
    return hashlib.sha256(what.encode()).hexdigest()[:24]


def retire(store: Store, what: str, reason: str, by: str) -> Retired:
    """Take a step (by its digest or the start of it) or an instrument (`eval:STUDY/EVAL`) out of what results may rest on.

    Raises:
        UserError: there is no such step or eval, or several steps begin so.
    """
    entry = Retired(_target(store, what), reason, by, datetime.date.today().isoformat())
    # a file each, so that two people at once lose nothing
    write_one(store.root / RETIRED / f"{retired_name(entry.what)}.json", entry)
    return entry


def _target(store: Store, what: str) -> str:
    if what.startswith(EVAL):
        study, _, name = what.removeprefix(EVAL).partition("/")
        evals = manifest_named(store, study).evals
        if name not in evals:
            raise UserError(f"'{study}' has no eval '{name}'", hint=nearest(name, evals))
        return what
    found = [p.name for p in (store.root / "steps").glob(f"*/{what}*")] if what.isalnum() else []
    if len(found) != 1:
        said = f"{len(found)} steps begin with '{what}'" if found else f"no step '{what}' in {store.root}"
        raise UserError(said, hint=f"give a step's digest, or {EVAL}STUDY/EVAL")
    return found[0]


def manifest_named(store: Store, study: str) -> Manifest:
    """The manifest of a study of the store; raises UserError with the nearest name."""
    known = {m.study: m for m in manifests(store)}
    if study not in known:
        raise UserError(f"no study '{study}' in {store.root}", hint=nearest(study, known))
    return known[study]


class Retirements:
    """What was invalidated in a store, and what each score step rests on."""

    def __init__(self, store: Store) -> None:
        self.store, self.entries = store, read_retired(store)
        self._steps = {r.what: r for r in self.entries if not r.what.startswith(EVAL)}
        self._evals = {r.what.removeprefix(EVAL): r for r in self.entries if r.what.startswith(EVAL)}
        self._below: dict[str, frozenset[str]] = {}
        self._folders = {p.name: p for p in unhidden(store.root, "steps/*/*")} if self._steps else {}

    def cells(self, manifest: Manifest) -> list[dict[str, Any]]:
        """Rows of the table `voided`: every cell that rests on something invalidated, with the reason."""
        out = []
        for cell in manifest.cells if self.entries else []:
            reasons = [
                f"{w} was invalidated: {self._steps[w].reason}"
                for w in sorted(self._named(cell.step_digest) & self._steps.keys())
            ]
            instrument = self._evals.get(f"{manifest.study}/{cell.eval}")
            if instrument:
                reasons.append(f"eval {cell.eval} was invalidated: {instrument.reason}")
            keys = ("arm", "aft_tokens", "base_model", "seed", "eval", "step_digest")
            place = {"study": manifest.study, **{k: getattr(cell, k) for k in keys}, "subject": manifest.subject_of(cell)}
            out += [{**place, "reason": r} for r in reasons]
        return out

    def _named(self, step: str) -> frozenset[str]:
        """A step and every digest that its chain of inputs names, also of artefacts that are gone."""
        if not self._steps:
            return frozenset()
        if step not in self._below:
            self._below[step] = frozenset({step})
            record = read_record(self._folders[step]) if step in self._folders else None
            inputs = record.identity.inputs.values() if record else ()
            self._below[step] = frozenset({step}.union(*(self._named(d) for d in inputs)))
        return self._below[step]


def reasons_of(contrast: Contrast, invalidated: list[dict[str, Any]], conditions: Sequence[str] = ()) -> list[str]:
    """Why a contrast rests on something invalidated; empty where it does not. Its eval is asked under `conditions`."""
    mine = (r for r in invalidated if r["eval"] == contrast.eval and contrast.reads(r["subject"], r["aft_tokens"], conditions))
    return list(dict.fromkeys(r["reason"] for r in mine))
