"""Agreement of raters, and judges' errors, as tables."""

from __future__ import annotations

from typing import Any

from specsci.report.table import NOTHING, Table
from specsci.stats.agreement import FEW_UNITS


def agreement_tables(found: dict[str, Any]) -> list[Table]:
    """What `specsci.results.ratings.agreement` found."""
    table = Table("Agreement of raters", ["raters", "coefficient", "value", "95 % interval", "items"])
    for a in found["agreement"]:
        value = NOTHING if a["value"] is None else f"{a['value']:.3f}"
        interval = NOTHING if a["ci_low"] is None else f"[{a['ci_low']:.3f}, {a['ci_high']:.3f}]"
        table.rows.append([a["who"], a["name"], value, interval, str(a["units"])])
    table.note = f"Intervals: jackknife over items; none of fewer than {FEW_UNITS} items, or where the raters never differ."
    return [table, *([_error_table(found["errors"])] if found.get("errors") else [])]


def _error_table(errors: list[dict[str, Any]]) -> Table:
    table = Table(
        f"Errors against {errors[0]['human']}", ["rater", "stratum", "stands for", "audited", "wrong", "error rate"]
    )
    for found in errors:
        for s in found["strata"]:
            size = "–" if s["population"] is None else f"{s['population']:,}"
            table.rows.append(
                [found["judge"], s["stratum"], size, str(s["audited"]), str(s["wrong"]), f"{s['wrong'] / s['audited']:.3f}"]
            )
        whole = f"{found['error_rate']:.3f} [{found['ci_low']:.3f}, {found['ci_high']:.3f}]"
        audited, wrong = (sum(s[k] for s in found["strata"]) for k in ("audited", "wrong"))
        table.rows.append([found["judge"], "whole, weighted", "–", str(audited), str(wrong), whole])
    table.note = "Whole: strata weighed by what they stand for, 95 % interval with the finite population's correction."
    return table
