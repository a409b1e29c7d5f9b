"""The spec family: its texts, its items and its recorded versions."""

from __future__ import annotations

from specsci.core.errors import SpecsciError
from specsci.plan.gates.finding import Finding
from specsci.plan.plan import Plan
from specsci.specs.changes import CHANGES, read_changes, unrecorded
from specsci.specs.check import check_variant
from specsci.specs.diff import diff, lines
from specsci.specs.family import Family
from specsci.specs.text import entries
from specsci.specs.versions import recorded


def family(plan: Plan) -> list[Finding]:
    """A family under change control must be what its version was recorded with."""
    family, pin = plan.loaded.family, plan.loaded.study.family_version
    line = plan.loaded.line("family")
    if read_changes(plan.loaded.family_home) is None:
        return [Finding("note", "family", f"'{family.name}' has no {CHANGES}: its text is not under change control")]
    if family.folder != plan.loaded.family_home:
        return [Finding("note", "family", f"'{family.name}' is pinned to {pin} (line {line}), an earlier version")]
    why = unrecorded(family)
    if why:
        hint = (
            f"make it a version: `specsci spec bump {family.name} VERSION --reason WHY --author WHO`, and pin that; "
            f"or put the text back: `specsci spec restore {family.name}`"
        )
        return [Finding("refuse", "family", f"{why}\n{_change(family)}", hint)]
    if pin is None:
        text = f"'{family.name}' is not pinned: another version would change this study (line {line})"
        return [Finding("note", "family", text, f"family: {family.name}@{family.data.version}")]
    return []


def _change(family: Family) -> str:
    """What differs from the recorded text, variant by variant."""
    changes = read_changes(family.folder)
    entry = (changes.entry(family.data.version) or changes.latest) if changes else None
    if entry is None:
        return ""
    try:
        before = recorded(family.folder, entry.version, entry.digest)
    except SpecsciError as error:
        return f"(no diff: {error.what})"
    out: list[str] = []
    seen: set[tuple[str, ...]] = set()
    for name in family.data.variants:
        if name not in before.data.variants:
            out.append(f"variant {name} is new")
            continue
        changed = tuple(lines(diff(entries(before, name), entries(family, name))))
        if changed and changed not in seen:
            out += [f"in {name}:", *(f"  {line}" for line in changed)]
        seen.add(changed)
    out += [f"variant {name} is gone" for name in before.data.variants if name not in family.data.variants]
    if before.grammar_digest != family.grammar_digest:
        out.append("the grammar or one of its tables changed")
    sets = sorted({*before.item_sets(), *family.item_sets()})
    asked = [{n: f.items_digest(n) for n in f.item_sets()} for f in (before, family)]
    out += [f"the item set {name} changed" for name in sets if asked[0].get(name) != asked[1].get(name)]
    return "\n".join(out) or "no variant's text: what is declared about the family changed"


def specs(plan: Plan) -> list[Finding]:
    """Variants whose text is broken by itself: another model's name, an unfilled placeholder, a reworded core."""
    family = plan.loaded.family
    used = sorted({v for a in plan.loaded.study.arms.values() for v in a.variants} & family.data.variants.keys())
    wrong = [f for name in used for f in check_variant(family, name) if f.level == "error"]
    if not wrong:
        return []
    text = "; ".join(f"{f.variant}/{f.entry}: {f.check}: {f.text}" for f in wrong[:4])
    more = f" and {len(wrong) - 4} more" if len(wrong) > 4 else ""
    return [Finding("refuse", "spec", text + more, f"`specsci spec check {family.name}` lists them all")]
