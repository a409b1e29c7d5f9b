"""Noise budget: how much of a contrast's variance comes from replicates, items and repeated measurement."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Components:
    """Variance components of a value measured per replicate, item and repeat, and the numbers of each.

    `base` is the variance between base models where several replicates share one (0 else); `replicate` that between replicates
    of a base; `item` between items; `replicate_item` how differently replicates take an item; `repeat` what is left between
    two measurements of one item on one model. Estimates below 0 are set to 0.
    """

    base: float
    replicate: float
    item: float
    replicate_item: float
    repeat: float
    bases: int
    replicates: int
    items: int
    repeats: int

    def parts(self, *, replicates: float = 1, items: float = 1, repeats: float = 1) -> dict[str, float]:
        """What each component adds to the variance of the mean; factors say how many times as many of each there would be."""
        r, i, k = self.replicates * replicates, self.items * items, self.repeats * repeats
        bases = self.bases * replicates
        return {
            "base": self.base / bases,
            "replicate": self.replicate / r,
            "item": self.item / i,
            "replicate_item": self.replicate_item / (r * i),
            "repeat": self.repeat / (r * i * k),
        }

    def se(self, *, replicates: float = 1, items: float = 1, repeats: float = 1) -> float:
        """Standard error of the mean over replicates and items to come, with so many times as many of each."""
        return math.sqrt(sum(self.parts(replicates=replicates, items=items, repeats=repeats).values()))


def variance_components(values: Array, bases: Array | None = None) -> Components:
    """ANOVA estimates from a complete crossed table.

    Args:
        values: shape (replicates, items, repeats); a contrast of arms, or one arm's answers as 0 and 1.
        bases: label of each replicate's base model, shape (replicates,); None where each has its own.

    Raises:
        ValueError: fewer than two replicates or items, or a missing value.

    Source: Searle, Casella and McCulloch 1992, Variance Components, ch. 4 (method of moments, two-way crossed).
    """
    values = np.asarray(values, float)
    if values.ndim != 3 or values.shape[0] < 2 or values.shape[1] < 2:
        raise ValueError("variance components need at least two replicates and two items")
    if np.isnan(values).any():
        raise ValueError("variance components need every item in every replicate")
    r, i, k = values.shape
    cell, grand = values.mean(axis=2), values.mean()
    of_replicate, of_item = cell.mean(axis=1), cell.mean(axis=0)
    ms_item = r * k * float(np.square(of_item - grand).sum()) / (i - 1)
    rest = cell - of_replicate[:, None] - of_item[None, :] + grand
    ms_both = k * float(np.square(rest).sum()) / ((r - 1) * (i - 1))
    ms_repeat = float(np.square(values - cell[:, :, None]).sum()) / (r * i * (k - 1)) if k > 1 else 0.0
    noise = ms_both / (i * k)  # what items alone make replicates' means differ by
    between, within = _nested(of_replicate, bases, noise)
    return Components(
        base=between,
        replicate=within,
        item=max(0.0, (ms_item - ms_both) / (r * k)),
        replicate_item=max(0.0, (ms_both - ms_repeat) / k),
        repeat=ms_repeat,
        bases=len(np.unique(bases)) if bases is not None else r,
        replicates=r,
        items=i,
        repeats=k,
    )


def _nested(means: Array, bases: Array | None, noise: float) -> tuple[float, float]:
    """Variances between bases and between replicates of one, from replicates' means."""
    labels = np.unique(bases, return_inverse=True)[1] if bases is not None else np.arange(len(means))
    sizes = np.bincount(labels)
    count, n = len(sizes), len(means)
    if count == n or count == 1:
        return 0.0, max(0.0, float(means.var(ddof=1)) - noise)
    of_base = np.bincount(labels, means) / sizes
    ms_within = float(np.square(means - of_base[labels]).sum()) / (n - count)
    ms_between = float((sizes * np.square(of_base - means.mean())).sum()) / (count - 1)
    per_base = (n - float(np.square(sizes).sum()) / n) / (count - 1)
    return max(0.0, (ms_between - ms_within) / per_base), max(0.0, ms_within - noise)
