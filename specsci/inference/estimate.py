"""The estimator follows the design: replicates where an arm has several, else clusters of items, else counts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from specsci.core.errors import UserError
from specsci.core.findings import Flag
from specsci.inference.answer_models import bootstrap, model, paired_answers
from specsci.inference.contrast_spec import ContrastSpec, Method
from specsci.inference.denominator import Denominator
from specsci.inference.design import Design, Table
from specsci.stats.clusters import over_clusters
from specsci.stats.contrast import ContrastResult, transform
from specsci.stats.counts import Count, fisher, is_small, linear, mcnemar, newcombe, two_proportion
from specsci.stats.equivalence import Equivalence, of_interval, tost
from specsci.stats.intervals import NO_SPREAD, wilson
from specsci.stats.replicates import over_replicates

Level = Literal["replicates", "items"]
Limits = Callable[[float], tuple[float, float]]


@dataclass(frozen=True)
class Estimate:
    """A contrast's result, how it was made, and what its interval speaks of.

    Args:
        method: the method taken.
        level: what the interval generalises to: new `replicates` (random), or new `items` with these replicates (fixed).
        limits: the interval at any confidence, where it is not the t or normal one of the standard error.
        design: what was used of the data.
        item_level: whether the replicates agree exactly, so that the items had to speak.
    """

    result: ContrastResult
    method: Method
    level: Level
    design: Design
    limits: Limits | None = None
    item_level: bool = False
    notes: list[Flag] = field(default_factory=list)


def estimate(design: Design, spec: ContrastSpec) -> Estimate:
    """The contrast by the method asked for; `auto` takes what the design allows.

    Raises:
        UserError: a method that the data do not allow, or an arm without an answer to count.
    """
    _check_answers(design, spec.denominator)
    if design.outcome != "binary":
        _check_values(design, spec)
    if spec.paired:
        design = _shared_only(design, spec)
    if spec.method == "auto":
        several = design.table(spec.denominator).each.max() > 1
        return _over_replicates(design, spec) if several else _over_items(design, spec)
    if spec.method == "paired_t":
        return _over_replicates(_shared_only(design, spec), spec)
    if spec.method == "unpaired_t":
        return _over_replicates(design, replace(spec, paired=False))
    if spec.method == "cluster_t":
        return _by_clusters(design, spec)
    if spec.method in ("two_proportion", "exact", "linear"):
        return _of_counts(design, spec, spec.method)
    return _of_answers(design, spec)


def _check_answers(design: Design, denominator: Denominator) -> None:
    for number, arm in enumerate(design.arms):
        if not design.pairs_of(number, "attempted"):
            raise UserError(
                f"'{arm}' has no scores here in a replicate that has all its budgets", hint="run the study further"
            )
        if not design.pairs_of(number, denominator):
            raise UserError(f"'{arm}' has no valid answer", hint="take --denominator attempted, or leave the arm out")


OF_VALUES = ("auto", "paired_t", "unpaired_t", "cluster_t", "bootstrap", "mixed")
"""Methods of means: all that answers allow which are not yes or no."""


def _check_values(design: Design, spec: ContrastSpec) -> None:
    """Answers that are not binary have means, and neither odds nor a share of those attempted."""
    if spec.method not in OF_VALUES or spec.scale != "rate" or spec.denominator != "valid":
        raise UserError(
            f"the answers are {design.outcome} values: contrasts are of their means over valid answers",
            hint=f"take one of the methods {', '.join(OF_VALUES)} on the rate scale, with --denominator valid",
        )


def _shared_only(design: Design, spec: ContrastSpec) -> Design:
    """The replicates that all arms share, of which a paired test needs two."""
    shared = design.only_shared(spec.denominator)
    count = len(shared.table(spec.denominator).units) if shared.counts else 0
    if count < 2:
        raise UserError(
            f"a paired contrast needs at least two replicates, and all arms share {count}",
            hint="take --method auto, or --unpaired where each arm has seeds of its own",
        )
    return shared


def on_scale(table: Table, spec: ContrastSpec) -> np.ndarray:
    """Values of the arms by unit on the contrast's scale, each smoothed by its own denominator."""
    return transform(table.rates, spec.scale, table.items)


def table_of(design: Design, spec: ContrastSpec) -> Table:
    """The units and arms that a contrast over replicates is made of."""
    return design.table(spec.denominator, unpaired=spec.paired is False)


def _over_replicates(design: Design, spec: ContrastSpec) -> Estimate:
    table = table_of(design, spec)
    if table.each.max() < 2:
        raise UserError(f"{spec.method} needs an arm with two replicates", hint="take --method auto")
    found = over_replicates(on_scale(table, spec), design.weights, spec.scale)
    complete = not np.isnan(table.rates).any()
    method: Method = "paired_t" if complete else "unpaired_t"
    if math.isnan(found.ci_low):
        return _certain(design, spec, found, method)
    return Estimate(_one_arm(found, spec, binary=design.outcome == "binary"), method, "replicates", design)


