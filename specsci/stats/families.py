"""Multiplicity: p-values adjusted over a declared family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

Correction = Literal["holm", "bh", "none"]
_METHODS = {"holm": "holm", "bh": "fdr_bh"}


def adjust(p_values: Sequence[float | None], correction: Correction) -> list[float | None]:
    """Adjusted p-values in the given order (Holm's step-down, or Benjamini and Hochberg's).

    A member without a test (None) keeps its place: the others are corrected as if its p were 1, and it stays None. A family is as
    large as it was declared, whatever came of its members.
    """
    if correction == "none" or all(p is None for p in p_values):
        return list(p_values)
    from statsmodels.stats.multitest import multipletests  # imports pandas: a second that readers need not wait

    known = np.array([1.0 if p is None else p for p in p_values])
    found = multipletests(known, method=_METHODS[correction])[1]
    return [None if p is None else float(q) for p, q in zip(p_values, found, strict=True)]
