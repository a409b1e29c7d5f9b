"""A variant's clauses with its transforms applied: selection, shuffle, attribution, kept parts."""

from __future__ import annotations

import random
from typing import Any

from specsci.core.errors import UserError, nearest
from specsci.core.ids import derive_seed
from specsci.specs.schema import STANCES, WHY, Clause, FamilyFile, Shuffle, Variant

Rule = dict[str, str]


def resolved_clauses(data: FamilyFile, name: str) -> list[Clause]:
    """The clauses that a variant draws on, in its order, holding no more than what it keeps.

    Clauses that no transform touches come out as they are declared.

    Raises:
        UserError: a clause that is not there, or preferences that do not shuffle as declared.
    """
    variant = data.variants[name]
    if not variant.keep:
        return []
    by_id = {c.id: c for c in data.clauses}
    for wanted in variant.clauses or []:
        if wanted not in by_id:
            raise UserError(f"variant '{name}' names clause '{wanted}'", hint=nearest(wanted, by_id))
    chosen = [c for c in data.clauses if variant.clauses is None or c.id in variant.clauses]
    flipped = _flipped(chosen, variant.shuffle, name) if variant.shuffle else set()
    return [_resolved(clause, variant, flipped) for clause in chosen]


def _flipped(clauses: list[Clause], shuffle: Shuffle, name: str) -> set[str]:
    """Ids of the preferences whose stance the shuffle turns round."""
    rng = random.Random(derive_seed("shuffled preferences", shuffle.seed))
    found: set[str] = set()
    for stance in STANCES:
        ids = [r["id"] for c in clauses for r in c.rules if r.get("stance") == stance]
        if len(ids) != shuffle.aligned + shuffle.opposed:
            raise UserError(
                f"variant '{name}' shuffles {shuffle.aligned} + {shuffle.opposed} preferences, and '{stance}' has {len(ids)}",
                hint="make aligned + opposed the number of preferences of each stance",
            )
        found |= set(rng.sample(ids, shuffle.opposed))
    return found


def _resolved(clause: Clause, variant: Variant, flipped: set[str]) -> Clause:
    keep = variant.keep
    changes = {
        "rules": [_rule(r, variant, flipped) for r in clause.rules] if "rule" in keep else [],
        "subrules": [_rule(r, variant, flipped) for r in clause.subrules] if "subrule" in keep else [],
        "explanation": clause.explanation if "explanation" in keep else "",
        "value": clause.value if "value" in keep else "",
        "examples": clause.examples if "example" in keep else [],
    }
    return clause.model_copy(update=changes)


def without_reasons(rule: Rule) -> Rule:
    """A rule as it stands bare: no `why`, and no `why.NAME`."""
    return {k: v for k, v in rule.items() if k != WHY and not k.startswith(f"{WHY}.")}


def _rule(rule: Rule, variant: Variant, flipped: set[str]) -> Rule:
    """A rule with the one reason that the variant gives for it, if any."""
    own = without_reasons(rule)
    if rule["id"] in flipped:
        own["stance"] = STANCES[own["stance"]]
    why = rule.get(f"{WHY}.{variant.explain}", rule.get(WHY, "")) if variant.explain else rule.get(WHY, "")
    if why and variant.attribution and "explanation" in variant.keep:
        own[WHY] = why
    return own


def kept_fields(clause: Clause, variant: Variant) -> dict[str, Any]:
    """What a resolved clause says: the value that its digest is over."""
    fields: dict[str, Any] = {"id": clause.id, "slots": clause.slots}
    for part, field in (("rule", "rules"), ("subrule", "subrules"), ("explanation", "explanation"), ("value", "value")):
        if part in variant.keep:
            fields[field] = getattr(clause, field)
    if clause.examples:
        fields["examples"] = clause.examples
    return fields
