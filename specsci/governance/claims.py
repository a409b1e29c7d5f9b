"""Claims tied to contrasts and the rows below them, and what was invalidated: a claim never outlives its evidence."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from specsci.core.errors import UserError, nearest
from specsci.core.findings import Flag
from specsci.core.ids import digest, is_safe_name
from specsci.database.manifest import Manifest
from specsci.governance.json_records import read_all, read_one, write_one
from specsci.governance.retired import manifest_named
from specsci.store.artifact import Store

CLAIMS = "claims"
ALPHA = 0.05


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


@dataclass
class ClaimStatus:
    """The status of a claim: `draft`, `holds`, `fragile` or `withdrawn`, and why."""

    claim: Claim
    status: str
    why: list[str] = field(default_factory=list)


def read_claims(store: Store) -> list[Claim]:
    """All claims of a store that can be read, by name."""
    return read_all(store.root / CLAIMS, Claim, "claim")


def write_claim(store: Store, claim: Claim) -> Path:
    """Keep a claim; one of the same name is replaced, but for a withdrawn one.

    Raises:
        UserError: a claim of this name was withdrawn.
        StoreError: the one that is there cannot be read, so that it may be a withdrawn one; or it cannot be written.
    """
    path = store.root / CLAIMS / f"{claim.claim}.json"
    before = read_one(path, Claim, "claim") if path.exists() else None
    if before and before.withdrawn and not claim.withdrawn:
        raise UserError(
            f"claim '{claim.claim}' was withdrawn: {before.withdrawn}", hint="make the new claim under another name"
        )
    write_one(path, claim)
    return path


def make_claim(store: Store, row: dict[str, Any], name: str, text: str, by: str) -> Claim:
    """A claim about a contrast's row of the results, as they are now.

    Raises:
        UserError: the name is not a safe file name, or the study declares no such contrast.
    """
    if not is_safe_name(name):
        raise UserError(f"'{name}' cannot name a claim", hint="use lower-case letters, digits, '_' and '-'")
    manifest = manifest_named(store, row["study"])
    declared, rows = evidence(manifest, row["contrast"])
    ends = {k: row[k] for k in ("estimate", "ci_low", "ci_high")}
    today = datetime.date.today().isoformat()
    return Claim(name, row["study"], row["contrast"], text, by, today, declared, digest(rows), **ends)


def evidence(manifest: Manifest, contrast: str) -> tuple[str, list[str]]:
    """A contrast's digest, and the score steps that it rests on."""
    found = next((c for c in manifest.contrasts if c.name == contrast), None)
    if found is None:
        raise UserError(
            f"'{manifest.study}' declares no contrast '{contrast}'",
            hint=nearest(contrast, [c.name for c in manifest.contrasts]),
        )
    under = manifest.conditions_of(found.eval)
    mine = (c for c in manifest.cells if c.eval == found.eval)
    rows = [c.step_digest for c in mine if found.reads(manifest.subject_of(c), c.aft_tokens, under)]
    return digest(found.plain()), sorted(rows)


def status_of(claim: Claim, row: dict[str, Any] | None, manifest: Manifest | None, invalidated: list[str]) -> ClaimStatus:
    """The status of a claim, by the results as they are now.

    Args:
        row: its contrast's row of the results; None where there is none.
        manifest: its study; None where the store no longer has it.
        invalidated: what of its evidence was invalidated, and why.
    """
    if claim.withdrawn:
        return ClaimStatus(claim, "withdrawn", [claim.withdrawn])
    if invalidated:
        return ClaimStatus(claim, "withdrawn", invalidated)
    if row is None or manifest is None:
        return ClaimStatus(claim, "withdrawn", ["its contrast is no longer in the results"])
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
        return ClaimStatus(claim, "draft", [f"{' and '.join(changed)} changed since {claim.made_on}: make the claim again"])
    flags = [Flag.of(f) for f in row["flags"]]
    if row["ci_low"] is None or any(f.code == "incomplete" for f in flags):
        return ClaimStatus(claim, "draft", ["the contrast is not complete"])
    weak = [f.text for f in flags if f.severity != "note"]
    weak += [row["registered"]] if row["registration"] != "registered" else []
    weak += [f"confounded: {row['confounds']}"] if row["confounds"] else []
    if row["ci_low"] <= 0 <= row["ci_high"]:
        weak.append("the interval covers 0")
    elif row["p_adj"] is not None and row["p_adj"] > ALPHA:
        weak.append(f"p corrected over its family is {row['p_adj']:.3f}")
    return ClaimStatus(claim, "fragile" if weak else "holds", weak)
