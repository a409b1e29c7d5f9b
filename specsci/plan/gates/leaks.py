"""Eval items that the training texts give away."""

from __future__ import annotations

from specsci.plan.gates.finding import Finding
from specsci.plan.plan import Plan
from specsci.specs.leaks import Leak, leaks_of


def leaks(plan: Plan) -> list[Finding]:
    """Clauses that name what outcome items test; whole items are looked for once the texts exist."""
    study, family = plan.loaded.study, plan.loaded.family
    outcome = sorted({e.items for e in study.evals.values() if e.role == "outcome" and e.items})
    found = []
    for variant in sorted({v for a in study.arms.values() for v in a.variants} & family.data.variants.keys()):
        named = leaks_of(family, variant, outcome)
        if not named:
            continue
        text = f"variant '{variant}' names {len({x.names for x in named})} things that outcome items test: {_shown(named)}"
        if study.gates.accept_spec_leaks:
            found.append(Finding("warn", "leak", f"{text}. Accepted: {study.gates.accept_spec_leaks}"))
        else:
            hint = "say the clauses more generally, or write gates.accept_spec_leaks: REASON"
            found.append(Finding("refuse", "leak", text, hint))
    return found


def _shown(leaks: list[Leak], most: int = 4) -> str:
    """Each clause's entries with what they name, at most a few."""
    shown = [f"{x.entry_id} ({x.kind} '{x.names}' of {x.items})" for x in leaks]
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")
