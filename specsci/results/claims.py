"""Claims tied to contrasts and the rows below them, and what was retired: a claim never outlives its evidence."""

from __future__ import annotations

import datetime
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from specsci.errors import StoreError, UserError, nearest
from specsci.ids import digest, is_safe_name
from specsci.results.lineage import ancestors
from specsci.results.manifest import manifests
from specsci.store.artifact import Store, write_json

CLAIMS, RETIRED = "claims", "retired.json"
EVAL = "eval:"
WEAK = ("fragile", "flips", "could turn the sign", "confounded", "withheld", "exploratory", "single items")
"""Words of flags that make a claim fragile."""


@dataclass(frozen=True)
class Claim:
    """A sentence that rests on one declared contrast as it stood on a day.

    `contrast_digest` is of the contrast's declaration, `rows_digest` of the score steps that it was computed from.
    """

    claim: str
    study: str
    contrast: str
    text: str
    by: str
    made_on: str
    contrast_digest: str
    rows_digest: str
    estimate: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    withdrawn: str = ""


@dataclass(frozen=True)
class Retired:
    """A step (with all that was made from it), or an instrument (`eval:STUDY/EVAL`), that results no longer rest on."""

    what: str
    reason: str
    by: str
    date: str


@dataclass
class Standing:
    """How a claim stands: `draft`, `holds`, `fragile` or `withdrawn`, and why."""

    claim: Claim
    status: str
    why: list[str] = field(default_factory=list)


