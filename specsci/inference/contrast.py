"""A contrast of one's own over what the database holds, run or imported: the estimator follows the data's design."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

import duckdb
import numpy as np

from specsci.core.errors import UserError
from specsci.core.findings import Flag
from specsci.inference.contrast_spec import ContrastSpec, check_weights, read_answers
from specsci.inference.design import Design
from specsci.inference.doubts import doubts, turned
from specsci.inference.estimate import equivalence, estimate
from specsci.inference.items import item_flags, item_table
from specsci.inference.study_flags import study_flags
from specsci.stats.contrast import paired_contrast
from specsci.stats.sequential import t_boundaries


def contrast(db: duckdb.DuckDBPyConnection, spec: ContrastSpec) -> dict[str, Any]:
    """One contrast: `estimate`, `se`, `statistic`, `p`, `ci_low`, `ci_high`, `n`, `method`, `flags`, and what it was made of.

    A single arm of weight 1 asks for its rate: an interval, and no test.

    Raises:
        UserError: an unknown study, eval or arm, a budget that an arm does not have, weights that do not sum to 0, or a method that
            the data do not allow.
    """
    if spec.margin is not None and not 0 < spec.margin < math.inf:
        raise UserError(f"{spec.margin} is not a valid equivalence margin", hint="a number above 0, such as --margin 0.05")
    spec = replace(spec, weights=check_weights(spec.weights))
    if len(spec.weights) == 1 and (spec.margin or spec.looks):
        raise UserError("the rate of a single arm is not tested", hint="leave --margin and --looks out, or compare two arms")
    design = read_answers(db, spec)
    found = estimate(design, spec)
    flags = [*doubts(design, spec, found), *turned(design, spec, found)]
    if found.method == "paired_t" and not found.item_level and spec.denominator == "valid" and len(spec.weights) > 1:
        weights = dict(zip(design.cell_list, design.weights, strict=True))
        flags += item_flags(item_table(db, spec.study, spec.eval, weights), design.unit, spec.scale)
    flags += study_flags(db, spec.study, spec.eval, spec.weights, list(design.cell_list))
    more: dict[str, Any] = {}
    if spec.margin is not None:
        equal = equivalence(found, spec.margin)
        more["equivalence"] = asdict(equal) if equal else None
        no_test = Flag("no_equivalence_test", "warning", "no standard error: no test of equivalence")
        flags.append(Flag(equal.code, "note", str(equal)) if equal else no_test)
    if spec.looks:
        more["looks"] = _interim_analyses(design, spec)
    result = found.result
    said = {name: getattr(result, name) for name in ("estimate", "se", "statistic", "p", "ci_low", "ci_high", "n", "method")}
    used = found.design
    return {
        **{name: None if isinstance(v, float) and math.isnan(v) else v for name, v in said.items()},
        "freedom": result.freedom if math.isfinite(result.freedom) else None,
        "flags": [f.as_dict() for f in flags],
        "study": spec.study,
        "eval": spec.eval,
        "weights": spec.weights,
        "budget_tokens": spec.budget_tokens,
        "scale": spec.scale,
        "denominator": spec.denominator,
        "unit": used.unit,
        "per_replicate": list(result.per_replicate),
        "counts": {a: dict(zip(("aligned", "valid", "attempted"), c, strict=True)) for a, c in used.totals().items()},
        "replicates": dict(zip(used.arms, used.table(spec.denominator).each.tolist(), strict=True)),
        **more,
    }


def _interim_analyses(design: Design, spec: ContrastSpec) -> list[dict[str, Any]]:
    """What a test after so many replicates said, in the order of their seeds; it stops at the first crossing."""
    try:
        levels = t_boundaries(list(spec.looks), spec.spending)
    except ValueError as error:
        raise UserError(str(error), hint="--looks 4,6,8") from error
    table = design.only_shared(spec.denominator).table(spec.denominator)
    if len(table.units) < spec.looks[0]:
        what = f"the first interim analysis is at {spec.looks[0]} replicates, and all arms share {len(table.units)}"
        raise UserError(what, hint="begin --looks with fewer replicates")
    found: list[dict[str, Any]] = []
    for replicates, level in zip(spec.looks, levels, strict=True):
        if replicates > len(table.units) or (found and found[-1]["stop"]):
            break
        at = paired_contrast(table.rates[:replicates], np.array(design.weights), table.items[:replicates], spec.scale)
        said = {"replicates": replicates, "estimate": at.estimate, "p": None if math.isnan(at.p) else at.p, "level": level}
        found.append({**said, "stop": bool(at.p < level)})
    return found
