"""A contrast item by item: what its noise is made of, and whether single items decide it."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from specsci.stats.components import Components, variance_components

CellWeights = dict[tuple[str, int], float]
"""(arm, AFT tokens) to its weight in a contrast."""
READ = """
SELECT base_model, seed, item_id, concat_ws('/', readout, variant, sample) AS repeat, sum(w.weight * aligned::INT) AS value
FROM scores JOIN weights w USING (arm, aft_tokens)
WHERE study = $study AND eval = $eval AND item_id IS NOT NULL
GROUP BY ALL HAVING count(aligned) = $cells AND count(*) = $cells"""


@dataclass(frozen=True)
class ItemTable:
    """A contrast's value by replicate, item and repeat (readout, option order and sample), where all arms answered.

    `values` has shape (replicates, items, repeats); `bases` and `items` are labels. Items that lack an answer somewhere are
    left out, and counted in `incomplete_items`.
    """

    values: np.ndarray
    bases: np.ndarray
    items: list[str]
    incomplete_items: int

    def by_cluster(self, unit: str) -> np.ndarray:
        """Means over repeats by cluster (base models, or replicates) and item, shape (clusters, items)."""
        means = self.values.mean(axis=2)
        if unit != "base_model":
            return np.asarray(means)
        return np.array([means[self.bases == base].mean(axis=0) for base in np.unique(self.bases)])

    def components(self) -> Components | None:
        """The noise budget; None where there are not two replicates and two items."""
        if min(self.values.shape[:2]) < 2:
            return None
        return variance_components(self.values, self.bases)


def item_table(db: duckdb.DuckDBPyConnection, study: str, name: str, weights: CellWeights) -> ItemTable | None:
    """The table of a contrast; None where the study holds no single answers that all arms gave."""
    arms, budgets = zip(*weights, strict=True)
    db.register("weights", pa.table({"arm": arms, "aft_tokens": budgets, "weight": list(map(float, weights.values()))}))
    found = db.execute(READ, {"study": study, "eval": name, "cells": len(weights)}).fetchnumpy()
    db.unregister("weights")
    if not len(found["value"]):
        return None
    items, item = np.unique(found["item_id"].astype(str), return_inverse=True)
    repeats, repeat = np.unique(found["repeat"].astype(str), return_inverse=True)
    pairs = np.array([f"{seed}\t{base}" for base, seed in zip(found["base_model"], found["seed"], strict=True)])
    replicates, replicate = np.unique(pairs, return_inverse=True)
    values = np.full((len(replicates), len(items), len(repeats)), np.nan)
    values[replicate, item, repeat] = found["value"]
    whole = ~np.isnan(values).any(axis=(0, 2))
    if not whole.any():
        return None
    bases = np.array([r.split("\t", 1)[1] for r in replicates])
    return ItemTable(values[:, whole], bases, [str(i) for i in items[whole]], int((~whole).sum()))
