"""Flags from a study's controls and corpora for a contrast that a user asks for, as a declared contrast has them."""

from __future__ import annotations

import duckdb

from specsci.core.findings import Flag
from specsci.database.manifest import study_manifest
from specsci.inference.controls import control_flags, truncation_flags
from specsci.inference.corpora import distinct_shares
from specsci.inference.judges import judge_cards, judge_flags
from specsci.inference.rates import Rates
from specsci.plan.distinct import distinct_flags


def study_flags(
    db: duckdb.DuckDBPyConnection, study: str, name: str, weights: dict[str, float], cells: list[tuple[str, int]]
) -> list[Flag]:
    """Flags of the study's competence, capability and guard evals, and of unequally repeated documents.

    Args:
        name: the eval that is asked; a control is not compared with itself.
        weights: arm to weight.
        cells: (subject, AFT tokens) that the contrast reads.
    """
    manifest = study_manifest(db, study)
    if manifest is None or (name in manifest.evals and manifest.evals[name].role != "outcome"):
        return []
    rates = Rates(db, study)
    flags: list[Flag] = truncation_flags(rates, name, cells)
    if {e.role for e in manifest.evals.values()} & {"competence", "capability", "guard"}:
        for arm in dict.fromkeys(arm for arm, _ in cells):
            flags += control_flags(manifest, rates, name, [arm], [budget for a, budget in cells if a == arm])
    told = manifest.readout_of(name)
    flags += judge_flags(judge_cards(db, study, name, binary=told.outcome == "binary"), told.readout)
    return flags + distinct_flags(manifest.midtrained_on, weights, distinct_shares(db, study))
