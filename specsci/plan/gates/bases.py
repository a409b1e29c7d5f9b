"""What the examination of the base models says."""

from __future__ import annotations

from specsci.plan.gates.finding import Finding
from specsci.plan.intake import examine_bases
from specsci.plan.plan import Plan


def bases(plan: Plan) -> list[Finding]:
    """What the examination of the study's own bases says against them, or has the stages do."""
    found = []
    for name, seen in examine_bases(plan).items():
        against = [point for point in seen.findings if point.judgement != "ok"]
        found += [Finding("warn", "base", f"'{name}': {point.text}", point.hint) for point in against]
        packed = "packed" if seen.facts.get("packs") else "unpacked (each row by itself)"
        text = f"'{name}' was examined on {seen.facts.get('on', 'its files')}: {len(seen.findings)} points; trained {packed}"
        found.append(Finding("note", "base", text))
    for name, facts in plan.bases.items():
        if facts.fetched_later:
            found.append(Finding("note", "base", f"'{name}' is not examined here: it is in its base step, once fetched"))
    return found
