"""A contrast of one's own over what the database holds, run or imported: the estimator follows the data's design."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import duckdb
import numpy as np

from specsci.errors import UserError, nearest
from specsci.results.rates import unit_of
from specsci.stats.bootstrap import hierarchical_bootstrap
from specsci.stats.contrast import ContrastResult, Scale, leave_one_out, paired_contrast
from specsci.stats.counts import Count, fisher, is_small, linear, mcnemar, two_proportion

Denominator = Literal["decided", "asked"]
Method = Literal[
    "auto", "paired_t", "cluster_t", "bootstrap", "two_proportion", "exact", "mcnemar", "linear", "mixed", "gee"
]
FEW_CLUSTERS = 6
"""From so many clusters of items on, a single replicate is judged by them."""
OVER_REPLICATES = ("paired_t", "bootstrap", "gee")
"""Methods whose interval is over replicates to come; the others take those that there are as they are."""
DECIDED_APART = 0.05
"""Decided rates that differ by more than this between arms are said."""


@dataclass(frozen=True)
class Asked:
    """A contrast as it is asked for."""

    study: str
    eval: str
    weights: dict[str, float]
    budget_tokens: int | None = None
    scale: Scale = "rate"
    denominator: Denominator = "decided"
    method: Method = "auto"


@dataclass
class Answers:
    """What the database holds for a contrast: counts by cluster and arm, and single answers, read when a method asks for them.

    `counts[cluster][arm]` is (aligned, decided, asked) of one replicate; a cluster is a base model where the study has several,
    else a seed.
    """

    unit: str
    arms: list[str]
    counts: dict[Any, dict[str, tuple[int, int, int]]]
    read: Callable[[], list[tuple[Any, ...]]]

    @cached_property
    def rows(self) -> list[tuple[Any, ...]]:
        """(cluster, arm, item_id, cluster_id, seed, aligned or None) per answer; empty where only counts are known."""
        return self.read()

    def whole(self) -> list[Any]:
        """Clusters that every arm has decided answers in, in one order."""
        return [c for c in sorted(self.counts) if all(self.counts[c].get(a, (0, 0, 0))[1] for a in self.arms)]

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


def contrast(db: duckdb.DuckDBPyConnection, asked: Asked) -> dict[str, Any]:
    """One contrast: `estimate`, `se`, `statistic`, `p`, `ci_low`, `ci_high`, `n`, `method`, `flags`, and what it was made of.

    Raises:
        UserError: an unknown study, eval or arm, a budget that an arm does not have, or a method that the data do not allow.
    """
    answers = _answers(db, asked)
    method = _chosen(answers, asked)
    result = _estimate(answers, asked, method)
    flags = _flags(answers, asked, method, result)
    said = {name: getattr(result, name) for name in ("estimate", "se", "statistic", "p", "ci_low", "ci_high", "n", "method")}
    return {
        **{name: None if isinstance(v, float) and math.isnan(v) else v for name, v in said.items()},
        "flags": flags,
        "study": asked.study,
        "eval": asked.eval,
        "weights": asked.weights,
        "budget_tokens": asked.budget_tokens,
        "scale": asked.scale,
        "denominator": asked.denominator,
        "unit": answers.unit,
        "per_replicate": list(result.per_replicate),
        "counts": {arm: dict(zip(("aligned", "decided", "asked"), answers.total(arm), strict=True)) for arm in answers.arms},
    }


def _answers(db: duckdb.DuckDBPyConnection, asked: Asked) -> Answers:
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
    for cluster, arm, aligned, decided, out_of in of_arms("sum(aligned), sum(decided), sum(asked)", "rates", "GROUP BY ALL"):
        counts.setdefault(cluster, {})[arm] = (int(aligned), int(decided), int(out_of))
    columns = "item_id, coalesce(cluster_id, item_id), seed, aligned"
    return Answers(unit, list(at), counts, lambda: of_arms(columns, "scores", "AND item_id IS NOT NULL"))


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


def _estimate(answers: Answers, asked: Asked, method: Method) -> ContrastResult:
    weights = np.array([asked.weights[a] for a in answers.arms])
    if method in ("two_proportion", "exact", "mcnemar"):
        return _of_two(answers, asked, method)
    if method == "linear":
        return linear([_count(answers, a, asked.denominator) for a in answers.arms], weights, asked.scale)
    if method in ("mixed", "gee"):
        return _model(answers, asked, method, weights)
    if method == "bootstrap":
        return _bootstrap(answers, asked, weights)
    by_items = method == "cluster_t"
    table, unit = (
        (_by_item_cluster if by_items else _by_replicate)(answers, asked),
        "item clusters" if by_items else "replicates",
    )
    if len(table) < 2:
        raise UserError(f"{method} needs at least two {unit}, and all arms share {len(table)}", mend="take --method auto")
    found = paired_contrast(table, weights, _items(answers), asked.scale)
    return replace(found, method=found.method.replace("replicates", unit))


def _chosen(answers: Answers, asked: Asked) -> Method:
    """The method asked for; `auto` takes replicates where there are at least two, else clusters of items, else counts."""
    if asked.method != "auto":
        return asked.method
    if len(answers.whole()) >= 2:
        return "paired_t"
    if len(_by_item_cluster(answers, asked)) >= FEW_CLUSTERS:
        return "cluster_t"
    if asked.scale == "rate" and sorted(asked.weights.values()) == [-1, 1]:
        counts = [_count(answers, a, asked.denominator) for a in answers.arms]
        return "exact" if is_small(*counts) else "two_proportion"
    return "linear"


def _by_replicate(answers: Answers, asked: Asked) -> np.ndarray:
    """Rates by replicate that every arm has; shape (replicates, arms)."""
    rates = [[_rate(answers.counts[c][a], asked.denominator) for a in answers.arms] for c in answers.whole()]
    return np.array(rates).reshape(-1, len(answers.arms))


def _by_item_cluster(answers: Answers, asked: Asked) -> np.ndarray:
    """Rates by cluster of items that every arm answered; shape (clusters, arms)."""
    found: dict[Any, dict[str, list[int]]] = {}
    for _, arm, _, cluster, _, aligned in answers.rows:
        if aligned is None and asked.denominator == "decided":
            continue
        found.setdefault(cluster, {}).setdefault(arm, []).append(int(bool(aligned)))
    rows = [
        [float(np.mean(by_arm[a])) for a in answers.arms] for by_arm in found.values() if len(by_arm) == len(answers.arms)
    ]
    return np.array(rows).reshape(-1, len(answers.arms))


def _of_two(answers: Answers, asked: Asked, method: str) -> ContrastResult:
    if sorted(asked.weights.values()) != [-1, 1] or asked.scale != "rate":
        raise UserError(f"{method} compares two arms on the rate scale", mend='--weights "a=1,b=-1", or --method linear')
    order = sorted(answers.arms, key=lambda a: -asked.weights[a])
    if method == "mcnemar":
        answered = _paired_items(answers, order)
        return mcnemar(answered[0], answered[1])
    first, second = (_count(answers, a, asked.denominator) for a in order)
    return fisher(first, second) if method == "exact" else two_proportion(first, second)


def _paired_items(answers: Answers, arms: list[str]) -> list[np.ndarray]:
    """Single decided answers of two arms to the same questions, in one order."""
    by_arm: dict[str, dict[Any, Any]] = {a: {} for a in arms}
    twice = False
    for cluster, arm, item, _, seed, aligned in answers.rows:
        key = (cluster, seed, item)
        twice = twice or key in by_arm[arm]
        by_arm[arm][key] = aligned
    if twice or not answers.rows:
        why = "items were asked more than once" if twice else "the study has counts alone"
        raise UserError(f"mcnemar needs one answer to each item, and {why}", mend="take --method auto")
    shared = sorted(k for k in by_arm[arms[0]] if by_arm[arms[0]][k] is not None and by_arm[arms[1]].get(k) is not None)
    return [np.array([by_arm[a][k] for k in shared], float) for a in arms]


def _count(answers: Answers, arm: str, denominator: Denominator) -> Count:
    aligned, decided, asked = answers.total(arm)
    out_of = decided if denominator == "decided" else asked
    if not out_of:
        raise UserError(f"'{arm}' has no decided answer", mend="take --denominator asked, or leave the arm out")
    return Count(aligned, out_of)


def _rate(counts: tuple[int, int, int], denominator: Denominator) -> float:
    aligned, decided, asked = counts
    return aligned / (decided if denominator == "decided" else asked)


def _items(answers: Answers) -> int:
    """Answers that a rate of one replicate is over: what the logit's half an answer is set against."""
    decided = [counts[1] for by_arm in answers.counts.values() for counts in by_arm.values()]
    return max(1, round(float(np.mean(decided))))