def _one_arm(found: ContrastResult, spec: ContrastSpec, *, binary: bool = True) -> ContrastResult:
    """The rate of a single arm has an interval within 0 and 1, and no test."""
    if len(spec.weights) > 1:
        return found
    ends = (found.ci_low, found.ci_high)
    if spec.scale == "rate" and binary:
        ends = (max(0.0, found.ci_low), min(1.0, found.ci_high))
    return replace(found, statistic=math.nan, p=math.nan, ci_low=ends[0], ci_high=ends[1])


def _certain(design: Design, spec: ContrastSpec, found: ContrastResult, method: Method) -> Estimate:
    """Replicates that agree exactly have no t: the items of one replicate speak, and the estimate stays that of the replicates."""
    items = _over_items(design, spec)
    shift = (
        found.estimate - items.result.estimate
    )  # replicates of unequal size weigh alike in the one, by answers in the other
    result = items.result
    if abs(shift) > NO_SPREAD:
        result = replace(result, estimate=found.estimate, ci_low=result.ci_low + shift, ci_high=result.ci_high + shift)
    said = f"no spread over {found.n} replicates; item level: {result.method}"
    result = replace(result, method=said, n=found.n, per_replicate=found.per_replicate)
    return replace(items, result=result, item_level=True)


def _over_items(design: Design, spec: ContrastSpec) -> Estimate:
    """One replicate, or replicates that agree exactly: clusters of items where single answers are known, else counts."""
    if len(design.rows):
        found = cluster_result(design, spec)
        if design.outcome != "binary":
            return Estimate(_one_arm(found, spec, binary=False), "cluster_t", "items", design)
        if not math.isnan(found.ci_low) and not _saturated_logit(design, spec):
            return Estimate(_one_arm(found, spec), "cluster_t", "items", design)
        if found.n < 2 or _in_one_cluster(design, spec):
            return Estimate(found, "cluster_t", "items", design)
        return _of_counts(design, spec, "auto", clusters=found.n)
    return _of_counts(design, spec, "auto")


def _saturated_logit(design: Design, spec: ContrastSpec) -> bool:
    return spec.scale == "logit" and any(is_saturated(design, n, spec.denominator) for n in range(len(design.arms)))


def is_saturated(design: Design, arm: int, denominator: Denominator) -> bool:
    """Whether all, or none, of an arm's answers are aligned."""
    counts = [design.counts[p][c] for p in design.pairs_of(arm, denominator) for c in design.cells[arm]]
    aligned, out_of = sum(c.aligned for c in counts), sum(c.out_of(denominator) for c in counts)
    return design.outcome == "binary" and aligned in (0, out_of)


def cluster_counts(design: Design, spec: ContrastSpec) -> tuple[np.ndarray, np.ndarray]:
    """Aligned answers and their denominators by cell and cluster of items, each of shape (cells, clusters)."""
    rows = design.rows
    if spec.denominator == "valid":
        rows = rows.kept(~np.isnan(rows.aligned))
    clusters, place = np.unique(rows.cluster, return_inverse=True)
    shape = (len(design.cell_list), len(clusters))
    flat = rows.cell * shape[1] + place
    aligned = np.bincount(flat, weights=np.nan_to_num(rows.aligned), minlength=shape[0] * shape[1]).reshape(shape)
    return aligned, np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape).astype(float)


def cluster_result(design: Design, spec: ContrastSpec) -> ContrastResult:
    """The ratio estimate over clusters of items."""
    aligned, out_of = cluster_counts(design, spec)
    return over_clusters(aligned, out_of, design.weights, design.arm_of_cell, spec.scale)


def _in_one_cluster(design: Design, spec: ContrastSpec) -> bool:
    """Whether some cell's answers are all of one cluster, so that its spread over clusters cannot be known."""
    _, out_of = cluster_counts(design, spec)
    return bool(((out_of > 0).sum(axis=1) < 2).any())


def _by_clusters(design: Design, spec: ContrastSpec) -> Estimate:
    if not len(design.rows):
        raise UserError("cluster_t needs single answers, and the study has counts alone", hint="take --method auto")
    found = cluster_result(design, spec)
    if found.n < 2:
        raise UserError("cluster_t needs at least two clusters of items, and there is one", hint="take --method auto")
    return _over_items(design, spec)


