"""Why a step would run: its identity compared, field by field, with the nearest one that exists."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from specsci.plan.plan import Plan
from specsci.plan.step import Step

ABSENT = "(default)"
"""How a field is shown that an identity does not hold: it has its default."""


@dataclass(frozen=True)
class Reason:
    """Why one step would run."""

    digest: str
    kind: str
    label: str
    because: list[str]


def flat(value: Any, at: str = "") -> dict[str, Any]:
    """Nested values as dotted keys."""
    if isinstance(value, dict) and value:
        return {k: v for key, sub in value.items() for k, v in flat(sub, f"{at}.{key}" if at else key).items()}
    if isinstance(value, list) and value:
        return {k: v for i, sub in enumerate(value) for k, v in flat(sub, f"{at}[{i}]").items()}
    return {at: value}


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """`field: old -> new` for every field that differs."""
    before, after = flat(old), flat(new)
    keys = [*after, *(k for k in before if k not in after)]
    return [
        f"{key}: {_shown(before.get(key, ABSENT))} -> {_shown(after.get(key, ABSENT))}"
        for key in keys
        if before.get(key, ABSENT) != after.get(key, ABSENT)
    ]


def explain(plan: Plan, have: set[str], records: Iterable[dict[str, Any]]) -> list[Reason]:
    """Reasons for every step that the store lacks, causes before consequences.

    Args:
        have: digests of complete artefacts.
        records: their records (identity, label), to find what changed.
    """
    by_key: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in records:
        by_key.setdefault((record["kind"], record.get("label", "")), []).append(record)
    reasons = []
    for step in plan.steps.values():
        if step.digest in have:
            continue
        upstream = [plan.steps[d].label for d in step.inputs.values() if d not in have and d in plan.steps]
        because = _changes(step, by_key.get((step.kind, step.label), []))
        because += [f"its input is to be made: {label}" for label in upstream]
        reasons.append(Reason(step.digest, step.kind, step.label, because or ["it was never run"]))
    return reasons


def _changes(step: Step, candidates: list[dict[str, Any]]) -> list[str]:
    """The fewest own-field differences to an artefact with the same label; input digests are left out."""
    own = {"version": step.identity["version"], "params": step.params}
    options = [
        differences({"version": c["identity"]["version"], "params": c["identity"]["params"]}, own) for c in candidates
    ]
    changed = [o for o in options if o]
    return min(changed, key=len) if options and len(changed) == len(options) else []


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
