"""What speaks against a contrast's interval: few, equal, skewed or missing replicates, clusters, saturated arms, fixed items."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import numpy as np

from specsci.core.errors import UserError
from specsci.core.findings import Flag, Severity
from specsci.inference.contrast_spec import ContrastSpec
from specsci.inference.denominator import all_valid, denominator_flags, other, shares_differ
from specsci.inference.design import Design, Table
from specsci.inference.estimate import Estimate, cluster_counts, estimate, is_saturated, on_scale, table_of
from specsci.stats.intervals import NO_SPREAD
from specsci.stats.replicates import over_replicates, replicate_decides

FEW_REPLICATES = 4
"""Up to so many, a t interval rests on effects that are near normal: a rare jump of one seed is mostly not seen."""
FEW_FREEDOM = 5.0
"""Below so many degrees of freedom, an interval over clusters of items is carried by few of them."""
NORMAL_ENOUGH = 10
"""Below so many, a skew that the interval would need to allow for is mostly not to be seen in the replicates themselves."""
SKEWED = 0.05
"""Below this p of Shapiro and Wilk's test, the replicates' effects are said not to look normal."""
NEAR = 0.05
"""Rates this near to 0 or 1 have skewed spreads."""
THIN = 5.0
"""Below so many answers on either side, an arm's normal approximation is thin (Cochran 1954)."""
LIKELY = 0.05
"""Equal counts that chance alone gives in this share of tables are a note, no warning."""
ITEMS_MATTER = 1.1
"""An interval over items to come that is wider by this factor is worth saying."""


def doubts(design: Design, spec: ContrastSpec, found: Estimate) -> list[Flag]:
    """Flags of an estimate, from the whole design and from what the estimate used of it."""
    return [
        *_withdrawn(design),
        *_missing(design, spec, found),
        *_single(design, spec, found),
        *_few(design, spec, found),
        *_decides(design, spec, found),
        *_equal(design, spec, found),
        *_fixed_replicates(found),
        *_of_clusters(spec, found),
        *_saturated(design, spec, found),
        *_shape(spec, found),
        *_items(spec, found),
        *_readouts(design),
    ]


def turned(design: Design, spec: ContrastSpec, found: Estimate) -> list[Flag]:
    """What answers that are not valid could do: the same contrast with the other denominator."""
    totals = found.design.totals()
    if all_valid(totals):
        return []
    if design.outcome != "binary":
        return shares_differ(totals)
    try:
        again = estimate(design, replace(spec, denominator=other(spec.denominator))).result
    except UserError:
        again = None
    return denominator_flags(totals, spec.weights, spec.denominator, found.result, again)


def _readouts(design: Design) -> Iterator[Flag]:
    """Which readout was taken, where there are others that may say otherwise."""
    if len(design.readouts) > 1:
        taken, *others = design.readouts
        yield Flag("one_readout", "note", f"readout '{taken}'; not taken: {', '.join(others)}")


def _withdrawn(design: Design) -> Iterator[Flag]:
    for reason in design.withdrawn:
        yield Flag("withdrawn", "invalid", f"withdrawn: {reason}")


def seeds_or_bases(design: Design) -> str:
    """What the replicates of a design are, as a word for messages."""
    return "bases" if design.unit == "base_model" else "seeds"


def _missing(design: Design, spec: ContrastSpec, found: Estimate) -> Iterator[Flag]:
    """Replicates that are not there, that an arm has alone, or in which no answer is valid."""
    shared, every = design.shared(spec.denominator), list(design.counts)
    if design.expected is not None and len(shared) < design.expected:
        yield Flag("incomplete", "invalid", f"incomplete: {len(shared)} of {design.expected} replicates")
    for number, arm in enumerate(design.arms):
        there, valid = len(design.pairs_of(number, "attempted")), len(design.pairs_of(number, spec.denominator))
        if valid < there:
            said = f"'{arm}' has no valid answer in {there - valid} of {there} replicates, which are left out"
            yield Flag("nothing_valid", "warning", said)
    if len(shared) == len(every):
        return
    what = f"{len(shared)} of {len(every)} replicates are shared by all arms"
    used = found.design.used(spec.denominator, unpaired=spec.paired is False or spec.method == "unpaired_t")
    own = [design.pairs_of(n, spec.denominator) for n in range(len(design.arms))]
    if any(len(u) < len(o) for u, o in zip(used, own, strict=True)) or found.method == "mcnemar":
        yield Flag("unshared_left_out", "warning", f"{what}: others are left out")
    else:
        yield Flag("unshared", "note", f"{what}: every arm is taken over all of its own")


