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
from specsci.results.rates import Pair, items_of, unit_of
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
    """What the database holds for a contrast of arms at their budgets: counts by replicate, and single answers when asked for.

    `counts[replicate][arm]` is (aligned, decided, asked); a replicate is a (base model, seed). `items` is how many items a rate of
    one replicate is over. `withdrawn` says what of it was retired.
    """

    unit: str
    budgets: dict[str, int]
    counts: dict[Pair, dict[str, tuple[int, int, int]]]
    items: int
    withdrawn: list[str]
    read: Callable[[], list[tuple[Any, ...]]]

    @property
    def arms(self) -> list[str]:
        return list(self.budgets)

    def cluster_of(self, pair: Pair) -> Any:
        """What a replicate counts under: its base model where the study has several, else its seed."""
        return pair[0] if self.unit == "base_model" else pair[1]

    def whole(self, denominator: Denominator) -> list[Pair]:
        """Replicates in which every arm has a rate, in the order of their seeds."""
        place = 1 if denominator == "decided" else 2
        order = sorted(self.counts, key=lambda p: (p[1], p[0]))
        return [p for p in order if all(self.counts[p].get(a, (0, 0, 0))[place] for a in self.arms)]

    def clusters(self, denominator: Denominator) -> list[Any]:
        """The clusters of the whole replicates, in the order of their seeds."""
        return list(dict.fromkeys(self.cluster_of(p) for p in self.whole(denominator)))

    @cached_property
    def rows(self) -> list[tuple[Any, ...]]:
        """(cluster, arm, item_id, cluster_id, seed, aligned or None) per answer, of replicates that every arm was asked in."""
        kept = set(self.whole("asked"))
        return [
            (self.cluster_of((base, seed)), arm, item, cluster, seed, aligned)
            for base, arm, item, cluster, seed, aligned in self.read()
            if (base, seed) in kept
        ]

    def total(self, arm: str) -> tuple[int, int, int]:
        """Counts of an arm over the replicates that every arm was asked in; over all where they share none."""
        shared = self.whole("asked") or [p for p in self.counts if arm in self.counts[p]]
        found = [self.counts[p][arm] for p in shared]
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
        """Rows of every arm at its budget: base model, arm, and the columns."""
        query = f"SELECT base_model, arm, {columns} FROM {source} WHERE study = ? AND eval = ? AND arm = ? AND aft_tokens = ? {end}"
        return [r for arm, b in at.items() for r in db.execute(query, [asked.study, asked.eval, arm, b]).fetchall()]

    counts: dict[Pair, dict[str, tuple[int, int, int]]] = {}
    for base, arm, seed, *three in of_arms("seed, sum(aligned), sum(decided), sum(asked)", "rates", "GROUP BY ALL"):
        aligned, decided, out_of = (int(n) for n in three)
        counts.setdefault((base, seed), {})[arm] = (aligned, decided, out_of)
    decided_each = [c[1] for by_arm in counts.values() for c in by_arm.values()]
    items = items_of(db, asked.study).get(asked.eval, max(1, round(sum(decided_each) / len(decided_each))))
    withdrawn = sorted({r for *_, r in of_arms("reason", "voided", "")})
    columns = "item_id, coalesce(cluster_id, item_id), seed, aligned"
    return Answers(unit, at, counts, items, withdrawn, lambda: of_arms(columns, "scores", "AND item_id IS NOT NULL"))


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
