"""What was retired, and which cells of a study can no longer be rested on for it."""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import asdict, dataclass
from typing import Any

from specsci.errors import UserError, nearest
from specsci.results.manifest import manifests
from specsci.results.written import read_all
from specsci.store.artifact import Store, read_record, write_json

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
    """All that was retired, in the order of days."""
    found = read_all(store.root / RETIRED, Retired, "retirement")
    return sorted(found, key=lambda r: (r.date, r.what))


def retire(store: Store, what: str, reason: str, by: str) -> Retired:
    """Take a step (by its digest or the start of it) or an instrument (`eval:STUDY/EVAL`) out of what results may rest on.

    Raises:
        UserError: there is no such step or eval, or several steps begin so.
    """
    entry = Retired(_target(store, what), reason, by, datetime.date.today().isoformat())
    folder = store.root / RETIRED
    folder.mkdir(exist_ok=True)
    name = hashlib.sha256(entry.what.encode()).hexdigest()[:24]  # a file each, so that two people at once lose nothing
    write_json(folder / f"{name}.json", asdict(entry))
    return entry


def _target(store: Store, what: str) -> str:
    if what.startswith(EVAL):
        study, _, name = what.removeprefix(EVAL).partition("/")
        evals = manifest_named(store, study)["evals"]
        if name not in evals:
            raise UserError(f"'{study}' has no eval '{name}'", mend=nearest(name, evals))
        return what
    found = [p.name for p in (store.root / "steps").glob(f"*/{what}*")] if what.isalnum() else []
    if len(found) != 1:
        said = f"{len(found)} steps begin with '{what}'" if found else f"no step '{what}' in {store.root}"
        raise UserError(said, mend=f"give a step's digest, or {EVAL}STUDY/EVAL")
    return found[0]


def manifest_named(store: Store, study: str) -> dict[str, Any]:
    """The manifest of a study of the store; raises UserError with the nearest name."""
    known = {m["study"]: m for m in manifests(store)}
    if study not in known:
        raise UserError(f"no study '{study}' in {store.root}", mend=nearest(study, known))
    return known[study]


class Retirements:
    """What was retired in a store, and what each score step rests on."""

    def __init__(self, store: Store) -> None:
        self.store, self.entries = store, read_retired(store)
        self._steps = {r.what: r for r in self.entries if not r.what.startswith(EVAL)}
        self._evals = {r.what.removeprefix(EVAL): r for r in self.entries if r.what.startswith(EVAL)}
        self._below: dict[str, frozenset[str]] = {}
        self._folders = {p.name: p for p in store.root.glob("steps/*/*")} if self._steps else {}

    def cells(self, manifest: dict[str, Any]) -> list[dict[str, Any]]:
        """Rows of the table `voided`: every cell that rests on something retired, with the reason."""
        out = []
        for cell in manifest["cells"] if self.entries else []:
            reasons = [
                f"{w} was retired: {self._steps[w].reason}"
                for w in sorted(self._named(cell["step_digest"]) & self._steps.keys())
            ]
            instrument = self._evals.get(f"{manifest['study']}/{cell['eval']}")
            if instrument:
                reasons.append(f"eval {cell['eval']} was retired: {instrument.reason}")
            keys = ("arm", "aft_tokens", "base_model", "seed", "eval", "step_digest")
            out += [{"study": manifest["study"], **{k: cell[k] for k in keys}, "reason": r} for r in reasons]
        return out

    def _named(self, step: str) -> frozenset[str]:
        """A step and every digest that its chain of inputs names, also of artefacts that are gone."""
        if not self._steps:
            return frozenset()
        if step not in self._below:
            self._below[step] = frozenset({step})
            record = read_record(self._folders[step]) if step in self._folders else None
            inputs = record["identity"]["inputs"].values() if record else ()
            self._below[step] = frozenset({step}.union(*(self._named(d) for d in inputs)))
        return self._below[step]


def reasons_of(manifest: dict[str, Any], contrast: dict[str, Any], voided: list[dict[str, Any]]) -> list[str]:
    """Why a contrast rests on something retired; empty where it does not."""
    budgets = {0, *contrast["budgets"]}
    mine = (
        r for r in voided if r["eval"] == contrast["eval"] and r["arm"] in contrast["weights"] and r["aft_tokens"] in budgets
    )
    return list(dict.fromkeys(r["reason"] for r in mine))
