"""Multiplicity: p-values adjusted over a declared family."""

from __future__ import annotations

from typing import Literal

import numpy as np

Correction = Literal["holm", "bh", "none"]
_METHODS = {"holm": "holm", "bh": "fdr_bh"}


def adjust(p_values: list[float], correction: Correction) -> list[float]:
    """Adjusted p-values in the given order (Holm's step-down, or Benjamini and Hochberg's)."""
    if correction == "none" or not p_values:
        return list(p_values)
    from statsmodels.stats.multitest import multipletests  # imports pandas: a second that readers need not wait

    return [float(p) for p in multipletests(np.asarray(p_values), method=_METHODS[correction])[1]]
