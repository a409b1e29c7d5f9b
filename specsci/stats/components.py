"""Variance components: how much of a contrast's variance comes from replicates, clusters of items, items and repeated measurement."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Components:
    """Variance components of a value measured per replicate, item and repeat, and the numbers of each.

    `base` is the variance between base models where several replicates share one (0 else); `replicate` that between replicates
    of a base; `cluster` between clusters of items (0 where every item is its own); `item` between items of a cluster;
    `replicate_cluster` and `replicate_item` how differently replicates take a cluster or an item; `repeat` what is left between
    two measurements of one item on one model. Estimates below 0 are set to 0. `samples` are the random repeats of one item in
    one option order; `repeats` all its measurements. `effective_clusters` is (sum of sizes)² / sum of squared sizes.
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
    cluster: float = 0.0
    replicate_cluster: float = 0.0
    clusters: int = 0
    effective_clusters: float = math.inf
    samples: int = 1

    def parts(self, *, replicates: float = 1, items: float = 1, repeats: float = 1) -> dict[str, float]:
        """What each component adds to the variance of the mean; factors say how many times as many of each there would be.

        More items are more clusters of the same sizes.
        """
        r, i, k = self.replicates * replicates, self.items * items, self.repeats * repeats
        bases, c = self.bases * replicates, self.effective_clusters * items
        return {
            "base": self.base / bases,
            "replicate": self.replicate / r,
            "cluster": self.cluster / c,
            "item": self.item / i,
            "replicate_cluster": self.replicate_cluster / (r * c),
            "replicate_item": self.replicate_item / (r * i),
            "repeat": self.repeat / (r * i * k),
        }

    def se(self, *, replicates: float = 1, items: float = 1, repeats: float = 1) -> float:
        """Standard error of the mean over replicates and items to come, with so many times as many of each."""
        return math.sqrt(sum(self.parts(replicates=replicates, items=items, repeats=repeats).values()))

    def freedom(self, *, replicates: float = 1, items: float = 1) -> float:
        """Degrees of freedom of that standard error: one less than the units there are fewest of, bases (or replicates) or clusters.

        Conservative: Satterthwaite's covers .92 to .95 where clusters are six and replicates three to eight, this .95 and more.
        """
        units = (self.bases if self.bases > 1 else self.replicates) * replicates
        clustered = math.isfinite(self.effective_clusters)
        return max(1.0, round(min(units, self.clusters * items) if clustered else units) - 1)


def variance_components(values: Array, bases: Array | None = None, clusters: Array | None = None) -> Components:
    """ANOVA estimates from a complete crossed table.

    Args:
        values: shape (replicates, items, repeats), the repeats being random; or (replicates, items, orders, samples), the orders
            being a fixed factor that every item is asked in: what they do to all items, to an item or to a replicate is not noise
            of a mean over them. A contrast of arms, or one arm's answers as 0 and 1.
        bases: label of each replicate's base model, shape (replicates,); None where each has its own.
        clusters: label of each item's cluster, shape (items,); None where each is its own.

    Raises:
        ValueError: fewer than two replicates or items, or a missing value.

    Source: Searle, Casella and McCulloch 1992, Variance Components, ch. 4 and 5 (method of moments; items nested in clusters,
    crossed with replicates, cluster sizes as they are).
    """
    values = np.asarray(values, float)
    values = values[:, :, None, :] if values.ndim == 3 else values
    if values.ndim != 4 or values.shape[0] < 2 or values.shape[1] < 2:
        raise ValueError("variance components need at least two replicates and two items")
    if np.isnan(values).any():
        raise ValueError("variance components need every item in every replicate")
    r, i, orders, samples = values.shape
    k = orders * samples
    cell = values.mean(axis=(2, 3))
    ms_repeat = _between_repeats(values)
    labels = np.unique(clusters, return_inverse=True)[1] if clusters is not None else np.arange(i)
    sizes = np.bincount(labels)
    grouped = 1 < len(sizes) < i
    if not grouped:
        labels, sizes = np.zeros(i, int), np.array([i])
    within = _within_clusters(cell, labels)
    of_item, of_both = within  # mean squares of cell means: items within clusters (times replicates), and replicate by item
    between = of_clusters = 0.0
    if grouped:
        of_clusters, between = _clusters(cell, labels, of_item, of_both)
    share = float(np.square(sizes).sum()) / i**2 if grouped else 0.0
    noise = of_both / i + between * share  # what items and clusters alone make replicates' means differ by
    base, replicate = _nested(cell.mean(axis=1), bases, noise)
    return Components(
        base=base,
        replicate=replicate,
        item=max(0.0, (of_item - of_both) / r),
        replicate_item=max(0.0, of_both - ms_repeat / k),
        repeat=ms_repeat,
        bases=len(np.unique(bases)) if bases is not None else r,
        replicates=r,
        items=i,
        repeats=k,
        cluster=of_clusters,
        replicate_cluster=between,
        clusters=len(sizes) if grouped else i,
        effective_clusters=1 / share if grouped else math.inf,
        samples=samples,
    )


def _between_repeats(values: Array) -> float:
    """Variance between measurements of one item on one model: of its samples, else what no fixed effect of the order explains."""
    r, i, orders, samples = values.shape
    if samples > 1:
        squares = float(np.square(values - values.mean(axis=3, keepdims=True)).sum())
        return float(squares / (r * i * orders * (samples - 1)))
    if orders == 1:
        return 0.0
    y = values[:, :, :, 0]
    deviations = y - y.mean(axis=2, keepdims=True)  # within replicate and item
    rest = (
        deviations
        - deviations.mean(axis=0, keepdims=True)
        - deviations.mean(axis=1, keepdims=True)
        + deviations.mean(axis=(0, 1), keepdims=True)
    )
    squares = float(np.square(rest).sum())
    return float(squares / ((r - 1) * (i - 1) * (orders - 1)))


def _within_clusters(cell: Array, labels: Array) -> tuple[float, float]:
    """Mean squares of items within clusters and of replicate by item within them, of cell means of shape (replicates, items)."""
    r, i = cell.shape
    sizes = np.bincount(labels)
    of_cluster = _means(cell, labels, sizes)  # (replicates, clusters)
    rest = cell - of_cluster[:, labels]
    of_item = rest.mean(axis=0)
    freedom = i - len(sizes)
    return (
        r * float(np.square(of_item).sum()) / freedom,
        float(np.square(rest - of_item[None, :]).sum()) / (freedom * (r - 1)),
    )


def _clusters(cell: Array, labels: Array, of_item: float, of_both: float) -> tuple[float, float]:
    """Variances between clusters, and of replicate by cluster."""
    r, i = cell.shape
    sizes = np.bincount(labels)
    count, of_cluster = len(sizes), _means(cell, labels, sizes)
    per_cluster = (i - float(np.square(sizes).sum()) / i) / (count - 1)
    deviations = of_cluster - cell.mean(axis=1, keepdims=True)
    both = deviations - deviations.mean(axis=0, keepdims=True)
    ms_both = float((sizes * np.square(both)).sum()) / ((count - 1) * (r - 1))
    ms_cluster = r * float((sizes * np.square(deviations.mean(axis=0))).sum()) / (count - 1)
    replicate_cluster = max(0.0, (ms_both - of_both) / per_cluster)
    # the mean square of clusters holds items and replicate by cluster as well
    return max(0.0, (ms_cluster - ms_both - (of_item - of_both)) / (r * per_cluster)), replicate_cluster


def _means(cell: Array, labels: Array, sizes: Array) -> Array:
    return np.stack([np.bincount(labels, row) / sizes for row in cell])


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
