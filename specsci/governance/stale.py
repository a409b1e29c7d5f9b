"""What a new version of a family makes stale: studies, their models, their claims."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from specsci.core.levels import arm_of
from specsci.database.manifest import Manifest, family_parts, manifests
from specsci.database.manifest_parts import FamilyParts
from specsci.specs.changes import read_changes
from specsci.specs.load import load_family
from specsci.store.artifact import Store
from specsci.study.parts import PLUS


@dataclass(frozen=True)
class Stale:
    """A study whose results rest on another version of its family than the present one.

    `parts` names what changed of all that the study uses; `models` counts the models trained on a changed
    spec or corpus; `claims` are its declared contrasts that compare such a model or ask changed items.
    """

    study: str
    family: str
    made_on: str
    now: str
    parts: list[str]
    models: int
    claims: list[str]
    acknowledged: str

    def as_dict(self) -> dict[str, Any]:
        """The fields as a dictionary, for JSON."""
        return asdict(self)


def stale_studies(store: Store, family_name: str, home: Path) -> list[Stale]:
    """Studies of a store that the present version of a family leaves behind, acknowledged ones too."""
    family = load_family(home)
    now = family_parts(family)
    changes = read_changes(home)
    entry = changes.entry(family.data.version) if changes else None
    written = {a.study: f"{a.reason} ({a.by}, {a.date})" for a in entry.acknowledged} if entry else {}
    found = []
    for manifest in manifests(store):
        then = manifest.family_parts
        if manifest.family != family_name or then is None:
            continue
        stale = _stale(manifest, then, now, family.data.version, written.get(manifest.study, ""))
        if stale:
            found.append(stale)
    return found


def _stale(manifest: Manifest, then: FamilyParts, now: FamilyParts, version: str, acknowledged: str) -> Stale | None:
    arms = manifest.arms
    grammar = then.grammar != now.grammar
    variants = {v for a in arms.values() for v in _of(a.midtrain)}
    changed = {v for v in variants if then.variants.get(v) != now.variants.get(v)}
    conversations = {s for a in arms.values() for s in _of(a.align)} & then.conversations.keys()
    retold = {t for t in conversations if then.conversations[t] != now.conversations.get(t)}
    items = {e.items for e in manifest.evals.values() if e.items}
    asked = {i for i in items if then.items.get(i) != now.items.get(i)}
    parts = [f"spec {v}" for v in sorted(changed)] + ["grammar"] * grammar
    parts += [f"conversations {t}" for t in sorted(retold)] + [f"items {i}" for i in sorted(asked)]
    if not parts:
        return None
    moved = {
        name
        for name, a in arms.items()
        if changed & _of(a.midtrain) or retold & _of(a.align) or (grammar and (a.midtrain or a.align))
    }
    evals = {name for name, e in manifest.evals.items() if e.items in asked}
    models = {c.model_digest for c in manifest.cells if c.arm in moved}
    claims = [c.name for c in manifest.contrasts if c.eval in evals or moved & set(map(arm_of, c.weights))]
    return Stale(manifest.study, manifest.family, manifest.family_version, version, parts, len(models), claims, acknowledged)


def _of(joined: str | None) -> set[str]:
    """The names that an arm's `midtrain` or `align` joins."""
    return set(joined.split(PLUS)) if joined else set()


def stale_lines(found: list[Stale]) -> list[str]:
    """What is stale as a person reads it."""
    out = []
    for stale in found:
        out.append(
            f"stale: {stale.study} was made on {stale.family} {stale.made_on}, "
            f"{'which is at ' + stale.now if stale.now != stale.made_on else 'whose text changed since'} "
            f"({', '.join(stale.parts)}): {stale.models} models; claims {', '.join(stale.claims) or 'none'}"
        )
        if stale.acknowledged:
            out.append(f"  acknowledged: {stale.acknowledged}")
        else:
            out.append(
                f"  hint: pin {stale.family}@{stale.now} in its study file and run it; or let it stand in writing: "
                f"`specsci spec acknowledge {stale.family} {stale.study} --reason WHY --by WHO`"
            )
    return out