def read_claims(store: Store) -> list[Claim]:
    """All claims of a store, by name."""
    found = []
    for path in sorted((store.root / CLAIMS).glob("*.json")):
        try:
            found.append(Claim(**json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError) as error:
            raise StoreError("the claim cannot be read", where=str(path), mend="restore the file, or delete it") from error
    return found


def write_claim(store: Store, claim: Claim) -> Path:
    """Keep a claim; one of the same name is replaced."""
    path = store.root / CLAIMS / f"{claim.claim}.json"
    path.parent.mkdir(exist_ok=True)
    write_json(path, asdict(claim))
    return path


def make_claim(store: Store, row: dict[str, Any], name: str, text: str, by: str) -> Claim:
    """A claim about a contrast's row of the results, as they are now.

    Raises:
        UserError: the name is no safe file name, or the study declares no such contrast.
    """
    if not is_safe_name(name):
        raise UserError(f"'{name}' cannot name a claim", mend="use lower-case letters, digits, '_' and '-'")
    manifest = _manifest(store, row["study"])
    declared, rows = evidence(manifest, row["contrast"])
    ends = {k: row[k] for k in ("estimate", "ci_low", "ci_high")}
    today = datetime.date.today().isoformat()
    return Claim(name, row["study"], row["contrast"], text, by, today, declared, digest(rows), **ends)


def evidence(manifest: dict[str, Any], contrast: str) -> tuple[str, list[str]]:
    """A contrast's digest, and the score steps that it rests on."""
    found = next((c for c in manifest["contrasts"] if c["name"] == contrast), None)
    if found is None:
        raise UserError(
            f"'{manifest['study']}' declares no contrast '{contrast}'",
            mend=nearest(contrast, [c["name"] for c in manifest["contrasts"]]),
        )
    budgets = {0, *found["budgets"]}
    rows = [
        c["step_digest"]
        for c in manifest["cells"]
        if c["arm"] in found["weights"] and c["eval"] == found["eval"] and c["aft_tokens"] in budgets
    ]
    return digest(found), sorted(rows)


def read_retired(store: Store) -> list[Retired]:
    path = store.root / RETIRED
    if not path.is_file():
        return []
    try:
        return [Retired(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise StoreError("the list of what is retired cannot be read", where=str(path), mend="restore the file") from error


def retire(store: Store, what: str, reason: str, by: str) -> Retired:
    """Take a step (by its digest or the start of it) or an instrument (`eval:STUDY/EVAL`) out of what results may rest on.

    Raises:
        UserError: there is no such step or eval, or several steps begin so.
    """
    entry = Retired(_target(store, what), reason, by, datetime.date.today().isoformat())
    before = [r for r in read_retired(store) if r.what != entry.what]
    write_json(store.root / RETIRED, [asdict(r) for r in (*before, entry)])
    return entry


def _target(store: Store, what: str) -> str:
    if what.startswith(EVAL):
        study, _, name = what.removeprefix(EVAL).partition("/")
        evals = _manifest(store, study)["evals"]
        if name not in evals:
            raise UserError(f"'{study}' has no eval '{name}'", mend=nearest(name, evals))
        return what
    found = [p.name for p in (store.root / "steps").glob(f"*/{what}*")] if what.isalnum() else []
    if len(found) != 1:
        said = f"{len(found)} steps begin with '{what}'" if found else f"no step '{what}' in {store.root}"
        raise UserError(said, mend=f"give a step's digest, or {EVAL}STUDY/EVAL")
    return found[0]


def _manifest(store: Store, study: str) -> dict[str, Any]:
    known = {m["study"]: m for m in manifests(store)}
    if study not in known:
        raise UserError(f"no study '{study}' in {store.root}", mend=nearest(study, known))
    return known[study]


def voided(store: Store, manifest: dict[str, Any]) -> dict[str, list[str]]:
    """What of a contrast was retired, and why: contrast to reasons; only those that are hit."""
    entries = read_retired(store)
    if not entries:
        return {}
    steps = {r.what: r for r in entries if not r.what.startswith(EVAL)}
    instruments = {r.what.removeprefix(EVAL): r for r in entries if r.what.startswith(EVAL)}
    causes: dict[str, set[str]] = {}

    def hit(row: str) -> set[str]:
        if row not in causes:
            causes[row] = {r["digest"] for r in ancestors(store, row)} & steps.keys() if steps else set()
        return causes[row]

    found: dict[str, list[str]] = {}
    for contrast in manifest["contrasts"]:
        reasons = [
            f"{w} was retired: {steps[w].reason}"
            for w in sorted(set().union(*map(hit, evidence(manifest, contrast["name"])[1])))
        ]
        instrument = instruments.get(f"{manifest['study']}/{contrast['eval']}")
        if instrument:
            reasons.append(f"eval {contrast['eval']} was retired: {instrument.reason}")
        if reasons:
            found[contrast["name"]] = reasons
    return found


def standing(claim: Claim, row: dict[str, Any] | None, manifest: dict[str, Any] | None, void: list[str]) -> Standing:
    """How a claim stands against the results.

    Args:
        row: its contrast's row of the results; None where there is none.
        manifest: its study; None where the store no longer has it.
        void: what of its evidence was retired.
    """
    if claim.withdrawn:
        return Standing(claim, "withdrawn", [claim.withdrawn])
    if void:
        return Standing(claim, "withdrawn", void)
    if row is None or manifest is None:
        return Standing(claim, "withdrawn", ["its contrast is no longer in the results"])
    declared, rows = evidence(manifest, claim.contrast)
    changed = [
        w
        for w, same in (
            ("its declaration", declared == claim.contrast_digest),
            ("its rows", digest(rows) == claim.rows_digest),
        )
        if not same
    ]
    if changed:
        return Standing(claim, "draft", [f"{' and '.join(changed)} changed since {claim.made_on}: make the claim again"])
    if row["ci_low"] is None or "incomplete" in row["flags"]:
        return Standing(claim, "draft", ["the contrast is not complete"])
    weak = [
        f
        for f in (*row["flags"].split("; "), row["registered"], row["confounds"] and "confounded")
        if any(w in f for w in WEAK)
    ]
    if row["ci_low"] <= 0 <= row["ci_high"]:
        weak.append("the interval covers 0")
    return Standing(claim, "fragile" if weak else "holds", weak)
