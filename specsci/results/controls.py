"""What the control evals say of a contrast's arms: may they be judged at all, and what did training cost them?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from specsci.findings import Flag
from specsci.results.rates import Rates
from specsci.study.schema import MAX_CAPABILITY_LOSS


def budgets_of(manifest: dict[str, Any], arm: str, wanted: list[int]) -> list[int]:
    """The budgets that an arm is read at: its own 0 where it does not align, else the contrast's."""
    has = {c["aft_tokens"] for c in manifest["cells"] if c["arm"] == arm}
    return [b if b in has else 0 for b in wanted] if has == {0} else list(wanted)


def control_flags(manifest: dict[str, Any], rates: Rates, arms: list[str], budgets: list[int]) -> list[Flag]:
    """Flags of a contrast from the study's competence and capability evals, arm by arm."""
    flags: list[Flag] = []
    for name, spec in manifest["evals"].items():
        check = {"competence": _competence, "capability": _capability}.get(spec["role"])
        if check is None:
            continue
        for arm in arms:
            columns = np.array([rates.column(arm, name, b) for b in budgets_of(manifest, arm, budgets)])
            flags += check(manifest, rates, name, arm, columns)
    return flags


def _competence(manifest: dict[str, Any], rates: Rates, name: str, arm: str, columns: np.ndarray) -> list[Flag]:
    """An arm below the floor in any replicate does not understand the format: its verdict is withheld."""
    worst = float(np.nanmin(columns)) if columns.size and not np.isnan(columns).all() else math.nan
    if worst < manifest["evals"][name]["min_competence"]:
        return [Flag("format_control", "withheld", f"withheld: {arm} answers the format control {worst:.2f} right")]
    return []


def _capability(manifest: dict[str, Any], rates: Rates, name: str, arm: str, columns: np.ndarray) -> list[Flag]:
    """An arm that lost more than is allowed against the untreated base, as a mean over replicates, paid for its behaviour."""
    untreated = [a for a, spec in manifest["arms"].items() if not spec["midtrain"] and not spec["align"]]
    if not untreated or not columns.size:
        return []
    before, after = rates.column(untreated[0], name, 0), columns.mean(axis=0)
    both = ~np.isnan(before) & ~np.isnan(after)
    if not both.any():
        return []
    was, now = float(before[both].mean()), float(after[both].mean())
    allowed = manifest["evals"][name].get("max_capability_loss", MAX_CAPABILITY_LOSS)  # stored before it was written down
    if was - now > allowed:
        said = f"capability: {arm} answers {name} {now:.2f} right, the untreated base {was:.2f}"
        return [Flag("capability", "warning", said)]
    return []
