"""How far a study is: from the artefacts that are there and the ledger's live claims."""

from __future__ import annotations

from typing import Any

from specsci.plan.plan import Plan
from specsci.store.artifact import Store
from specsci.store.ledger import read_snapshot


def status_of(plan: Plan, store: Store) -> dict[str, Any]:
    """Counts by kind, running steps, runs and recent failures."""
    have = store.have(list(plan.steps.values()))
    kinds: dict[str, dict[str, int]] = {}
    for step in plan.steps.values():
        counts = kinds.setdefault(step.kind, {"done": 0, "total": 0})
        counts["total"] += 1
        counts["done"] += step.digest in have
    snapshot = read_snapshot(store.root)
    failures = [f for f in snapshot["failures"] if f["digest"] in plan.steps and f["digest"] not in have]
    return {
        "study": plan.loaded.name,
        "done": len(have),
        "total": len(plan.steps),
        "kinds": kinds,
        "running": [c for c in snapshot["claims"] if c["digest"] in plan.steps],
        "runs": [r for r in snapshot["runs"] if r["study"] == plan.loaded.name],
        "failures": failures,
    }


def status_lines(found: dict[str, Any]) -> list[str]:
    """The status as a person reads it."""
    lines = [f"{found['study']}: {found['done']:,} of {found['total']:,} steps done"]
    lines += [f"  {kind}: {c['done']}/{c['total']}" for kind, c in found["kinds"].items()]
    for claim in found["running"]:
        lines.append(f"running {claim['running_s']:.0f} s: {claim['label']} (runner {claim['runner']})")
    for failure in found["failures"]:
        lines.append(f"failed: {failure['label']} [{failure['digest']}]: {failure['error'].splitlines()[-1]}")
    if not found["running"] and found["done"] < found["total"]:
        lines.append("nothing runs now; `specsci study run` goes on from here")
    return lines
