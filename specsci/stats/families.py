"""Multiplicity: p-values adjusted over a declared family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

Correction = Literal["holm", "bh", "none"]


def adjust(p_values: Sequence[float | None], correction: Correction) -> list[float | None]:
    """Adjusted p-values in the given order (Holm 1979, step-down; Benjamini and Hochberg 1995, step-up).

    Written out here, since statsmodels' `multipletests`, by which it is tested, imports pandas: two seconds for every command that
    builds results.

    A member without a test (None) keeps its place: the others are corrected as if its p were 1, and it stays None. A family is as
    large as it was declared, whatever came of its members.
    """
    if correction == "none" or all(p is None for p in p_values):
        return list(p_values)
    known = np.array([1.0 if p is None else p for p in p_values])
    size, order = len(known), np.argsort(known, kind="stable")
    if correction == "holm":
        steps = np.maximum.accumulate((size - np.arange(size)) * known[order])
    else:
        steps = np.minimum.accumulate((size / np.arange(1, size + 1) * known[order])[::-1])[::-1]
    found = np.empty(size)
    found[order] = np.minimum(steps, 1.0)
    return [None if p is None else float(q) for p, q in zip(p_values, found, strict=True)]