def _single(design: Design, spec: ContrastSpec, found: Estimate) -> Iterator[Flag]:
    """One replicate, or one base model, speaks of no other."""
    each = found.design.table(spec.denominator).each
    if each.max() < 2:
        yield Flag("one_replicate", "warning", "one replicate: this says nothing about other seeds or base models")
        return
    lonely = [arm for arm, n in zip(found.design.arms, each, strict=True) if n < 2]
    if lonely and found.level == "replicates" and not found.item_level:
        names = ", ".join(f"'{a}'" for a in lonely)
        said = f"one replicate of {names}: its spread over {seeds_or_bases(design)} is taken from the other arms"
        yield Flag("one_replicate", "warning", said)
    bases = set().union(*found.design.bases)
    if found.design.unit == "seed" and len(bases) > 1:
        yield Flag("bases_differ", "warning", "arms are of different base models: the difference is one of bases as well")
    elif found.design.unit == "seed":
        yield Flag("one_base", "note", "seeds of one base model: this says nothing about other base models")


def _few(design: Design, spec: ContrastSpec, found: Estimate) -> Iterator[Flag]:
    if found.level != "replicates" or found.item_level:
        return
    each = found.design.table(spec.denominator).each
    n = int(each.min())
    if each.max() > 1 and n <= FEW_REPLICATES:
        said = f"few replicates ({n}): the interval assumes near-normal effects, and a rare jump of one of them is not seen"
        yield Flag("few_replicates", "warning", said)
    elif n < NORMAL_ENOUGH:
        yield Flag("near_normal", "note", f"{n} replicates: the interval assumes near-normal effects")


def _decides(design: Design, spec: ContrastSpec, found: Estimate) -> Iterator[Flag]:
    if found.method not in ("paired_t", "unpaired_t") or found.item_level or len(design.arms) < 2:
        return
    values = on_scale(table_of(found.design, _as_used(spec, found)), spec)
    if replicate_decides(values, found.design.weights):
        yield Flag("replicate_decides", "warning", "sensitive: one replicate decides the verdict")


def _as_used(spec: ContrastSpec, found: Estimate) -> ContrastSpec:
    return replace(spec, paired=False) if spec.method == "unpaired_t" else spec


def _equal(design: Design, spec: ContrastSpec, found: Estimate) -> Iterator[Flag]:
    """Units that agree in every answer of every arm: one replicate that came in twice, perhaps."""
    table = found.design.table(spec.denominator)
    if table.each.max() < 2:
        return
    marks = _marks(found.design, spec)
    units = [u for u in table.units if u in marks]
    pairs = [(a, b) for a, b in combinations(units, 2) if marks[a] == marks[b]]
    if not pairs:
        return
    same = {b for _, b in pairs}
    kept = [n for n, unit in enumerate(table.units) if unit not in same]
    shown = ", ".join(f"{_label(a)} and {_label(b)}" for a, b in pairs[:3]) + (", ..." if len(pairs) > 3 else "")
    said = f"equal answers of {seeds_or_bases(design)[:-1]} {shown} in every arm: one replicate may stand here twice"
    by_chance = 0.0 if len(found.design.rows) or design.outcome != "binary" else _by_chance(table)
    if by_chance >= LIKELY:
        said += f", or it is chance ({min(1.0, by_chance):.0%} of such tables)"
    severity: Severity = "note" if by_chance >= LIKELY else "warning"
    yield Flag("equal_replicates", severity, said + _without(on_scale(table, spec)[kept], found, len(kept)))


def _by_chance(table: Table) -> float:
    """How many pairs of units would agree in their counts by chance alone, were their true rates equal."""
    with np.errstate(divide="ignore"):
        rates = np.nanmean(table.rates, axis=0)
        same = np.minimum(1.0, 1 / (2 * np.sqrt(math.pi * np.nanmean(table.items, axis=0) * rates * (1 - rates))))
    there = ~np.isnan(table.rates)
    pairs = ((a, b) for a, b in combinations(range(len(there)), 2) if (there[a] == there[b]).all())
    return float(sum(np.prod(same[there[a]]) for a, _ in pairs))


