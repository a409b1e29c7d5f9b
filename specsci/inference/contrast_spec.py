"""What is asked of a contrast, and what the database holds for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import duckdb

from specsci.core.errors import UserError, nearest
from specsci.core.levels import arm_of, condition_of, subject_of, tokens_of
from specsci.database.manifest import study_manifest
from specsci.inference.denominator import Denominator
from specsci.inference.design import Design, read_design
from specsci.stats.contrast import Scale
from specsci.stats.sequential import Spending
from specsci.study.schema import MOST_WEIGHT

Method = Literal[
    "auto",
    "paired_t",
    "unpaired_t",
    "cluster_t",
    "bootstrap",
    "two_proportion",
    "exact",
    "mcnemar",
    "linear",
    "mixed",
    "gee",
]
METHODS: tuple[str, ...] = get_args(Method)


@dataclass(frozen=True)
class ContrastSpec:
    """A contrast as it is asked for; `margin` asks for equivalence, `looks` (numbers of replicates) for interim analyses as well.

    `paired`: whether a replicate's arms are compared within it (True: only replicates that all arms share; False: none; None:
    where they share it).
    """

    study: str
    eval: str
    weights: dict[str, float]
    budget_tokens: int | None = None
    scale: Scale = "rate"
    denominator: Denominator = "valid"
    method: Method = "auto"
    margin: float | None = None
    looks: tuple[int, ...] = ()
    spending: Spending = "obrien_fleming"
    paired: bool | None = None


IMPORTED = "imported"
"""The profile of imported studies."""
NO_SUM = 1e-9
"""Weights add up to 0 within this, as those of a study file."""


def parse_weights(text: str) -> dict[str, float]:
    """`a=1,b=-1` as weights.

    Raises:
        UserError: it is not of that form, names an arm twice, all weights are 0, or they do not add up to 0.
    """
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, sign, number = part.strip().rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not sign or not name.strip() or not math.isfinite(value):
            raise UserError(f"'{part.strip()}' is not a valid weight", hint='write --weights "arm=1,other=-1"')
        if name.strip() in weights:
            raise UserError(f"'{name.strip()}' has two weights", hint="give each arm one")
        weights[name.strip()] = value
    return check_weights(weights)


def check_weights(weights: dict[str, float]) -> dict[str, float]:
    """Weights without those that are 0. They add up to 0; a single arm has weight 1, and its rate is asked for.

    Raises:
        UserError: they do neither, as where a minus was forgotten.
    """
    found = {name: float(value) for name, value in weights.items() if value}
    said = ", ".join(f"{name}={value:g}" for name, value in found.items())
    if not all(math.isfinite(value) for value in found.values()):
        raise UserError(f"a weight is not a number ({said})", hint='write --weights "arm=1,other=-1"')
    if found and (largest := max(map(abs, found.values()))) > MOST_WEIGHT:
        raise UserError(
            f"a weight is {largest:g}; they are at most {MOST_WEIGHT:g}", hint='write --weights "arm=1,other=-1"'
        )
    if not found:
        raise UserError("every weight is 0", hint='write --weights "arm=1,other=-1"')
    if len(found) == 1:
        if next(iter(found.values())) != 1:
            raise UserError(
                f"the rate of a single arm has weight 1 ({said})",
                hint='write --weights "arm=1", or compare two arms: "arm=1,other=-1"',
            )
        return found
    total = sum(found.values())
    if abs(total) > NO_SUM:
        raise UserError(
            f"the weights of a contrast must sum to 0, and these sum to {total:g} ({said})",
            hint="give one side of the comparison negative weights, such as arm=1,other=-1",
        )
    return found


def read_answers(db: duckdb.DuckDBPyConnection, spec: ContrastSpec) -> Design:
    """The counts of every arm at its budget, and how to read its single answers.

    Raises:
        UserError: an unknown study, eval or arm, or a budget that an arm does not have.
    """
    studies = [name for (name,) in db.execute("SELECT study FROM studies ORDER BY study").fetchall()]
    if spec.study not in studies:
        raise UserError(f"no study '{spec.study}' in the results", hint=nearest(spec.study, studies))
    evals = [e for (e,) in db.execute("SELECT DISTINCT eval FROM rates WHERE study = ?", [spec.study]).fetchall()]
    if spec.eval not in evals:
        raise UserError(f"'{spec.study}' has no scores of '{spec.eval}'", hint=nearest(spec.eval, evals))
    budgets: dict[str, set[int]] = {}
    for arm, budget in db.execute(
        "SELECT DISTINCT subject, aft_tokens FROM rates WHERE study = ? AND eval = ?", [spec.study, spec.eval]
    ).fetchall():
        budgets.setdefault(arm, set()).add(budget)
    under = _conditions(db, spec)
    cells = {name: [_cell(name, budgets, under, spec.budget_tokens)] for name in spec.weights}
    return read_design(db, spec.study, spec.eval, spec.weights, cells, _declared(db, spec.study))


def _declared(db: duckdb.DuckDBPyConnection, study: str) -> int | None:
    """How many replicates a study declares; None for imported results, which declare none."""
    manifest = study_manifest(db, study)
    return None if manifest is None or manifest.profile == IMPORTED else len(manifest.replicates)


def _conditions(db: duckdb.DuckDBPyConnection, spec: ContrastSpec) -> list[str]:
    """The harness conditions that an eval is asked under, the one that an arm's bare name means first."""
    row = db.execute("SELECT harness FROM evals WHERE study = ? AND eval = ?", [spec.study, spec.eval]).fetchone()
    return list(row[0]) if row and row[0] else []


def _cell(name: str, budgets: dict[str, set[int]], conditions: list[str], wanted: int | None) -> tuple[str, int]:
    """The subject and the AFT tokens that `ARM`, `ARM@TOKENS`, `ARM@CONDITION` or `ARM@CONDITION@TOKENS` means."""
    try:
        known = name in budgets
        found, named = (name, None) if known else (subject_of(name, conditions), tokens_of(name))
        condition = None if known else condition_of(name)
    except ValueError as error:
        raise UserError(str(error), hint="write ARM@CONDITION@TOKENS") from error
    if arm_of(name) not in budgets and not known:
        raise UserError(f"no scores of an arm '{arm_of(name)}'", hint=nearest(arm_of(name), budgets))
    if found not in budgets:
        levels = [f"{arm_of(name)}@{c}" for c in conditions[1:]]
        what = f"'{condition}' is neither a number of AFT tokens nor a harness condition that '{arm_of(name)}' was asked under"
        raise UserError(what, hint=f"one of {', '.join(levels)}" if levels else f"write {arm_of(name)}@TOKENS")
    return found, _budget(found, budgets[found], named, wanted)


def _budget(arm: str, has: set[int], named: int | None, wanted: int | None) -> int:
    """The AFT tokens of a subject that has scores at some budgets."""
    wanted = wanted if named is None else named
    if len(has) == 1 and named is None and (wanted is None or has == {0} or wanted in has):
        return next(iter(has))
    if wanted is None or wanted not in has:
        listed = ", ".join(f"{b:,}" for b in sorted(has))
        what = f"'{arm}' has several budgets" if wanted is None else f"'{arm}' has no budget of {wanted:,} tokens"
        raise UserError(f"{what} ({listed})", hint="say which: --budget TOKENS, in a file budget_tokens")
    return wanted