def _bootstrap(answers: Answers, asked: Asked, weights: np.ndarray) -> ContrastResult:
    """Replicate, cluster and item resampled; an item's value is the contrast of the arms' answers to it."""
    if asked.scale != "rate" or not answers.rows:
        raise UserError("bootstrap needs single answers and the rate scale", mend="take --method auto")
    cells: dict[Any, dict[Any, dict[Any, dict[str, list[int]]]]] = {}
    for replicate, arm, item, cluster, _, aligned in answers.rows:
        if aligned is not None or asked.denominator == "asked":
            place = cells.setdefault(replicate, {}).setdefault(cluster, {}).setdefault(item, {})
            place.setdefault(arm, []).append(int(bool(aligned)))
    values = []
    for by_cluster in cells.values():
        rows = [
            np.array(
                [
                    sum(w * np.mean(i[a]) for a, w in zip(answers.arms, weights, strict=True))
                    for i in items.values()
                    if len(i) == len(weights)
                ]
            )
            for items in by_cluster.values()
        ]
        values.append([row for row in rows if len(row)])
    values = [v for v in values if v]
    if len(values) < 2:
        raise UserError("bootstrap needs at least two replicates that all arms share", mend="take --method auto")
    found = hierarchical_bootstrap(values)
    nan = math.nan
    method = f"hierarchical bootstrap ({answers.unit} > cluster > item), {found.draws:,} draws, expanded percentiles"
    return ContrastResult(found.estimate, found.se, nan, nan, found.low, found.high, len(values), method, ())


