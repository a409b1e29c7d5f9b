"""Rates of a study by arm, eval, budget and cluster, from the database's `rates` view."""

from __future__ import annotations

import math
from typing import Any

import duckdb
import numpy as np

from specsci.inference.denominator import Denominator

RateKey = tuple[str, str, int]
"""(subject, eval, aft_tokens); a subject is an arm, or an arm under a condition (see `specsci.core.levels`)."""
Pair = tuple[str, int]
"""A replicate: (base_model, seed)."""


def unit_of(bases: set[str]) -> str:
    """What a replicate is: a base model where a study has several, else a seed."""
    return "base_model" if len(bases) > 1 else "seed"


class Rates:
    """Aligned rates of one study by arm, eval, AFT tokens and replicate, and how replicates group into clusters.

    Of each eval the readout that its study takes; where answers are not binary, means of their values stand for rates.

    A cluster is a base model where the study has several, else a seed: seeds that share a base are averaged first, so that data
    order alone never passes for a replicate.
    """

    def __init__(self, db: duckdb.DuckDBPyConnection, study: str) -> None:
        rows = db.execute(
            "SELECT subject, eval, aft_tokens, base_model, seed, aligned, valid, attempted, "
            "CASE WHEN outcome = 'binary' THEN rate_valid ELSE mean_value END, rate_attempted, items, readout, chosen, truncated "
            "FROM rates WHERE study = ?",
            [study],
        ).fetchall()
        self.readings: dict[tuple[str, str], dict[tuple[str, int], dict[Pair, float | None]]] = {}
        """(eval, readout) to (subject, AFT tokens) to the rates of valid answers by replicate; None where none is valid."""
        for r in rows:
            self.readings.setdefault((r[1], r[11]), {}).setdefault((r[0], r[2]), {})[r[3], r[4]] = r[8]
        self.truncated: dict[RateKey, int] = {}
        """Answers that were cut off at their token limit."""
        for r in rows:
            if r[12]:
                self.truncated[r[0], r[1], r[2]] = self.truncated.get((r[0], r[1], r[2]), 0) + (r[13] or 0)
        rows = [r[:11] for r in rows if r[12]]
        self.unit = unit_of({r[3] for r in rows})
        self.clusters: list[Any] = sorted({self.cluster_of((r[3], r[4])) for r in rows})
        self.values: dict[Denominator, dict[RateKey, dict[Pair, float]]] = {"valid": {}, "attempted": {}}
        self.counts: dict[RateKey, tuple[int, int, int]] = {}
        self.valid_items: dict[RateKey, dict[Pair, float]] = {}
        for arm, name, budget, base, seed, aligned, valid, attempted, of_valid, of_attempted, items in rows:
            key = (arm, name, budget)
            if of_valid is not None:
                self.values["valid"].setdefault(key, {})[base, seed] = of_valid
            if of_attempted is not None:
                self.values["attempted"].setdefault(key, {})[base, seed] = of_attempted
            self.valid_items.setdefault(key, {})[base, seed] = valid * (items / attempted if items else 1.0)
            old = self.counts.get(key, (0, 0, 0))
            self.counts[key] = (old[0] + aligned, old[1] + valid, old[2] + attempted)
        self.items = items_of(db, study)
        for name in {r[1] for r in rows} - set(self.items):  # counts alone: what a rate is over stands in for its items
            self.items[name] = max(1, round(float(np.mean([r[6] for r in rows if r[1] == name]))))

    def cluster_of(self, pair: Pair) -> Any:
        """The cluster of a replicate: its base model or its seed, as the study's unit is."""
        return pair[0] if self.unit == "base_model" else pair[1]

    def truncated_share(self, arm: str, name: str, budget: int) -> float:
        """The share of an arm's answers that were cut off at their token limit."""
        attempted = self.counts.get((arm, name, budget), (0, 0, 0))[2]
        return self.truncated.get((arm, name, budget), 0) / attempted if attempted else 0.0

    def column(self, arm: str, name: str, budget: int) -> np.ndarray:
        """Rates of valid answers by cluster; NaN where a cluster has none."""
        found = self.values["valid"].get((arm, name, budget), {})
        return np.array([mean_or_nan([v for p, v in found.items() if self.cluster_of(p) == c]) for c in self.clusters])

    def readouts_of(self, name: str) -> list[str]:
        """The readouts that an eval's scores have."""
        return sorted(readout for of, readout in self.readings if of == name)

    def read_by(self, readout: str, arm: str, name: str, budget: int, pairs: list[Pair]) -> dict[Pair, float | None]:
        """The same as `by_replicate`, in a named readout."""
        found = self.readings.get((name, readout), {}).get((arm, budget), {})
        return {p: (math.nan if found[p] is None else found[p]) if p in found else None for p in pairs}

    def by_replicate(self, arm: str, name: str, budget: int, pairs: list[Pair]) -> dict[Pair, float | None]:
        """Rates of valid answers of the named replicates: NaN where no answer is valid, None where nothing was scored."""
        key = (arm, name, budget)
        found, scored = self.values["valid"].get(key, {}), self.valid_items.get(key, {})
        return {p: found.get(p, math.nan if p in scored else None) for p in pairs}

    def own_items(self, arm: str, name: str, budget: int) -> np.ndarray:
        """What the rates of `column` are over, by cluster: items that this arm answered validly, answers where only counts are known."""
        found = self.valid_items.get((arm, name, budget), {})
        return np.array([mean_or_nan([v for p, v in found.items() if self.cluster_of(p) == c and v]) for c in self.clusters])

    def paired(
        self, name: str, arms: list[list[tuple[str, int]]], denominator: Denominator = "valid"
    ) -> tuple[np.ndarray, list[Pair]]:
        """Rates of several arms, each the mean over its cells (arm, AFT tokens), by cluster, and the replicates used.

        Only replicates that have every cell count, so that within a base the arms are of the same seeds; shape (clusters, arms).
        """
        found = [[self.values[denominator].get((arm, name, budget), {}) for arm, budget in cells] for cells in arms]
        every = [rates for cells in found for rates in cells]
        pairs = sorted(set.intersection(*(set(rates) for rates in every)), key=lambda p: (p[1], p[0])) if every else []
        rows = [[float(np.mean([rates[p] for rates in cells])) for cells in found] for p in pairs]
        return by_cluster(np.array(rows).reshape(-1, len(arms)), [self.cluster_of(p) for p in pairs]), pairs


def by_cluster(rows: np.ndarray, clusters: list[Any]) -> np.ndarray:
    """Rows of replicates averaged within their cluster, clusters in the order of their first row."""
    order = list(dict.fromkeys(clusters))
    labels = np.array([order.index(c) for c in clusters])
    return np.array([rows[labels == n].mean(axis=0) for n in range(len(order))]).reshape(-1, *rows.shape[1:])


def mean_or_nan(values: list[float]) -> float:
    """The mean; NaN where there are no values."""
    return float(np.mean(values)) if values else math.nan


def items_of(db: duckdb.DuckDBPyConnection, study: str) -> dict[str, int]:
    """Distinct items by eval, for evals with single answers."""
    query = "SELECT eval, items FROM item_counts WHERE study = ?"
    return {name: int(count) for name, count in db.execute(query, [study]).fetchall() if count}
