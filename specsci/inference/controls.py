"""What the control evals say of a contrast's arms: may they be judged at all, and what did training cost them?

A control that cannot be read withholds the verdict: an arm whose format control was not scored, or has no valid answer, in any
replicate at any of the contrast's budgets is not judged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from specsci.core.findings import Flag
from specsci.core.levels import arm_of, condition_of, subject, tokens_of
from specsci.database.manifest import Manifest
from specsci.database.manifest_parts import Eval
from specsci.inference.rates import Pair, Rates
from specsci.study.schema import IMPORTED


def budgets_of(manifest: Manifest, name: str, wanted: list[int]) -> list[int]:
    """The budgets that an arm is read at: the level that it is named with, its own 0 where it does not align, else the contrast's."""
    tokens, arm = tokens_of(name), arm_of(name)
    if tokens is not None:
        return [tokens]
    has = {c.aft_tokens for c in manifest.cells if c.arm == arm}
    return [b if b in has else 0 for b in wanted] if has == {0} else list(wanted)


def control_flags(manifest: Manifest, rates: Rates, outcome: str, arms: list[str], budgets: list[int]) -> list[Flag]:
    """Flags of a contrast on `outcome` from the study's competence, capability and guard evals, arm by arm and budget by budget.

    A competence control speaks for evals of its own kind, in the readout that the outcome takes; a guard for the arms that it asks. `arms` may name levels:
    `rules@4000`; a condition counts where the control is asked under it as well.
    """
    flags: list[Flag] = []
    kind = manifest.evals[outcome].kind if outcome in manifest.evals else None
    formats = {n: spec for n, spec in manifest.evals.items() if spec.role == "competence"}
    if formats and not any(spec.kind == kind for spec in formats.values()):
        said = f"no format control asks as {outcome} does ({kind}): whether its questions are understood is not known"
        flags.append(Flag("no_format_control", "warning", said))
    for name, spec in manifest.evals.items():
        if spec.role in PAID or (spec.role == "competence" and spec.kind == kind):
            for subject, levels in _subjects(manifest, name, arms, budgets).items():
                asked = [b for b in levels if spec.role != "guard" or _is_asked(spec, subject, b)]
                flags += _checked(manifest, rates, outcome, name, subject, asked) if asked else []
    return flags


def truncation_flags(rates: Rates, name: str, cells: Iterable[tuple[str, int]]) -> list[Flag]:
    """A flag where more than MAX_TRUNCATED of a subject's answers were cut off: longer answers are then left out, unevenly."""
    cut = {f"{of} at {b:,} tokens" if b else of: share for of, b in dict.fromkeys(cells) if (share := rates.truncated_share(of, name, b)) > MAX_TRUNCATED}
    if not cut:
        return []
    said = ", ".join(f"{of} {share:.1%}" for of, share in cut.items())
    return [Flag("truncated", "warning", f"answers were cut off at their token limit ({said}): raise max_tokens")]


def _is_asked(spec: Eval, of: str, budget: int) -> bool:
    """Whether a guard asks a subject at a budget: one that was limited to some arms says nothing of the others."""
    if spec.arms and arm_of(of) not in spec.arms:
        return False
    return not spec.budgets_tokens or not budget or budget in spec.budgets_tokens


def _subjects(manifest: Manifest, control: str, arms: list[str], budgets: list[int]) -> dict[str, list[int]]:
    """The subjects of a control that named arms rest on, each with its budgets."""
    under = manifest.conditions_of(control)
    read: dict[str, dict[int, None]] = {}
    for named in arms:
        condition = condition_of(named)
        of = subject(arm_of(named), condition if condition in under else None, under)
        read.setdefault(of, {}).update(dict.fromkeys(budgets_of(manifest, named, budgets)))
    return {of: list(levels) for of, levels in read.items()}


def _checked(manifest: Manifest, rates: Rates, outcome: str, name: str, of: str, levels: list[int]) -> list[Flag]:
    """What one control says of one subject."""
    pairs = pairs_of(manifest)
    if manifest.evals[name].role in PAID:
        return _capability(manifest, rates, name, of, {b: rates.by_replicate(of, name, b, pairs) for b in levels})
    taken, there = manifest.readout_of(outcome).readout, rates.readouts_of(name)
    if taken in there:
        return _competence(manifest, name, of, {b: rates.read_by(str(taken), of, name, b, pairs) for b in levels})
    found = _competence(manifest, name, of, {b: rates.by_replicate(of, name, b, pairs) for b in levels})
    if there and taken is not None and manifest.profile != IMPORTED:
        said = f"the format control {name} was not read by {taken}, by which {outcome} is"
        found.append(Flag("control_other_readout", "warning", said))
    return found


def pairs_of(manifest: Manifest) -> list[Pair]:
    """The replicates that a study declares."""
    return [(r.base_model, r.seed) for r in manifest.replicates]


PAID = ("capability", "guard")
"""Roles of the evals that tell what an arm paid for its behaviour: they are held against the base model (no treatment)."""
MAX_TRUNCATED = 0.02
"""The largest share of answers that may be cut off at their token limit without a flag."""
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


def _competence(manifest: Manifest, name: str, arm: str, columns: Columns) -> list[Flag]:
    """An arm below the floor in any replicate does not understand the format: its verdict is withheld."""
    flags = _unreadable(f"the format control {name} of {arm}", columns)
    known = [v for by_pair in columns.values() for v in by_pair.values() if v is not None and not math.isnan(v)]
    if known and min(known) < manifest.evals[name].min_competence:
        said = f"withheld: accuracy of {arm} on the format control is {min(known):.2f}"
        flags.append(Flag("format_control", "withheld", said))
    return flags


def _capability(manifest: Manifest, rates: Rates, name: str, arm: str, columns: Columns) -> list[Flag]:
    """An arm that lost more than is allowed against the base model, as a mean over replicates, paid for its behaviour."""
    role = manifest.evals[name].role
    bases = [a for a, spec in manifest.arms.items() if not spec.midtrain and not spec.align and not spec.prompt]
    if not bases:
        return [Flag(f"{role}_unknown", "warning", f"{role}: no base model (no treatment) to compare {arm} with on {name}")]
    before = rates.by_replicate(bases[0], name, 0, pairs_of(manifest))
    flags = _unreadable(f"the {role} control {name} of {arm}", columns)
    if arm != bases[0]:
        flags += _unreadable(f"the {role} control {name} of the base model (no treatment)", {0: before})
    if flags:
        return flags
    was, now = _mean(rates, before), min(_mean(rates, by_pair) for by_pair in columns.values())
    if was - now > manifest.evals[name].max_capability_loss:
        said = f"{role}: accuracy of {arm} on {name} is {now:.2f}, that of the base model (no treatment) {was:.2f}"
        return [Flag(role, "warning", said)]
    return []


def _mean(rates: Rates, by_pair: dict[Pair, float | None]) -> float:
    """The mean over clusters of replicates, every one of them known."""
    clusters: dict[Any, list[float]] = {}
    for pair, value in by_pair.items():
        clusters.setdefault(rates.cluster_of(pair), []).append(math.nan if value is None else value)
    return float(np.mean([np.mean(values) for values in clusters.values()]))