def _model(answers: Answers, asked: Asked, method: str, weights: np.ndarray) -> ContrastResult:
    if asked.scale != "logit" or not answers.rows:
        raise UserError(f"{method} needs single answers, and works on log odds", mend="--scale logit, or --method auto")
    from specsci.stats.mixed import gee_logistic, mixed_logistic

    kept = [r for r in answers.rows if r[5] is not None or asked.denominator == "asked"]
    aligned = np.array([bool(r[5]) for r in kept])
    arm = np.array([answers.arms.index(r[1]) for r in kept])
    replicate, item = np.array([str(r[0]) for r in kept]), np.array([str(r[2]) for r in kept])
    if method == "mixed":
        return mixed_logistic(aligned, arm, replicate, item, weights)
    if len(set(replicate)) < 2:
        raise UserError("gee needs at least two replicates", mend="take --method auto")
    return gee_logistic(aligned, arm, replicate, weights)


def _flags(answers: Answers, asked: Asked, method: Method, result: ContrastResult) -> list[str]:
    flags, whole = [], len(answers.whole())
    if whole < len(answers.counts):
        flags.append(f"incomplete: {whole} of {len(answers.counts)} replicates have all arms")
    weights = np.array([asked.weights[a] for a in answers.arms])
    if method == "paired_t" and leave_one_out(_by_replicate(answers, asked), weights, _items(answers), asked.scale):
        flags.append("fragile: one replicate decides the verdict")
    if whole >= 2 and method not in OVER_REPLICATES:
        what = "bases" if answers.unit == "base_model" else "seeds"
        flags.append(f"replicates taken as they are: the interval says nothing about other {what}")
    if math.isnan(result.p) and math.isnan(result.ci_low):
        flags.append("no spread between replicates: no test")
    return flags + _denominator_flags(answers, asked, result)


def _denominator_flags(answers: Answers, asked: Asked, result: ContrastResult) -> list[str]:
    """What undecided answers could do to the result."""
    totals = {a: answers.total(a) for a in answers.arms}
    if all(asked_n == decided for _, decided, asked_n in totals.values()):
        return []
    shares = [decided / asked_n for _, decided, asked_n in totals.values()]
    flags = []
    if max(shares) - min(shares) > DECIDED_APART:
        said = ", ".join(f"{a} {s:.3f}" for a, s in zip(totals, shares, strict=True))
        flags.append(f"decided rates differ between arms ({said})")
    other: Denominator = "asked" if asked.denominator == "decided" else "decided"
    try:
        turned_to = replace(asked, denominator=other)
        turned = _estimate(answers, turned_to, _chosen(answers, turned_to))
    except UserError:
        return flags
    if turned.estimate * result.estimate < 0:
        flags.append(f"the sign flips with the denominator ({other}: {turned.estimate:+.3f})")
    elif _verdict(turned) != _verdict(result):
        flags.append(f"the verdict flips with the denominator ({other}: [{turned.ci_low:+.3f}, {turned.ci_high:+.3f}])")
    low, high = _worst_case(totals, asked)
    if low < 0 < high:
        flags.append(f"undecided answers could turn the sign (worst cases {low:+.3f} to {high:+.3f} on the rate scale)")
    return flags


def _verdict(result: ContrastResult) -> int:
    return 0 if math.isnan(result.ci_low) or result.ci_low <= 0 <= result.ci_high else int(math.copysign(1, result.estimate))


def _worst_case(totals: dict[str, tuple[int, int, int]], asked: Asked) -> tuple[float, float]:
    """The least and the most that the contrast of rates could be, were every undecided answer against or for it."""
    ends = [0.0, 0.0]
    for arm, (aligned, decided, asked_n) in totals.items():
        weight, rates = asked.weights[arm], (aligned / asked_n, (aligned + asked_n - decided) / asked_n)
        for end, pick in ((0, min), (1, max)):
            ends[end] += pick(weight * r for r in rates)
    return ends[0], ends[1]
