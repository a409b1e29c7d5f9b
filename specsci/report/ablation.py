"""The ablation table's content: rates per arm and budget with intervals, from results.duckdb alone."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np

from specsci.core.errors import UserError, nearest
from specsci.core.levels import subject
from specsci.database.connection import rows
from specsci.database.manifest import Manifest, study_manifest
from specsci.database.manifest_parts import Arm
from specsci.inference.controls import pairs_of
from specsci.inference.rates import Rates
from specsci.stats.intervals import Interval, mean_interval, rate_interval

NO_VALID = Interval(math.nan, math.nan, math.nan, 0, "no valid answer")
"""Stands for the rate of an arm without a valid answer: it is shown with its denominators, never left out."""


@dataclass(frozen=True)
class RateCell:
    """A misaligned rate over replicates, its denominators, and the rate in each replicate."""

    interval: Interval
    aligned: int
    valid: int
    attempted: int
    per_replicate: dict[str, float]
    truncated: int = 0


@dataclass(frozen=True)
class Control:
    """A control eval at one AFT budget: the aligned rate over the models of an arm, worst and mean.

    `unread` of the `models` were not scored or have no valid answer; they are in neither number, which are NaN where no model
    can be read.
    """

    eval: str
    role: str
    arm: str
    worst: float
    mean: float
    attempted: int
    aft_tokens: int = 0
    models: int = 1
    unread: int = 0


@dataclass
class Ablation:
    """Everything that the ablation table shows of one study."""

    study: str
    title: str
    hypothesis: str
    notes: str
    family: str
    unit: str
    budgets: list[int]
    cells: dict[str, dict[tuple[str, int], RateCell]] = field(default_factory=dict)
    """Outcome eval to (arm, budget) to rate."""
    arms: dict[str, Arm] = field(default_factory=dict)
    controls: list[Control] = field(default_factory=list)
    contrasts: list[dict[str, Any]] = field(default_factory=list)
    efficiency: list[dict[str, Any]] = field(default_factory=list)
    correction: str = ""
    cells_total: int = 0
    cells_scored: int = 0
    access: str = "public"
    disclaimers: list[str] = field(default_factory=list)
    absorption: list[dict[str, Any]] = field(default_factory=list)
    noise: list[dict[str, Any]] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)
    retired: list[dict[str, Any]] = field(default_factory=list)
    examined: list[dict[str, Any]] = field(default_factory=list)
    """Of every audit that examined texts: what it measured, by the role of the text set."""
    conditions: dict[str, list[str]] = field(default_factory=dict)
    """Eval to the harness conditions that it is asked under, of evals with several."""
    by_condition: dict[str, dict[tuple[str, int, str], RateCell]] = field(default_factory=dict)
    """Eval to (arm, budget, condition) to rate, or to mean value where answers are not binary."""
    means: dict[str, dict[tuple[str, int], RateCell]] = field(default_factory=dict)
    """Outcome eval to (arm, budget) to mean value, of evals whose answers are values."""


def study_names(db: duckdb.DuckDBPyConnection) -> list[str]:
    """Names of the studies in a database, sorted."""
    return [name for (name,) in db.execute("SELECT study FROM studies ORDER BY study").fetchall()]


def chosen_study(db: duckdb.DuckDBPyConnection, study: str | None = None) -> Manifest:
    """The manifest of one study of a database; of its only one if none is named.

    Raises:
        UserError: there is no such study, or none is named of several.
    """
    names = study_names(db)
    if study is None and len(names) != 1:
        raise UserError(
            "the store has several studies" if names else "the store has no study",
            hint=f"name one with --study: {', '.join(names)}",
        )
    wanted = names[0] if study is None else study
    found = study_manifest(db, wanted)
    if found is None:
        raise UserError(f"no study '{wanted}' in the results", hint=nearest(wanted, names))
    return found


def ablation(db: duckdb.DuckDBPyConnection, study: str | None = None) -> Ablation:
    """The content for one study; the only one of the store if none is named."""
    manifest = chosen_study(db, study)
    study = manifest.study
    rates = Rates(db, study)
    budgets = sorted({c.aft_tokens for c in manifest.cells})
    out = Ablation(
        study=study,
        title=manifest.title,
        hypothesis=manifest.hypothesis,
        notes=manifest.notes,
        family=f"{manifest.family} {manifest.family_version}",
        unit="base model" if rates.unit == "base_model" else "seed",
        budgets=budgets,
        arms=manifest.arms,
        correction=manifest.correction,
        access=manifest.access,
        disclaimers=manifest.disclaimers,
        cells_total=len(manifest.cells),
    )
    (out.cells_scored,) = db.execute("SELECT cells_scored FROM studies WHERE study = ?", [study]).fetchone() or (0,)
    for name, spec in manifest.evals.items():
        binary, under = manifest.readout_of(name).outcome == "binary", manifest.conditions_of(name)
        if len(under) > 1:
            found = {c: _outcome(manifest, rates, name, budgets, binary=binary, condition=c) for c in under}
            out.conditions[name] = under
            out.by_condition[name] = {(arm, b, c): cell for c, cells in found.items() for (arm, b), cell in cells.items()}
        if not binary:
            out.means[name] = _outcome(manifest, rates, name, budgets, binary=False)
        elif spec.role == "outcome":
            out.cells[name] = _outcome(manifest, rates, name, budgets)
        else:
            out.controls += _controls(manifest, rates, name, spec.role, budgets)
    out.contrasts = rows(db, "SELECT * FROM contrasts WHERE study = ?", [study])
    out.absorption = rows(db, "SELECT * FROM absorption WHERE study = ? ORDER BY msm_spec, seed", [study])
    out.noise = rows(db, "SELECT * FROM noise_budget WHERE study = ?", [study])
    out.claims = rows(db, "SELECT * FROM claims WHERE study = ? ORDER BY claim", [study])
    out.retired = rows(db, "SELECT * FROM retired ORDER BY date, what")
    audits = "SELECT facts->'$.examined' AS found FROM steps WHERE study = ? AND kind = 'audit' AND json_exists(facts, '$.examined')"
    out.examined = [json.loads(row["found"]) for row in rows(db, audits, [study])]
    out.efficiency = rows(db, "SELECT * FROM token_efficiency WHERE study = ?", [study])
    return out


def _outcome(
    manifest: Manifest, rates: Rates, name: str, budgets: list[int], *, binary: bool = True, condition: str | None = None
) -> dict[tuple[str, int], RateCell]:
    """Misaligned rates by arm and budget; means of values where answers are not binary."""
    cells = {}
    for arm in manifest.arms:
        of = subject(arm, condition, manifest.conditions_of(name))
        for budget in budgets:
            if (of, name, budget) not in rates.counts:
                continue
            column = rates.column(of, name, budget)
            known = ~np.isnan(column)
            aligned, valid, attempted = rates.counts[of, name, budget]
            own = rates.own_items(of, name, budget)
            shown = 1 - column if binary else column
            made = rate_interval(shown[known], own[known]) if binary and known.any() else mean_interval(shown[known])
            interval = made if known.any() else NO_VALID
            values = {str(c): float(v) for c, v in zip(rates.clusters, shown, strict=True) if not np.isnan(v)}
            cells[arm, budget] = RateCell(interval, aligned, valid, attempted, values, rates.truncated.get((of, name, budget), 0))
    return cells


def _controls(manifest: Manifest, rates: Rates, name: str, role: str, budgets: list[int]) -> list[Control]:
    """A row for every arm and budget that the study has a control cell of, scored or not."""
    pairs = pairs_of(manifest)
    there = {(c.arm, c.aft_tokens) for c in manifest.cells if c.eval == name}
    found = []
    for arm in manifest.arms:
        for budget in budgets:
            if (arm, budget) not in there:
                continue
            column = rates.by_replicate(arm, name, budget, pairs)
            known = [v for v in column.values() if v is not None and not math.isnan(v)]
            ends = (min(known), float(np.mean(known))) if known else (math.nan, math.nan)
            attempted = rates.counts.get((arm, name, budget), (0, 0, 0))[2]
            found.append(Control(name, role, arm, *ends, attempted, budget, len(column), len(column) - len(known)))
    return found
