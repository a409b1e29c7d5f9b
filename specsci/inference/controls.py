"""What the control evals say of a contrast's arms: may they be judged at all, and what did training cost them?

A control that cannot be read withholds the verdict: an arm whose format control was not scored, or has no valid answer, in any
replicate at any of the contrast's budgets is not judged.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from specsci.core.findings import Flag
from specsci.core.levels import arm_of, tokens_of
from specsci.database.manifest import Manifest
from specsci.inference.rates import Pair, Rates


def budgets_of(manifest: Manifest, name: str, wanted: list[int]) -> list[int]:
    """The budgets that an arm is read at: the level that it is named with, its own 0 where it does not align, else the contrast's."""
    tokens, arm = tokens_of(name), arm_of(name)
    if tokens is not None:
        return [tokens]
    has = {c.aft_tokens for c in manifest.cells if c.arm == arm}
    return [b if b in has else 0 for b in wanted] if has == {0} else list(wanted)


def control_flags(manifest: Manifest, rates: Rates, arms: list[str], budgets: list[int]) -> list[Flag]:
    """Flags of a contrast from the study's competence and capability evals, arm by arm and budget by budget.

    `arms` may name a level each: `rules@4000`.
    """
    flags: list[Flag] = []
    for name, spec in manifest.evals.items():
        check = {"competence": _competence, "capability": _capability}.get(spec.role)
        if check is None:
            continue
        read: dict[str, dict[int, None]] = {}
        for named in arms:
            read.setdefault(arm_of(named), {}).update(dict.fromkeys(budgets_of(manifest, named, budgets)))
        for arm, levels in read.items():
            columns = {b: rates.by_replicate(arm, name, b, pairs_of(manifest)) for b in levels}
            flags += check(manifest, rates, name, arm, columns)
    return flags


def pairs_of(manifest: Manifest) -> list[Pair]:
    """The replicates that a study declares."""
    return [(r.base_model, r.seed) for r in manifest.replicates]


Columns = dict[int, dict[Pair, float | None]]
"""Budget to replicate to the rate of right answers: NaN where none is valid, None where nothing was scored."""


def _unreadable(what: str, columns: Columns) -> list[Flag]:
    """A flag where a control cell was not scored or has no valid answer."""
    values = [v for by_pair in columns.values() for v in by_pair.values()]
    missing = sum(v is None for v in values)
    silent = sum(v is not None and math.isnan(v) for v in values)
    counts = [f"{count} of {len(values)} models {why}" for count, why in ((missing, "not scored"), (silent, "without a valid answer")) if count]  # fmt: skip
    if counts or not values:
        return [
            Flag("control_unreadable", "withheld", f"withheld: {what} cannot be read ({', '.join(counts) or 'no model'})")
        ]
    return []


def _competence(manifest: Manifest, rates: Rates, name: str, arm: str, columns: Columns) -> list[Flag]:
    """An arm below the floor in any replicate does not understand the format: its verdict is withheld."""
    flags = _unreadable(f"the format control {name} of {arm}", columns)
    known = [v for by_pair in columns.values() for v in by_pair.values() if v is not None and not math.isnan(v)]
    if known and min(known) < manifest.evals[name].min_competence:
        said = f"withheld: accuracy of {arm} on the format control is {min(known):.2f}"
        flags.append(Flag("format_control", "withheld", said))
    return flags


def _capability(manifest: Manifest, rates: Rates, name: str, arm: str, columns: Columns) -> list[Flag]:
    """An arm that lost more than is allowed against the base model, as a mean over replicates, paid for its behaviour."""
    bases = [a for a, spec in manifest.arms.items() if not spec.midtrain and not spec.align]
    if not bases:
        return [Flag("capability_unknown", "warning", f"capability: no base model (no treatment) to compare {arm} with on {name}")]
    before = rates.by_replicate(bases[0], name, 0, pairs_of(manifest))
    flags = _unreadable(f"the capability control {name} of {arm}", columns)
    if arm != bases[0]:
        flags += _unreadable(f"the capability control {name} of the base model (no treatment)", {0: before})
    if flags:
        return flags
    was, now = _mean(rates, before), min(_mean(rates, by_pair) for by_pair in columns.values())
    if was - now > manifest.evals[name].max_capability_loss:
        said = f"capability: accuracy of {arm} on {name} is {now:.2f}, that of the base model (no treatment) {was:.2f}"
        return [Flag("capability", "warning", said)]
    return []


def _mean(rates: Rates, by_pair: dict[Pair, float | None]) -> float:
    """The mean over clusters of replicates, every one of them known."""
    clusters: dict[Any, list[float]] = {}
    for pair, value in by_pair.items():
        clusters.setdefault(rates.cluster_of(pair), []).append(math.nan if value is None else value)
    return float(np.mean([np.mean(values) for values in clusters.values()]))
