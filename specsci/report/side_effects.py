"""Side effects: every arm on every item set, as the difference from the base model (no treatment), over one study or several.

In a store that holds a study for each of several specs, all of which ask each other's items, the table is the N by N of specs and items.
"""

from __future__ import annotations

import math

import duckdb
import numpy as np

from specsci.database.manifest import Manifest, study_manifest
from specsci.inference.rates import Rates
from specsci.report.table import NOTHING, Table, rate
from specsci.stats.intervals import mean_interval


def side_effects(db: duckdb.DuckDBPyConnection, studies: list[str]) -> Table:
    """A row for each arm at its largest budget; a column for each item set that is asked for an answer that is right or wrong."""
    found = [(study, manifest) for study in studies if (manifest := study_manifest(db, study))]
    columns = list(dict.fromkeys(key for _, manifest in found for key in _asked(manifest).values()))
    table = Table("Side effects: aligned rate minus that of the base model (no treatment)", ["arm", *columns])
    for study, manifest in found:
        rates, asked = Rates(db, study), _asked(manifest)
        base = next((a for a, arm in manifest.arms.items() if not arm.midtrain and not arm.align and not arm.prompt), None)
        for arm in manifest.arms:
            cells = {key: _cell(rates, manifest, name, arm, base) for name, key in asked.items()}
            head = f"{study}: {arm}" if len(found) > 1 else arm
            table.rows.append([head, *(cells.get(key, NOTHING) for key in columns)])
    aligned = any(arm.align for _, manifest in found for arm in manifest.arms.values())
    at = "Arms that align are at their largest AFT budget. " if aligned else ""
    table.note = (
        f"{at}Mean over replicates of the paired difference [95 % interval]; the base's own row has its rate. Columns are item sets of one "
        "reading; FAMILY/SET is a set of another family. Intervals are not corrected for the number of cells."
    )
    return table


def _asked(manifest: Manifest) -> dict[str, str]:
    """Evals whose answers are right or wrong, to what they ask: one column for all studies that ask the same items in the same way.

    An eval without an item set, such as an agent's or an imported one, is a column by its own name.
    """
    found = {}
    for name, spec in manifest.evals.items():
        told = manifest.readout_of(name)
        if spec.role != "competence" and told.outcome == "binary":
            items = spec.items if spec.items and "/" in spec.items else f"{manifest.family}/{spec.items}" if spec.items else f"eval {name}"
            found[name] = f"{items} ({spec.kind}, {told.readout})" if spec.kind else items
    keys = list(found.values())
    return {name: f"{key} {name}" if keys.count(key) > 1 else key for name, key in found.items()}


def _cell(rates: Rates, manifest: Manifest, name: str, arm: str, base: str | None) -> str:
    budgets = sorted(b for of, e, b in rates.counts if of == arm and e == name)
    if not budgets:
        return NOTHING
    if arm == base:
        column = rates.column(arm, name, budgets[-1])
        known = column[~np.isnan(column)]
        return rate(float(known.mean())) if len(known) else NOTHING
    if base is None or (base, name, 0) not in rates.counts:
        return NOTHING
    values, _ = rates.paired(name, [[(arm, budgets[-1])], [(base, 0)]])
    if not len(values):
        return NOTHING
    i = mean_interval(values[:, 0] - values[:, 1])
    return f"{i.estimate:+.3f}" + ("" if math.isnan(i.low) else f" [{i.low:+.3f}, {i.high:+.3f}]")