def count_of(design: Design, arm: int, denominator: Denominator, clusters: int | None = None) -> Count:
    """What a method of counts takes of an arm: its answers in all replicates.

    With `clusters`, each cluster of items counts as one answer. Several budgets are averaged.
    """
    cells = [[design.counts[p][c] for p in design.pairs_of(arm, denominator)] for c in design.cells[arm]]
    aligned = [sum(c.aligned for c in counts) for counts in cells]
    out_of = [sum(c.out_of(denominator) for c in counts) for counts in cells]
    if len(cells) == 1 and clusters is None:
        return Count(aligned[0], out_of[0])
    rate = float(np.mean([a / n for a, n in zip(aligned, out_of, strict=True)]))
    whole = clusters if clusters is not None else float(np.mean(out_of))
    return Count(rate * whole, whole)


def one_replicate_count(design: Design, arm: int, denominator: Denominator) -> Count:
    """The counts of one replicate where all agree: the mean rate over the mean denominator."""
    table = design.table(denominator)
    rate, items = np.nanmean(table.rates[:, arm]), np.nanmean(table.items[:, arm])
    return Count(float(rate * items), float(items))


def _of_counts(design: Design, spec: ContrastSpec, method: Method, clusters: int | None = None) -> Estimate:
    """Independent rates: two arms by z or Fisher with Newcombe's interval, more (or another scale) by a linear combination."""
    whole = method != "auto" or design.table(spec.denominator).each.max() < 2
    arms = range(len(design.arms))
    if clusters is None and not whole:
        counts = [one_replicate_count(design, n, spec.denominator) for n in arms]
    else:
        counts = [count_of(design, n, spec.denominator, clusters) for n in arms]
    pair = spec.scale == "rate" and sorted(design.weights) == [-1, 1]
    if len(design.arms) == 1 and spec.scale == "rate":
        return Estimate(_wilson(counts[0]), "linear", "items", design)
    if method == "linear" or (method == "auto" and not pair):
        return Estimate(_one_arm(linear(counts, design.weights, spec.scale), spec), "linear", "items", design)
    if not pair:
        raise UserError(
            f"{method} compares two arms on the rate scale, with weights 1 and -1",
            hint="take --method linear, or --method auto",
        )
    first, second = (counts[int(n)] for n in np.argsort(-design.weights))
    whole_numbers = all(abs(x - round(x)) < 1e-9 for c in counts for x in (c.aligned, c.out_of))
    exact = method == "exact" or (method == "auto" and is_small(first, second) and whole_numbers)
    result = (fisher if exact else two_proportion)(first, second)
    if exact and not whole_numbers:
        raise UserError("exact needs whole counts of one budget", hint="take --method linear, or --method auto")
    return Estimate(result, "exact" if exact else "two_proportion", "items", design, lambda c: newcombe(first, second, c))


def _wilson(count: Count) -> ContrastResult:
    low, high = wilson(count.aligned, count.out_of)
    se = math.sqrt(count.rate * (1 - count.rate) / count.out_of)
    return ContrastResult(count.rate, se, math.nan, math.nan, low, high, 1, "one rate, Wilson interval", ())


def _of_answers(design: Design, spec: ContrastSpec) -> Estimate:
    """Methods of single answers: McNemar, the bootstrap, and models."""
    if spec.method == "mcnemar":
        first, second = paired_answers(design, spec)
        return Estimate(mcnemar(first, second), "mcnemar", "items", design)
    shared = design.only_shared("attempted")
    if not shared.counts:
        raise UserError(
            f"{spec.method} compares arms within replicates, and all arms share none",
            hint="take --method auto, which takes each arm over its own replicates",
        )
    if spec.method == "bootstrap":
        return Estimate(bootstrap(shared, spec), "bootstrap", "replicates", shared)
    level: Level = "items" if (spec.method, spec.scale) == ("mixed", "logit") else "replicates"
    for number, arm in enumerate(shared.arms):
        if spec.method == "gee" and shared.pairs_of(number, "attempted") and is_saturated(shared, number, spec.denominator):
            raise UserError(
                f"gee has no estimate: all or none of the answers of '{arm}' are aligned, and their log odds are infinite",
                hint="take --scale rate with --method auto, or --scale logit with --method auto (half an answer added, flagged)",
            )
    return Estimate(model(shared, spec), spec.method, level, shared)


def equivalence(found: Estimate, margin: float) -> Equivalence | None:
    """Two one-sided tests by the estimate's own law; None where there is no standard error to test with."""
    result = found.result
    if found.limits is not None:
        return of_interval(found.limits, result, margin)
    if found.method == "bootstrap":
        n = result.n
        result = replace(result, se=result.se * math.sqrt(n / (n - 1)), freedom=n - 1)
    return tost(result, margin) if result.se > 0 else None
