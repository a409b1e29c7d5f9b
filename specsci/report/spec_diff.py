"""Spec diff, document diff, behaviour diff: what changed, what was written about it, and what moved."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from specsci.provenance.behaviour_diff import Moved, Side, moved, rate_moves, shown_items
from specsci.report.table import Table
from specsci.specs.diff import Change, diff, lines
from specsci.specs.schema import ACCESS
from specsci.specs.text import entries
from specsci.store.artifact import Store

MOST_ITEMS = 20


@dataclass
class SpecDiff:
    """The comparison of two variants."""

    first: str
    second: str
    changes: list[Change]
    kept: int
    access: str = "public"
    moved: Moved = field(default_factory=Moved)

    def as_dict(self) -> dict[str, Any]:
        """The comparison as plain values."""
        return {
            "first": self.first,
            "second": self.second,
            "access": self.access,
            "unchanged_entries": self.kept,
            "changes": [c.as_dict() for c in self.changes],
            **asdict(self.moved),
        }


def compare(first: Side, second: Side, names: tuple[str, str], store: Store | None) -> SpecDiff:
    """Compare two variants' texts, and what a store holds of models trained on either."""
    before, after = (entries(s.family, s.variant) for s in (first, second))
    changes = diff(before, after)
    touched = {c.id for c in changes}
    kept = sum(e.id not in touched for e in after)
    found = moved(store, first, second, changes) if store else Moved()
    access = max((s.family.data.access for s in (first, second)), key=ACCESS.index)
    return SpecDiff(names[0], names[1], changes, kept, access, found)


def text_lines(content: SpecDiff) -> list[str]:
    """The spec's own difference, as a terminal shows it."""
    counts = {kind: sum(c.kind == kind for c in content.changes) for kind in ("removed", "added", "reworded", "moved")}
    shown = ", ".join(f"{n} {kind}" for kind, n in counts.items() if n) or "no difference"
    label = "" if content.access == "public" else f" Access: {content.access}."
    summary = f"{content.first} -> {content.second}: {shown}; {content.kept} entries unchanged{label and '.'}{label}"
    return [summary, *lines(content.changes)]


def tables(content: SpecDiff) -> list[Table]:
    """Documents about what changed, evals that moved, items that moved most; absent where nothing is known."""
    out = []
    for title, rows in (
        (f"Documents about what changed, made from {content.first}", content.moved.documents_a),
        (f"Documents about what changed, made from {content.second}", content.moved.documents_b),
    ):
        if rows:
            table = Table(title, ["clause", "unit", "documents", "tokens", "one of them"])
            for row in rows:
                sample = " ".join(row["sample"].split())
                cut = sample if len(sample) <= 100 else sample[:97] + "..."
                table.rows.append([row["clause_id"], row["unit_id"], f"{row['documents']:,}", f"{row['tokens']:,}", cut])
            out.append(table)
    if content.moved.items:
        evals = Table(
            "Behaviour: aligned rate, second minus first", ["eval", "AFT tokens", "items", "up", "down", "difference"]
        )
        evals.rows = rate_moves(content.moved.items)
        evals.note = (
            f"{content.moved.models} pair{'s' if content.moved.models != 1 else ''} of models, paired within study, base model, "
            "seed, AFT set and budget. A description of these models; whether a difference holds is for a declared contrast."
        )
        if content.moved.also_differs:
            evals.note = f"CONFOUNDED: {' and '.join(content.moved.also_differs)} differ too. {evals.note}"
        header = ["eval", "AFT tokens", "item", "first", "second", "moved", "margin moved (nats)", "models"]
        items = Table("Items that moved most", header, shown_items(content.moved.items, MOST_ITEMS))
        still = len(content.moved.items) - len(items.rows)
        items.note = f"{still:,} further items are not shown." if still else ""
        out += [evals, items]
    return out
