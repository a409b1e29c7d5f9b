"""What a contrast whose interval covers 0 may mean: could it have been told, was the spec installed, does the eval see anything?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from specsci.core.findings import Flag
from specsci.core.levels import arm_of
from specsci.database.manifest import Manifest
from specsci.inference.rates import Rates
from specsci.plan.texts import NEUTRAL
from specsci.stats.laws import t_quantile
from specsci.stats.power import detectable_by

MARGINS = {"rate": 0.1, "arcsine": 0.1, "logit": 0.4}
"""A null may be read where a difference of this size would have been found (80 % power), unless the contrast declares an
equivalence margin of its own. On the other scales it is what .1 is at a rate of one half."""


def null_flags(
    contrast: dict[str, Any], manifest: Manifest, absorbed: list[dict[str, Any]], insensitive: bool = False
) -> list[Flag]:
    """What the null of a contrast may mean; empty where its interval does not cover 0, or is none.

    Args:
        contrast: a row of the table `contrasts`, with its weights as a mapping.
        absorbed: rows of the table `absorption`.
        insensitive: whether the eval was shown to detect no difference between any arms (`is_insensitive`).
    """
    if contrast["ci_low"] is None or not contrast["ci_low"] <= 0 <= contrast["ci_high"]:
        return []
    flags = []
    detects = detected(contrast) if contrast["se"] else None
    if detects is not None and detects > _margin(contrast):
        shown = "nothing" if contrast["scale"] == "rate" and detects > 1 else f"{detects:.2f}"
        flags.append(Flag("null_too_few", "warning", f"null: too few replicates to tell (detects {shown})"))
    told = (manifest.arms[arm_of(name)].midtrain for name in contrast["weights"])
    specs = sorted({spec for spec in told if spec is not None and spec != NEUTRAL})
    found = {spec: [row["installed"] for row in absorbed if row["msm_spec"] == spec] for spec in specs}
    missing = [spec for spec, known in found.items() if False in known]
    unknown = [spec for spec, known in found.items() if not known or None in known]
    if missing:
        flags.append(Flag("null_not_installed", "warning", f"null: not installed ({', '.join(missing)})"))
    elif unknown:
        flags.append(Flag("null_unknown", "warning", f"null: not known whether installed ({', '.join(unknown)})"))
    elif insensitive:
        flags.append(
            Flag(
                "null_blind",
                "warning",
                "null: the eval is insensitive (it detects no difference between any arms of the study)",
            )
        )
    elif specs and not flags:
        flags.append(Flag("null_installed", "note", "null: installed, no difference in behaviour detected"))
    return flags


def detected(contrast: dict[str, Any]) -> float:
    """The true difference that a contrast's test would have found in 80 % of studies like it, on its own scale."""
    freedom = contrast["n"] - 1 if contrast["n"] > 1 else math.inf
    return detectable_by(contrast["se"], freedom)


def is_insensitive(contrasts: list[dict[str, Any]], means: list[float]) -> bool:
    """Whether an eval was shown to detect no difference between arms: evidence of equality, not want of evidence of a difference.

    Args:
        contrasts: the study's contrasts on the eval. Two or more are needed, each with the power to find its margin, and with a
            90 % interval within it (two one-sided tests at 5 %).
        means: mean rates of all cells (arm and budget) of the eval, which lie within the rate's margin of each other.
    """
    if len(contrasts) < 2 or not means or max(means) - min(means) > MARGINS["rate"]:
        return False
    return all(_equivalent(c) for c in contrasts)


def _equivalent(contrast: dict[str, Any]) -> bool:
    if contrast["ci_low"] is None or contrast["n"] < 2 or not contrast["se"]:
        return False
    margin = _margin(contrast)
    half = float(t_quantile(0.95, contrast["n"] - 1)) * contrast["se"]
    return abs(contrast["estimate"]) + half < margin and detected(contrast) <= margin


def mean_rates(rates: Rates, name: str) -> list[float]:
    """The mean rate of every cell of an eval, over clusters of replicates."""
    cells = [key for key in rates.values["valid"] if key[1] == name]
    return [float(np.nanmean(rates.column(arm, name, budget))) for arm, _, budget in cells]


def _margin(contrast: dict[str, Any]) -> float:
    return float(contrast.get("equivalence_margin") or MARGINS[contrast["scale"]])
