"""Claims and what was invalidated, as tables."""

from __future__ import annotations

from specsci.report.ablation import Ablation
from specsci.report.table import Table


def claim_tables(content: Ablation) -> list[Table]:
    """The status of every claim of a study, and what its results may no longer rest on; none where there are none."""
    out = []
    if content.claims:
        rows = [
            [c["claim"], c["status"], c["text"], c["contrast"], c["why"] or "–", f"{c['by']}, {c['made_on']}"]
            for c in content.claims
        ]
        out.append(Table("Claims", ["claim", "status", "says", "rests on", "why", "made by"], rows))
    if content.retired:
        rows = [[r["what"], r["reason"], f"{r['by']}, {r['date']}"] for r in content.retired]
        out.append(Table("Invalidated: nothing may rest on these", ["what", "why", "invalidated by"], rows))
    return out