def _without(values: np.ndarray, found: Estimate, left: int) -> str:
    """What the test is over the distinct replicates."""
    each = (~np.isnan(values)).sum(axis=0)
    if found.method not in ("paired_t", "unpaired_t") or values.shape[1] < 2 or each.min() < 1 or each.max() < 2:
        return ""
    p = over_replicates(values, found.design.weights).p
    return "" if math.isnan(p) else f" (p over the {left} distinct ones {p:.2g})"


def _label(unit: object) -> str:
    return "/".join(str(part) for part in unit) if isinstance(unit, tuple) else str(unit)


def _marks(design: Design, spec: ContrastSpec) -> dict[object, object]:
    """What tells each unit from another: its answers where they are known, else its counts; none where all arms are saturated."""
    cells, rows = design.cell_list, design.rows
    sums = np.zeros((len(rows.pairs), len(cells)), np.uint64)  # of hashes, so that the order of answers does not matter
    np.add.at(sums, (rows.replicate, rows.cell), rows.mark)
    place = {pair: n for n, pair in enumerate(rows.pairs)}
    found: dict[object, list[object]] = {}
    telling: set[object] = set()
    for pair, by_cell in design.counts.items():
        unit = design.unit_of(pair)
        for number, cell in enumerate(cells):
            if cell not in by_cell:
                continue
            counts = by_cell[cell]
            mark = int(sums[place[pair], number]) if pair in place else 0
            found.setdefault(unit, []).append((pair[1] if design.unit == "base_model" else None, cell, counts, mark))
            if design.outcome != "binary" or 0 < counts.aligned < counts.out_of(spec.denominator):
                telling.add(unit)
    return {unit: tuple(sorted(marks, key=str)) for unit, marks in found.items() if unit in telling}


def _fixed_replicates(found: Estimate) -> Iterator[Flag]:
    what = seeds_or_bases(found.design)
    if found.item_level:
        said = (
            f"item level: all replicates agree exactly, and the interval is over items; it says nothing about other {what}"
        )
        yield Flag("item_level", "warning", said)
    elif found.level == "items" and found.design.table("attempted").each.max() > 1:
        said = f"replicates are fixed: the interval says nothing about other {what}"
        yield Flag("replicates_as_they_are", "warning", said)
    if math.isnan(found.result.ci_low) and not found.item_level and found.level == "replicates":
        yield Flag("no_spread", "warning", "no spread between replicates: no test")


def _of_clusters(spec: ContrastSpec, found: Estimate) -> Iterator[Flag]:
    if found.level != "items" or not len(found.design.rows):
        return
    _, out_of = cluster_counts(found.design, spec)
    clusters = out_of.shape[1]
    if found.method != "cluster_t":
        items = len(np.unique(found.design.rows.item))
        if clusters < items and spec.method not in ("auto", "cluster_t"):  # these count each cluster once
            said = f"answers to {items} items in {clusters} clusters are taken as independent"
            yield Flag("clusters_ignored", "warning", said)
        return
    if math.isnan(found.result.ci_low):
        what = "one cluster of items" if clusters < 2 else "an arm's items are all of one cluster"
        yield Flag("one_cluster", "warning", f"{what}: no interval and no test")
    elif found.result.freedom < FEW_FREEDOM:
        share = float((out_of.sum(axis=0) / out_of.sum()).max())
        said = f"few clusters: {clusters} clusters of items, the largest with {share:.0%} of the answers, give {found.result.freedom:.1f} degrees of freedom"
        yield Flag("few_clusters", "warning", said)


def _saturated(design: Design, spec: ContrastSpec, found: Estimate) -> Iterator[Flag]:
    """Arms at 0 or 1 have no log odds but those that a prior or half an answer gives them."""
    if spec.scale != "logit":
        return
    for number, arm in enumerate(found.design.arms):
        if is_saturated(found.design, number, spec.denominator):
            how = "its prior" if found.method == "mixed" else "half an answer added to either side (Firth's penalty)"
            said = f"'{arm}' is saturated (all or none of its answers are aligned): its log odds rest on {how}"
            yield Flag("saturated_arm", "warning", said)
            continue
        rates = found.design.table(spec.denominator).rates[:, number]
        extreme, there = int(np.isin(rates, (0.0, 1.0)).sum()), int((~np.isnan(rates)).sum())
        if extreme and found.method in ("paired_t", "unpaired_t"):
            said = f"'{arm}' is saturated in {extreme} of {there} replicates: their log odds rest on half an answer"
            yield Flag("saturated_replicates", "note", said)


