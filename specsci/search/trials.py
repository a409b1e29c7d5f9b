"""A trial: one arm under one setting, as ordinary steps of a plan; and what came out of it, read from the store."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from specsci.core.errors import CorruptArtifact, UserError
from specsci.core.step import Step, with_needs
from specsci.plan.build import build_plan
from specsci.plan.plan import Plan
from specsci.search.space import Config
from specsci.store.artifact import Store, read_record
from specsci.study.evals import EVALS, readout_of
from specsci.study.load import LoadedStudy, load_study
from specsci.study.tuning import LOSS, Tuning


@dataclass(frozen=True)
class Reading:
    """The steps whose mean is one number of a trial: the objective, or the constraint."""

    digests: tuple[str, ...]
    eval: str


@dataclass(frozen=True)
class Trial:
    """One arm under one setting: the plan that its steps are of, the steps that are wanted, and what is read."""

    number: int
    arm: str
    config: Config
    plan: Plan
    objective: Reading
    constraint: Reading | None

    @property
    def wanted(self) -> set[str]:
        """The steps that end the trial."""
        return {*self.objective.digests, *(self.constraint.digests if self.constraint else ())}

    @property
    def tokens(self) -> int:
        """Training tokens of the trial, over its replicates."""
        needed = with_needs(self.plan.steps, self.wanted)
        return int(sum(s.cost.get("tokens", 0) for s in needed.values() if s.kind in ("midtrain", "align")))


@dataclass(frozen=True)
class Result:
    """What came out of a trial. A failed one has no objective, and counts among the trials."""

    number: int
    arm: str
    config: Config
    objective: float | None
    constraint: float | None
    feasible: bool
    tokens: int

    @property
    def counts(self) -> bool:
        """Whether the setting may be chosen."""
        return self.objective is not None and self.feasible


def plan_of(loaded: LoadedStudy, config: Config, **more: Any) -> Plan:
    """The plan of a study under a setting; other values by keyword, dots written as two underscores."""
    overrides = {**loaded.overrides, **dict(config), **{key.replace("__", "."): value for key, value in more.items()}}
    profile = None if loaded.profile == loaded.default_profile else loaded.profile  # a file without profiles has a default as well
    return build_plan(load_study(str(loaded.file), profile, overrides, loaded.item_limit))


def trials_of(loaded: LoadedStudy, tuning: Tuning, number: int, config: Config, arms: Iterable[str]) -> list[Trial]:
    """The trials of arms under one setting.

    Raises:
        UserError: the objective or the constraint cannot be read of an arm.
    """
    plan = plan_of(loaded, config, replicates=[r.model_dump() for r in tuning.replicates], tuning=None)
    found = []
    for arm in arms:
        objective = _loss(plan, arm) if tuning.objective == LOSS else _eval(plan, tuning, arm, tuning.objective)
        constraint = _eval(plan, tuning, arm, tuning.constraint.eval) if tuning.constraint else None
        found.append(Trial(number, arm, config, plan, objective, constraint))
    return found


def _loss(plan: Plan, arm: str) -> Reading:
    variant = plan.loaded.study.arms[arm].midtrain
    found = tuple(p.digest for p in plan.probed if (p.variant, p.text, p.stage) == (variant, "own", "after"))
    if not found:
        raise UserError(f"tuning.objective: 'loss' cannot be read of '{arm}', which is not midtrained", hint="name an eval with role: trained")
    return Reading(found, LOSS)


def _eval(plan: Plan, tuning: Tuning, arm: str, name: str) -> Reading:
    study = plan.loaded.study
    largest = max((s.cell.aft_tokens for s in plan.scored if s.cell.arm == arm and s.eval == name), default=0)
    budget = tuning.budget_tokens if tuning.budget_tokens is not None and study.arms[arm].align else largest
    first = (study.evals[name].harness or [""])[0]
    found = [s for s in plan.scored if (s.cell.arm, s.eval, s.cell.aft_tokens) == (arm, name, budget) and s.condition in (first, "")]
    if not found:
        raise UserError(f"tuning: eval '{name}' is not asked of '{arm}' at {budget:,} tokens", hint="name another eval, or another budget_tokens")
    return Reading(tuple(s.digest for s in found), name)


def result_of(trial: Trial, store: Store, tuning: Tuning) -> Result:
    """What a trial's artefacts say; a number that cannot be read is none."""
    objective = _read(trial.objective, trial.plan, store)
    constraint = _read(trial.constraint, trial.plan, store) if trial.constraint else None
    kept = tuning.constraint is None or (constraint is not None and constraint >= tuning.constraint.at_least)
    return Result(trial.number, trial.arm, trial.config, objective, constraint, kept, trial.tokens)


def _read(reading: Reading, plan: Plan, store: Store) -> float | None:
    """The mean over replicates; None where one of them is missing."""
    values = [_value(plan.steps[d], reading.eval, plan, store) for d in reading.digests if d in plan.steps]
    if len(values) < len(reading.digests) or any(v is None or not math.isfinite(v) for v in values):
        return None
    return math.fsum(v for v in values if v is not None) / len(values)


def _value(step: Step, name: str, plan: Plan, store: Store) -> float | None:
    if not store.has(step):
        return None
    if name == LOSS:
        record = read_record(store.path(step.kind, step.digest))
        return float(record.facts["nll_per_token"]) if record and "nll_per_token" in record.facts else None
    try:
        store.verify(step.kind, step.digest, "scores.parquet")
    except CorruptArtifact:
        return None
    spec = plan.loaded.study.evals[name]
    binary = EVALS[spec.kind].outcome_of(spec) == "binary"
    rows = pq.read_table(store.path(step.kind, step.digest) / "scores.parquet", columns=["readout", "state", "aligned" if binary else "value"])
    rows = rows.filter(pc.and_(pc.equal(rows["readout"], readout_of(spec)), pc.equal(rows["state"], "ok")))
    mean = pc.mean(rows.column(2).cast("double")).as_py()
    return float(mean) if mean is not None else None
