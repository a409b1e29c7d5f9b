"""What is asked of a contrast, and what the database holds for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import duckdb

from specsci.errors import UserError, nearest
from specsci.results.denominator import Denominator
from specsci.results.rates import unit_of
from specsci.stats.contrast import Scale
from specsci.stats.sequential import Spending

Method = Literal[
    "auto", "paired_t", "cluster_t", "bootstrap", "two_proportion", "exact", "mcnemar", "linear", "mixed", "gee"
]
METHODS: tuple[str, ...] = get_args(Method)


@dataclass(frozen=True)
class Asked:
    """A contrast as it is asked for; `margin` asks for equivalence, `looks` for sequential boundaries as well."""

    study: str
    eval: str
    weights: dict[str, float]
    budget_tokens: int | None = None
    scale: Scale = "rate"
    denominator: Denominator = "decided"
    method: Method = "auto"
    margin: float | None = None
    looks: tuple[int, ...] = ()
    spending: Spending = "obrien_fleming"


@dataclass
class Answers:
    """What the database holds for a contrast: counts by cluster and arm, and single answers, read when a method asks for them.

    `counts[cluster][arm]` is (aligned, decided, asked) of one replicate; a cluster is a base model where the study has several,
    else a seed. Seeds that share a base count as one replicate: `rates[cluster][arm]` are their mean rates, by denominator.
    """

    unit: str
    arms: list[str]
    first_seed: dict[Any, int]
    counts: dict[Any, dict[str, tuple[int, int, int]]]
    rates: dict[Any, dict[str, dict[Denominator, float]]]
    read: Callable[[], list[tuple[Any, ...]]]

    @cached_property
    def rows(self) -> list[tuple[Any, ...]]:
        """(cluster, arm, item_id, cluster_id, seed, aligned or None) per answer; empty where only counts are known."""
        return self.read()

    def whole(self) -> list[Any]:
        """Clusters that every arm has decided answers in, in the order of their seeds."""
        return [
            c
            for c in sorted(self.counts, key=self.first_seed.__getitem__)
            if all(self.counts[c].get(a, (0, 0, 0))[1] for a in self.arms)
        ]

    def total(self, arm: str) -> tuple[int, int, int]:
        found = [by_arm[arm] for by_arm in self.counts.values() if arm in by_arm]
        return tuple(sum(x) for x in zip(*found, strict=True))


def parse_weights(text: str) -> dict[str, float]:
    """`a=1,b=-1` as weights.

    Raises:
        UserError: it is not of that form, names an arm twice, or all weights are 0.
    """
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, sign, number = part.strip().rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not sign or not name.strip() or not math.isfinite(value):
            raise UserError(f"'{part.strip()}' is no weight", mend='write --weights "arm=1,other=-1"')
        if name.strip() in weights:
            raise UserError(f"'{name.strip()}' has two weights", mend="give each arm one")
        weights[name.strip()] = value
    if not any(weights.values()):
        raise UserError("every weight is 0", mend='write --weights "arm=1,other=-1"')
    return {name: value for name, value in weights.items() if value}


def read_answers(db: duckdb.DuckDBPyConnection, asked: Asked) -> Answers:
    """The counts of every arm at its budget, and how to read its single answers.

    Raises:
        UserError: an unknown study, eval or arm, or a budget that an arm does not have.
    """
    studies = [name for (name,) in db.execute("SELECT study FROM studies ORDER BY study").fetchall()]
    if asked.study not in studies:
        raise UserError(f"no study '{asked.study}' in the results", mend=nearest(asked.study, studies))
    evals = [e for (e,) in db.execute("SELECT DISTINCT eval FROM rates WHERE study = ?", [asked.study]).fetchall()]
    if asked.eval not in evals:
        raise UserError(f"'{asked.study}' has no scores of '{asked.eval}'", mend=nearest(asked.eval, evals))
    budgets: dict[str, set[int]] = {}
    for arm, budget in db.execute(
        "SELECT DISTINCT arm, aft_tokens FROM rates WHERE study = ? AND eval = ?", [asked.study, asked.eval]
    ).fetchall():
        budgets.setdefault(arm, set()).add(budget)
    at = {arm: _budget(arm, budgets, asked.budget_tokens) for arm in asked.weights}
    bases = db.execute("SELECT DISTINCT base_model FROM rates WHERE study = ?", [asked.study]).fetchall()
    unit = unit_of({base for (base,) in bases})

    def of_arms(columns: str, source: str, end: str) -> list[tuple[Any, ...]]:
        """Rows of every arm at its budget, the arm second."""
        query = (
            f"SELECT {unit}, arm, {columns} FROM {source} WHERE study = ? AND eval = ? AND arm = ? AND aft_tokens = ? {end}"
        )
        return [r for arm, b in at.items() for r in db.execute(query, [asked.study, asked.eval, arm, b]).fetchall()]

    counts: dict[Any, dict[str, tuple[int, int, int]]] = {}
    rates: dict[Any, dict[str, dict[Denominator, float]]] = {}
    first: dict[Any, int] = {}
    summed = "sum(aligned), sum(decided), sum(asked), avg(rate_decided), avg(rate_asked), min(seed)"
    for cluster, arm, aligned, decided, out_of, of_decided, of_asked, seed in of_arms(summed, "rates", "GROUP BY ALL"):
        first[cluster] = min(seed, first.get(cluster, seed))
        counts.setdefault(cluster, {})[arm] = (int(aligned), int(decided), int(out_of))
        rates.setdefault(cluster, {})[arm] = {"decided": of_decided, "asked": of_asked}
    columns = "item_id, coalesce(cluster_id, item_id), seed, aligned"
    return Answers(unit, list(at), first, counts, rates, lambda: of_arms(columns, "scores", "AND item_id IS NOT NULL"))


def _budget(arm: str, budgets: dict[str, set[int]], wanted: int | None) -> int:
    if arm not in budgets:
        raise UserError(f"no scores of an arm '{arm}'", mend=nearest(arm, budgets))
    has = budgets[arm]
    if len(has) == 1 and (wanted is None or has == {0} or wanted in has):
        return next(iter(has))
    if wanted is None or wanted not in has:
        listed = ", ".join(f"{b:,}" for b in sorted(has))
        what = f"'{arm}' has several budgets" if wanted is None else f"'{arm}' has no budget of {wanted:,} tokens"
        raise UserError(f"{what} ({listed})", mend="say which with --budget TOKENS")
    return wanted