def _shape(spec: ContrastSpec, found: Estimate) -> Iterator[Flag]:
    """Where normal theory is thin: skewed effects, rates near 0 or 1, few answers on one side."""
    design = found.design
    table = design.table(spec.denominator)
    if found.method in ("paired_t", "unpaired_t") and not found.item_level and table.each.min() > FEW_REPLICATES:
        values = on_scale(table, spec)
        effects = values @ design.weights if not np.isnan(values).any() else values - np.nanmean(values, axis=0)
        flat = effects[~np.isnan(effects)]
        from scipy import stats  # takes two seconds to import

        p = float(stats.shapiro(flat).pvalue) if np.ptp(flat) > NO_SPREAD else 1.0
        if p < SKEWED:
            said = f"the replicates' effects do not look normal (Shapiro-Wilk p {p:.2g}): the t interval may be too narrow on one side"
            yield Flag("skewed_replicates", "warning", said)
        near = (
            []
            if design.outcome != "binary"
            else [a for a, r in zip(design.arms, np.nanmean(table.rates, axis=0), strict=True) if min(r, 1 - r) < NEAR]
        )
        if near and spec.scale == "rate":
            names = ", ".join(f"'{a}'" for a in near)
            yield Flag("near_boundary", "note", f"rates of {names} are within {NEAR:g} of 0 or 1, where spreads are skewed")
    if found.method in ("linear", "two_proportion"):
        totals = design.totals()
        small = [
            a
            for a, (aligned, valid, out_of) in totals.items()
            if _thin(aligned, valid if spec.denominator == "valid" else out_of)
        ]
        if small:
            names = ", ".join(f"'{a}'" for a in small)
            yield Flag(
                "thin_counts",
                "warning",
                f"fewer than {THIN:g} answers of {names} on one side: the normal approximation is thin",
            )


def _thin(aligned: float, out_of: int) -> bool:
    return min(aligned, out_of - aligned) < THIN


def _items(spec: ContrastSpec, found: Estimate) -> Iterator[Flag]:
    """An interval over replicates takes the items as they are: said where items to come would widen it."""
    if found.method != "paired_t" or found.item_level or spec.scale != "rate" or not len(found.design.rows):
        return
    wider = items_to_come(found.design, spec)
    if wider is not None and wider > ITEMS_MATTER * found.result.se:
        factor = wider / found.result.se
        said = f"for these items: over items to come as well the standard error is {factor:.2g} times as large"
        yield Flag("items_fixed", "note", said)


def items_to_come(design: Design, spec: ContrastSpec) -> float | None:
    """The contrast's standard error over replicates and clusters of items to come (two-way clustered; Cameron and others 2011).

    None where a cell of replicate and cluster is empty.
    """
    rows = design.rows
    if spec.denominator == "valid":
        rows = rows.kept(~np.isnan(rows.aligned))
    clusters, place = np.unique(rows.cluster, return_inverse=True)
    units = list(dict.fromkeys(design.unit_of(p) for p in rows.pairs))
    unit = np.array([units.index(design.unit_of(p)) for p in rows.pairs])[rows.replicate]
    shape = (len(design.cell_list), len(units), len(clusters))
    flat = (rows.cell * shape[1] + unit) * shape[2] + place
    aligned = np.bincount(flat, weights=np.nan_to_num(rows.aligned), minlength=math.prod(shape)).reshape(shape)
    out_of = np.bincount(flat, minlength=math.prod(shape)).reshape(shape)
    if len(units) < 2 or len(clusters) < 2 or (out_of == 0).any():
        return None
    weights = (design.weights / np.bincount(design.arm_of_cell))[design.arm_of_cell]
    total = out_of.sum(axis=2, keepdims=True)
    rates = aligned.sum(axis=2, keepdims=True) / total
    scores = np.tensordot(
        weights, (aligned - rates * out_of) / total, axes=1
    )  # of each replicate and cluster, 0 in sum over clusters
    means = np.tensordot(weights, rates[:, :, 0], axes=1)
    n, c = scores.shape
    over_units = float(means.var(ddof=1) / n)
    over_items = float((scores.mean(axis=0) ** 2).sum() * c / (c - 1))
    both = float((scores**2).sum() / n**2 * c / (c - 1))
    return math.sqrt(over_units + max(0.0, over_items - both))
