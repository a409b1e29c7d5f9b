"""Why a step would run: its identity compared, field by field, with the nearest one that exists."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from specsci.core.record import Record
from specsci.core.step import Step
from specsci.plan.plan import Plan
from specsci.recipe.recipe import Recipe
from specsci.study.schema import Align

ABSENT = "(not set)"
"""How a field is shown that an identity does not hold and that has no default."""


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


def defaults() -> dict[str, Any]:
    """What a step's declared values are where its identity leaves them out, as dotted keys."""
    recipe = Recipe().model_dump(mode="json")
    values = {"recipe": recipe, "holding": Recipe().weight_format, "chain": Align.model_fields["chain"].default}
    return flat({"params": {**values, "trust_remote_code": False}})


def differences(old: dict[str, Any], new: dict[str, Any], unsaid: dict[str, Any] | None = None) -> list[str]:
    """`field: old -> new` for every field that differs.

    Args:
        unsaid: the defaults of fields that an identity leaves out, by dotted key.
    """
    before, after, unsaid = flat(old), flat(new), unsaid or {}
    keys = [*after, *(k for k in before if k not in after)]
    return [
        f"{key}: {_side(before, key, unsaid)} -> {_side(after, key, unsaid)}"
        for key in keys
        if before.get(key, _NOTHING) != after.get(key, _NOTHING)
    ]


_NOTHING = object()


def _side(values: dict[str, Any], key: str, unsaid: dict[str, Any]) -> str:
    if key in values:
        return _shown(values[key])
    return f"{_shown(unsaid[key])} (default)" if key in unsaid else ABSENT


def explain(plan: Plan, have: set[str], records: Iterable[Record]) -> list[Reason]:
    """Reasons for every step that the store lacks, inputs before dependents.

    Args:
        have: digests of complete artefacts.
        records: their records (identity, label), to find what changed.
    """
    by_key: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        by_key.setdefault((record.kind, record.label), []).append(record)
    reasons = []
    for step in plan.steps.values():
        if step.digest in have:
            continue
        upstream = [plan.steps[d].label for d in step.inputs.values() if d not in have and d in plan.steps]
        because = _changes(step, by_key.get((step.kind, step.label), []))
        because += [f"its input is to be made: {label}" for label in upstream]
        reasons.append(Reason(step.digest, step.kind, step.label, because or ["it was never run"]))
    return reasons


def _changes(step: Step, candidates: list[Record]) -> list[str]:
    """The fewest own-field differences to an artefact with the same label; input digests are left out."""
    own = {"version": step.identity["version"], "params": step.params}
    unsaid = defaults()
    options = [
        differences({"version": c.identity.version, "params": c.identity.params}, own, unsaid)
        for c in candidates
    ]
    changed = [o for o in options if o]
    return min(changed, key=len) if options and len(changed) == len(options) else []


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
