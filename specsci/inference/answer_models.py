"""Contrasts from single answers: McNemar's pairs, the hierarchical bootstrap, and models of answers."""

from __future__ import annotations

import math

import numpy as np

from specsci.core.errors import UserError
from specsci.inference.contrast_spec import ContrastSpec
from specsci.inference.design import AnswerRows, Design
from specsci.stats.bootstrap import draws_for, hierarchical_bootstrap
from specsci.stats.contrast import ContrastResult


def _rows(design: Design, spec: ContrastSpec) -> AnswerRows:
    """The answers that count: the valid ones, or all that were attempted, those that are not valid as not aligned."""
    rows = design.rows
    return rows.kept(~np.isnan(rows.aligned)) if spec.denominator == "valid" else rows


def paired_answers(design: Design, spec: ContrastSpec) -> list[np.ndarray]:
    """Answers of two arms to the same items of the same replicates, 1 or 0; shape (items,) each.

    Raises:
        UserError: not two arms of weights 1 and -1, counts alone, an item asked more than once, or no question in common.
    """
    if spec.scale != "rate" or sorted(design.weights) != [-1, 1] or len(design.cell_list) != 2:
        raise UserError(
            "mcnemar compares two arms on the rate scale, with weights 1 and -1",
            hint="take --method linear, or --method auto",
        )
    rows = design.rows
    keys = [dict[tuple[int, str], float]() for _ in design.arms]
    for cell, replicate, item, aligned in zip(rows.cell, rows.replicate, rows.item, rows.aligned, strict=True):
        key = (int(replicate), str(item))
        if key in keys[cell]:
            raise UserError(
                "mcnemar needs one answer to each item, and items were asked more than once", hint="take --method auto"
            )
        keys[cell][key] = float(aligned)
    if not len(rows):
        raise UserError("mcnemar needs one answer to each item, and the study has counts alone", hint="take --method auto")
    both = sorted(keys[0].keys() & keys[1].keys())
    if spec.denominator == "valid":
        both = [k for k in both if not (math.isnan(keys[0][k]) or math.isnan(keys[1][k]))]
    if not both:
        raise UserError("the arms share no valid answer", hint="take --denominator attempted, or --method auto")
    order = np.argsort(-design.weights)
    return [np.nan_to_num(np.array([keys[int(n)][k] for k in both])) for n in order]


def bootstrap(design: Design, spec: ContrastSpec) -> ContrastResult:
    """Replicate, cluster and item resampled; an item's value is the contrast of the arms' answers to it."""
    if spec.scale != "rate" or not len(design.rows):
        raise UserError("bootstrap needs single answers and the rate scale", hint="take --method auto")
    rows = _rows(design, spec)
    cell_weights = (design.weights / np.bincount(design.arm_of_cell))[design.arm_of_cell]
    units = np.array([str(design.unit_of(p)) for p in rows.pairs], object)[rows.replicate].astype(str)
    found: dict[str, dict[str, dict[str, dict[int, list[float]]]]] = {}
    answers = np.nan_to_num(rows.aligned)
    for unit, cluster, item, cell, aligned in zip(units, rows.cluster, rows.item, rows.cell, answers, strict=True):
        found.setdefault(unit, {}).setdefault(cluster, {}).setdefault(item, {}).setdefault(int(cell), []).append(aligned)
    values = []
    for clusters in found.values():
        whole = [
            np.array([sum(w * np.mean(by_cell[c]) for c, w in enumerate(cell_weights)) for by_cell in items.values() if len(by_cell) == len(cell_weights)])
            for items in clusters.values()
        ]  # fmt: skip
        values.append([v for v in whole if len(v)])
    values = [v for v in values if v]
    if len(values) < 2:
        raise UserError("bootstrap needs at least two replicates that all arms share", hint="take --method auto")
    drawn = hierarchical_bootstrap(values, draws=draws_for(sum(map(len, values))))
    method = f"hierarchical bootstrap ({design.unit} > cluster > item), {drawn.draws:,} draws, {drawn.limits}"
    return ContrastResult(drawn.estimate, drawn.se, math.nan, drawn.p, drawn.low, drawn.high, len(values), method, ())


def model(design: Design, spec: ContrastSpec) -> ContrastResult:
    """A mixed model or estimating equations of single answers."""
    linear_scale = spec.method == "mixed" and spec.scale == "rate"
    if not len(design.rows) or (spec.scale != "logit" and not linear_scale):
        what = "the rate or the logit scale" if spec.method == "mixed" else "the logit scale"
        raise UserError(f"{spec.method} needs single answers and {what}", hint="--scale logit, or --method auto")
    if len(design.cell_list) != len(design.arms):
        raise UserError(f"{spec.method} takes one budget of each arm", hint="take --method auto")
    from specsci.stats.mixed import gee_logistic, mixed_linear, mixed_logistic

    rows = _rows(design, spec)
    if len(np.unique(rows.cell)) < len(design.arms):
        raise UserError("an arm has no valid answer", hint="take --denominator attempted, or leave the arm out")
    aligned = np.nan_to_num(rows.aligned)
    replicate = np.array([str(design.unit_of(p)) for p in rows.pairs], object)[rows.replicate].astype(str)
    if len(set(replicate)) < 2 and (linear_scale or spec.method == "gee"):
        raise UserError(f"{spec.method} needs at least two replicates", hint="take --method auto")
    try:
        if linear_scale:
            return mixed_linear(aligned, rows.cell, replicate, design.weights)
        if spec.method == "mixed":
            return mixed_logistic(aligned, rows.cell, replicate, rows.item, design.weights)
        return gee_logistic(aligned, rows.cell, replicate, design.weights)
    except ValueError as error:
        raise UserError(str(error), hint="take --method auto") from error
