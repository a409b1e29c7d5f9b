"""Whether the two sides of a contrast repeat their documents unequally often: a confound that equal tokens do not show."""

from __future__ import annotations

from collections.abc import Mapping

from specsci.core.findings import Flag
from specsci.core.levels import arm_of
from specsci.core.record import Record
from specsci.plan.gates import Finding
from specsci.plan.plan import Plan

APART = 1.5
"""Corpora whose documents are repeated this many times as often as another's are said."""
Shares = dict[str, tuple[float, float]]
"""Spec to its distinct documents and their share of all, means over its corpora."""


def distinct_flags(midtrained_on: Mapping[str, str | None], weights: dict[str, float], shares: Shares) -> list[Flag]:
    """A flag where documents are repeated far more often on one side of a contrast than on the other.

    Args:
        midtrained_on: each of the study's arms to its spec.
        weights: of the contrast; a side is the arms of one sign.
    """
    sides = [
        sorted(
            {
                spec
                for name, w in weights.items()
                if w * sign > 0 and (spec := midtrained_on[arm_of(name, midtrained_on)]) in shares
            }
        )
        for sign in (1, -1)
    ]
    pairs = [(a, b) for a in sides[0] for b in sides[1] if a != b]
    if not any(_apart(shares[a][1], shares[b][1]) for a, b in pairs):
        return []
    said = [f"{spec} {shares[spec][0]:,.0f} ({shares[spec][1]:.0%} of all)" for spec in dict.fromkeys(sides[0] + sides[1])]
    return [Flag("distinct_documents_differ", "warning", f"distinct documents differ: {', '.join(said)}")]


def _apart(first: float, second: float) -> bool:
    return max(first, second) > APART * min(first, second)


def distinct_findings(plan: Plan, records: dict[str, Record | None]) -> list[Finding]:
    """The same of a plan's contrasts, as far as its corpora are in the store.

    Args:
        records: digest of a step that is there to its record; None where that cannot be read.
    """
    counts: dict[str, list[tuple[int, int]]] = {}
    for step in plan.steps.values():
        record = records.get(step.digest) if step.kind == "corpus" else None
        if record and record.facts.get("documents"):
            counts.setdefault(step.params["variant"], []).append((record.facts["distinct"], record.facts["documents"]))
    shares = {
        spec: (sum(d for d, _ in found) / len(found), sum(d / n for d, n in found) / len(found))
        for spec, found in counts.items()
    }
    arms = {name: arm.midtrain for name, arm in plan.loaded.study.arms.items()}
    return [
        Finding("warn", "distinct documents", f"contrast {c.name}: {flag.text}")
        for c in plan.loaded.study.contrasts
        for flag in distinct_flags(arms, c.weights, shares)
    ]
