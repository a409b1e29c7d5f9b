"""A contrast item by item: what its noise is made of, and whether single items decide it."""

from __future__ import annotations

from dataclasses import dataclass, field

import duckdb
import numpy as np
import pyarrow as pa

from specsci.core.findings import Flag
from specsci.inference.rates import by_cluster
from specsci.stats.components import Components, variance_components
from specsci.stats.contrast import Scale, deciding_items

CellWeights = dict[tuple[str, int], float]
"""(subject, AFT tokens) to its weight in a contrast."""
READ = """
SELECT w.cell, base_model, seed, item_id, concat_ws('/', readout, variant) AS "order", sample, any_value(cluster_id) AS cluster_id,
       coalesce(sum(answer), 0) AS aligned, count(answer) AS valid
FROM chosen_scores JOIN weights w USING (subject, aft_tokens)
WHERE study = $study AND eval = $eval AND item_id IS NOT NULL
GROUP BY ALL"""


@dataclass(frozen=True)
class ItemTable:
    """Answers to a contrast's cells by replicate, item and repeat (readout, option order and sample).

    `aligned` and `valid` are counts of shape (cells, replicates, items, repeats), of the replicates that have every cell;
    `weights` has shape (cells,); `bases` and `seeds` are labels of the replicates, `items` and `clusters` of the items and
    `orders` of the repeats (readout and option order). Without clusters every item is its own, without orders repeats are
    random.
    """

    aligned: np.ndarray
    valid: np.ndarray
    weights: np.ndarray
    bases: np.ndarray
    seeds: np.ndarray
    items: list[str]
    clusters: list[str] = field(default_factory=list)
    orders: list[str] = field(default_factory=list)

    def values(self) -> np.ndarray:
        """The contrast's value by replicate, item and repeat; where some answers are not valid, by replicate and item alone.

        Items without a valid answer of some cell and replicate are left out; shape (replicates, items, repeats).
        """
        aligned, valid = self.aligned, self.valid
        if (valid == 0).any():
            aligned, valid = aligned.sum(axis=3, keepdims=True), valid.sum(axis=3, keepdims=True)
        kept = self.kept
        shares = aligned[:, :, kept] / valid[:, :, kept]
        return np.asarray(np.tensordot(self.weights, shares, axes=1))

    @property
    def kept(self) -> np.ndarray:
        """Which items have a valid answer of every cell in every replicate, shape (items,)."""
        return np.asarray((self.valid.sum(axis=3) > 0).all(axis=(0, 1)))

    def components(self) -> Components | None:
        """The variance components; None where there are not two replicates and two items that were answered throughout."""
        values = self.values()
        if min(values.shape[:2]) < 2:
            return None
        clusters = np.array(self.clusters)[self.kept] if self.clusters else None
        return variance_components(self._by_order(values), self.bases, clusters)

    def _by_order(self, values: np.ndarray) -> np.ndarray:
        """Values by replicate, item, order and sample, where every order was sampled as often; else as they are."""
        names = list(dict.fromkeys(self.orders))
        places = [[n for n, order in enumerate(self.orders) if order == name] for name in names]
        if values.shape[2] != len(self.orders) or len({len(p) for p in places}) != 1:
            return values
        return np.stack([values[:, :, p] for p in places], axis=2)

    def deciding(self, unit: str, scale: Scale) -> list[str]:
        """Items whose removal flips the verdict of the paired t over clusters (leave one item out). Each rate is over its valid answers."""
        clusters = [b if unit == "base_model" else s for b, s in zip(self.bases, self.seeds, strict=True)]
        aligned, valid = self.aligned.sum(axis=3), self.valid.sum(axis=3)
        own = by_cells(valid.sum(axis=2, keepdims=True) / self.valid.shape[3], clusters)  # each arm's own items
        found = deciding_items(
            aligned, valid, self.weights, lambda rows: by_cluster(rows, clusters), scale=scale, items=own
        )
        return [self.items[i] for i in found]


def by_cells(counts: np.ndarray, clusters: list[str]) -> np.ndarray:
    """Counts by cell, replicate and one more axis, averaged over the replicates of a cluster."""
    return np.stack([by_cluster(cell, clusters) for cell in counts])


def item_table(db: duckdb.DuckDBPyConnection, study: str, name: str, weights: CellWeights) -> ItemTable | None:
    """The table of a contrast; None where the study has no single answers in a replicate that all cells share."""
    arms, budgets = zip(*weights, strict=True)
    db.register("weights", pa.table({"cell": list(range(len(weights))), "subject": arms, "aft_tokens": budgets}))
    found = db.execute(READ, {"study": study, "eval": name}).fetchnumpy()
    db.unregister("weights")
    if not len(found["cell"]):
        return None
    items, item = np.unique(found["item_id"].astype(str), return_inverse=True)
    attempted = sorted(set(zip(found["order"].astype(str).tolist(), found["sample"].tolist(), strict=True)))
    at = {key: n for n, key in enumerate(attempted)}
    repeat = np.array([at[key] for key in zip(found["order"].astype(str).tolist(), found["sample"].tolist(), strict=True)])
    seeds, bases = found["seed"], found["base_model"].astype(str)
    pairs = sorted(set(zip(seeds.tolist(), bases.tolist(), strict=True)))
    place = {pair: n for n, pair in enumerate(pairs)}
    replicate = np.array([place[pair] for pair in zip(seeds.tolist(), bases.tolist(), strict=True)])
    counts = np.zeros((2, len(weights), len(pairs), len(items), len(attempted)))
    counts[0, found["cell"], replicate, item, repeat] = found["aligned"]
    counts[1, found["cell"], replicate, item, repeat] = found["valid"]
    whole = counts[1].any(axis=(2, 3)).all(axis=0)
    if not whole.any():
        return None
    aligned, valid = counts[:, :, whole]
    labels = np.array(pairs, dtype=object)[whole]
    cluster_of = dict(
        zip(found["item_id"].astype(str).tolist(), np.ma.filled(found["cluster_id"], "").tolist(), strict=True)
    )
    return ItemTable(
        aligned, valid, np.array(list(weights.values())), labels[:, 1].astype(str), labels[:, 0], [str(i) for i in items],
        [str(cluster_of[str(i)] or i) for i in items], [order for order, _ in attempted],
    )  # fmt: skip


def item_flags(table: ItemTable | None, unit: str, scale: Scale) -> list[Flag]:
    """A flag where removing one item flips the verdict of a contrast."""
    found = table.deciding(unit, scale) if table else []
    if not found or table is None:
        return []
    named = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
    said = f"sensitive: single items decide the verdict ({len(found)} of {len(table.items)}: {named})"
    return [Flag("item_decides", "warning", said)]
