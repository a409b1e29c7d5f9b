"""Arms, replicates, evals and what differs between the sides of a contrast."""

from __future__ import annotations

from specsci.plan.gates.finding import Finding
from specsci.plan.plan import Plan
from specsci.specs.items import unfilled
from specsci.study.arms import confounds
from specsci.study.schema import Study


def confounds_of_contrasts(plan: Plan) -> list[Finding]:
    """Contrasts whose sides differ in more than the declared factor."""
    study, found = plan.loaded.study, []
    for contrast in study.contrasts:
        other = sorted({c for b in contrast.budgets for c in confounds(study, contrast.weights, b, contrast.factor, study.evals[contrast.eval].harness)})
        if not other:
            continue
        text = f"'{contrast.name}' declares {contrast.factor} and differs also in {', '.join(other)}"
        if contrast.primary:
            found.append(Finding("refuse", "confound", text, f"make '{contrast.name}' not primary, or match its arms"))
        else:
            found.append(Finding("warn", "confound", text))
    return found


def enough_replicates(plan: Plan) -> list[Finding]:
    """Too few replicates or base models for a statement about those to come."""
    replicates = plan.loaded.study.replicates
    bases = {r.base_model for r in replicates}
    found = []
    if len(replicates) < 4:
        found.append(Finding("warn", "replicates", f"{len(replicates)} replicates: intervals will be wide or absent"))
    if 1 < len(bases) < len(replicates):
        found.append(
            Finding("warn", "replicates", f"{len(replicates)} seeds over {len(bases)} bases: the base is the cluster")
        )
    if len(bases) == 1 and len(replicates) > 1:
        found.append(Finding("note", "replicates", "one base model: intervals say nothing about other bases"))
    return found


def evals(plan: Plan) -> list[Finding]:
    """What a reader of the results would miss: a control of the format, both option orders, names that nothing fills."""
    study, family = plan.loaded.study, plan.loaded.family
    found = []
    if not any(e.role == "competence" for e in study.evals.values()):
        text = "no eval has the role competence: nobody would see that an arm cannot answer in this format"
        found.append(Finding("warn", "competence", text, "add an eval of easy items in the same format, role: competence"))
    own = {n for b in study.base_models.values() for n in b.identity}
    for name in sorted({e.items for e in study.evals.values() if e.items}):
        items = family.items(name)
        single = [i.item_id for i in items if not i.ordered and not i.open]
        if single:
            text = f"{len(single):,} of {len(items):,} items of '{name}' name no options ({{first}}, {{second}}): asked in one order only"
            found.append(Finding("note" if _is_control(study, name) else "warn", "orders", text))
        open_names = unfilled(items, {*family.names_of(name), *own})
        if open_names:
            shown = ", ".join(f"{{{n}}}" for n in open_names[:4])
            found.append(
                Finding("warn", "items", f"prompts of '{name}' hold {shown}, which nothing fills: asked as they stand")
            )
    return found


def _is_control(study: Study, items: str) -> bool:
    """Whether an item set is asked as a control alone whose options are not named by design."""
    return all(e.role in ("capability", "guard", "recall") for e in study.evals.values() if e.items == items)
