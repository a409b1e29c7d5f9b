"""A contrast of one's own over what the database holds, run or imported: the estimator follows the data's design."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

import duckdb
import numpy as np

from specsci.errors import UserError
from specsci.findings import Flag
from specsci.results.asked import Answers, Asked, Method, read_answers
from specsci.results.denominator import Denominator, all_decided, denominator_flags, other
from specsci.results.items import item_flags, item_table
from specsci.results.rates import by_cluster
from specsci.stats.bootstrap import hierarchical_bootstrap
from specsci.stats.contrast import ContrastResult, leave_one_out, paired_contrast
from specsci.stats.counts import Count, fisher, is_small, linear, mcnemar, newcombe, two_proportion
from specsci.stats.equivalence import Equivalence, of_interval, tost
from specsci.stats.sequential import boundaries

FEW_CLUSTERS = 6
"""From so many clusters of items on, a single replicate is judged by them."""
OVER_REPLICATES = ("paired_t", "bootstrap", "gee")
"""Methods whose interval is over replicates to come; the others take those that there are as they are."""


def contrast(db: duckdb.DuckDBPyConnection, asked: Asked) -> dict[str, Any]:
    """One contrast: `estimate`, `se`, `statistic`, `p`, `ci_low`, `ci_high`, `n`, `method`, `flags`, and what it was made of.

    Raises:
        UserError: an unknown study, eval or arm, a budget that an arm does not have, or a method that the data do not allow.
    """
    if asked.margin is not None and not 0 < asked.margin < math.inf:
        raise UserError(f"{asked.margin} is no equivalence margin", mend="a number above 0, such as --margin 0.05")
    answers = read_answers(db, asked)
    method = _chosen(answers, asked)
    result = _estimate(answers, asked, method)
    flags = _flags(answers, asked, method, result)
    if method == "paired_t" and asked.denominator == "decided":
        cells = {(arm, budget): asked.weights[arm] for arm, budget in answers.budgets.items()}
        flags += item_flags(item_table(db, asked.study, asked.eval, cells), answers.unit, asked.scale)
    more: dict[str, Any] = {}
    if asked.margin is not None:
        equal = _equivalence(answers, asked, method, result)
        more["equivalence"] = asdict(equal) if equal else None
        no_test = Flag("no_spread_equivalence", "warning", "no spread between replicates: no test of equivalence")
        flags.append(Flag(equal.code, "note", str(equal)) if equal else no_test)
    if asked.looks:
        more["looks"] = _looks(answers, asked)
    said = {name: getattr(result, name) for name in ("estimate", "se", "statistic", "p", "ci_low", "ci_high", "n", "method")}
    return {
        **{name: None if isinstance(v, float) and math.isnan(v) else v for name, v in said.items()},
        "flags": [f.as_dict() for f in flags],
        "study": asked.study,
        "eval": asked.eval,
        "weights": asked.weights,
        "budget_tokens": asked.budget_tokens,
        "scale": asked.scale,
        "denominator": asked.denominator,
        "unit": answers.unit,
        "per_replicate": list(result.per_replicate),
        "counts": {arm: dict(zip(("aligned", "decided", "asked"), answers.total(arm), strict=True)) for arm in answers.arms},
        **more,
    }


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
    found = paired_contrast(table, weights, _answers_each(answers) if by_items else answers.items, asked.scale)
    return replace(found, method=found.method.replace("replicates", unit))


def _equivalence(answers: Answers, asked: Asked, method: Method, result: ContrastResult) -> Equivalence | None:
    """Two one-sided tests, by the contrast's own law; two independent rates by Newcombe's interval. None without spread."""
    margin = asked.margin or 0.0
    if method in ("two_proportion", "exact"):
        first, second = (
            _count(answers, a, asked.denominator) for a in sorted(answers.arms, key=lambda a: -asked.weights[a])
        )
        return of_interval(lambda c: newcombe(first, second, c), result, margin)
    if method == "bootstrap":
        n = result.n
        result = replace(result, se=result.se * math.sqrt(n / (n - 1)), freedom=n - 1)
    return tost(result, margin) if result.se > 0 else None


def _looks(answers: Answers, asked: Asked) -> list[dict[str, Any]]:
    """What a test after so many replicates said, in the order of their seeds; it stops at the first crossing."""
    try:
        levels = boundaries(list(asked.looks), asked.spending)
    except ValueError as error:
        raise UserError(str(error), mend="--looks 4,6,8") from error
    table, weights = _by_replicate(answers, asked), np.array([asked.weights[a] for a in answers.arms])
    if len(table) < asked.looks[0]:
        raise UserError(f"the first look is at {asked.looks[0]} replicates, and there are {len(table)}", mend="look earlier")
    found: list[dict[str, Any]] = []
    for look, level in zip(asked.looks, levels, strict=True):
        if look > len(table) or (found and found[-1]["stop"]):
            break
        at = paired_contrast(table[:look], weights, answers.items, asked.scale)
        said = {"replicates": look, "estimate": at.estimate, "p": None if math.isnan(at.p) else at.p, "level": level}
        found.append({**said, "stop": bool(at.p < level)})
    return found


def _chosen(answers: Answers, asked: Asked) -> Method:
    """The method asked for; `auto` takes replicates where there are at least two, else clusters of items, else counts."""
    if asked.method != "auto":
        return asked.method
    if len(answers.clusters(asked.denominator)) >= 2:
        return "paired_t"
    if len(_by_item_cluster(answers, asked)) >= FEW_CLUSTERS:
        return "cluster_t"
    if asked.scale == "rate" and sorted(asked.weights.values()) == [-1, 1]:
        counts = [_count(answers, a, asked.denominator) for a in answers.arms]
        return "exact" if is_small(*counts) else "two_proportion"
    return "linear"


def _by_replicate(answers: Answers, asked: Asked) -> np.ndarray:
    """Rates by cluster of replicates that every arm has, shape (clusters, arms)."""
    pairs, place = answers.whole(asked.denominator), 1 if asked.denominator == "decided" else 2
    rates = [[answers.counts[p][a][0] / answers.counts[p][a][place] for a in answers.arms] for p in pairs]
    return by_cluster(np.array(rates).reshape(-1, len(answers.arms)), [answers.cluster_of(p) for p in pairs])


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


def _answers_each(answers: Answers) -> int:
    """Answers that one arm has in a cluster of items, on average: what a rate of one cluster is over."""
    clusters = {(row[1], row[3]) for row in answers.rows}
    return max(1, round(len(answers.rows) / len(clusters)))


def _of_two(answers: Answers, asked: Asked, method: str) -> ContrastResult:
    if sorted(asked.weights.values()) != [-1, 1] or asked.scale != "rate":
        raise UserError(f"{method} compares two arms on the rate scale", mend='--weights "a=1,b=-1", or --method linear')
    order = sorted(answers.arms, key=lambda a: -asked.weights[a])
    if method == "mcnemar":
        answered = _paired_items(answers, order, asked.denominator)
        return mcnemar(answered[0], answered[1])
    first, second = (_count(answers, a, asked.denominator) for a in order)
    return fisher(first, second) if method == "exact" else two_proportion(first, second)


def _paired_items(answers: Answers, arms: list[str], denominator: Denominator) -> list[np.ndarray]:
    """Single answers of two arms to the same questions, in one order; with `asked` an undecided one is not aligned.

    Raises:
        UserError: counts alone, an item asked more than once, or no question that both decided.
    """
    by_arm: dict[str, dict[Any, Any]] = {a: {} for a in arms}
    twice = False
    for cluster, arm, item, _, seed, aligned in answers.rows:
        key = (cluster, seed, item)
        twice = twice or key in by_arm[arm]
        by_arm[arm][key] = aligned
    if twice or not answers.rows:
        why = "items were asked more than once" if twice else "the study has counts alone"
        raise UserError(f"mcnemar needs one answer to each item, and {why}", mend="take --method auto")
    both = sorted(by_arm[arms[0]].keys() & by_arm[arms[1]].keys())
    if denominator == "decided":
        both = [k for k in both if by_arm[arms[0]][k] is not None and by_arm[arms[1]][k] is not None]
    if not both:
        raise UserError("the arms share no decided answer", mend="take --denominator asked, or --method auto")
    return [np.array([bool(by_arm[a][k]) for k in both], float) for a in arms]


def _count(answers: Answers, arm: str, denominator: Denominator) -> Count:
    aligned, decided, asked = answers.total(arm)
    out_of = decided if denominator == "decided" else asked
    if not out_of:
        raise UserError(f"'{arm}' has no decided answer", mend="take --denominator asked, or leave the arm out")
    return Count(aligned, out_of)


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
    for clusters in cells.values():
        rows = [
            np.array(
                [
                    sum(w * np.mean(i[a]) for a, w in zip(answers.arms, weights, strict=True))
                    for i in items.values()
                    if len(i) == len(weights)
                ]
            )
            for items in clusters.values()
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
    linear_scale = method == "mixed" and asked.scale == "rate"
    if not answers.rows or (asked.scale != "logit" and not linear_scale):
        what = "the rate or the logit scale" if method == "mixed" else "the logit scale"
        raise UserError(f"{method} needs single answers and {what}", mend="--scale logit, or --method auto")
    from specsci.stats.mixed import gee_logistic, mixed_linear, mixed_logistic

    kept = [r for r in answers.rows if r[5] is not None or asked.denominator == "asked"]
    if len({r[1] for r in kept}) < len(answers.arms):
        raise UserError("an arm has no decided answer", mend="take --denominator asked, or leave the arm out")
    aligned = np.array([bool(r[5]) for r in kept])
    arm = np.array([answers.arms.index(r[1]) for r in kept])
    replicate, item = np.array([str(r[0]) for r in kept]), np.array([str(r[2]) for r in kept])
    if len(set(replicate)) < 2 and (linear_scale or method == "gee"):
        raise UserError(f"{method} needs at least two replicates", mend="take --method auto")
    try:
        if linear_scale:
            return mixed_linear(aligned, arm, replicate, weights)
        if method == "mixed":
            return mixed_logistic(aligned, arm, replicate, item, weights)
        return gee_logistic(aligned, arm, replicate, weights)
    except ValueError as error:
        raise UserError(str(error), mend="take --method auto") from error


def _flags(answers: Answers, asked: Asked, method: Method, result: ContrastResult) -> list[Flag]:
    flags = [Flag("withdrawn", "invalid", f"withdrawn: {reason}") for reason in answers.withdrawn]
    pairs, whole = len(answers.whole(asked.denominator)), len(answers.clusters(asked.denominator))
    if pairs < len(answers.counts):
        flags.append(Flag("incomplete", "invalid", f"incomplete: {pairs} of {len(answers.counts)} replicates have all arms"))
    weights = np.array([asked.weights[a] for a in answers.arms])
    if method == "paired_t" and leave_one_out(_by_replicate(answers, asked), weights, answers.items, asked.scale):
        flags.append(Flag("replicate_decides", "warning", "fragile: one replicate decides the verdict"))
    if whole >= 2 and method not in OVER_REPLICATES and (method, asked.scale) != ("mixed", "rate"):
        what = "bases" if answers.unit == "base_model" else "seeds"
        said = f"replicates taken as they are: the interval says nothing about other {what}"
        flags.append(Flag("replicates_as_they_are", "warning", said))
    if math.isnan(result.p) and math.isnan(result.ci_low):
        flags.append(Flag("no_spread", "warning", "no spread between replicates: no test"))
    totals = {a: answers.total(a) for a in answers.arms}
    if all_decided(totals):
        return flags
    turned_to = replace(asked, denominator=other(asked.denominator))
    try:
        turned = _estimate(answers, turned_to, _chosen(answers, turned_to))
    except UserError:
        turned = None
    return flags + denominator_flags(totals, asked.weights, asked.denominator, result, turned)
