"""Rates of a study by arm, eval, budget and cluster, from the database's `rates` view."""

from __future__ import annotations

import math
from typing import Any

import duckdb
import numpy as np

from specsci.results.denominator import Denominator

RateKey = tuple[str, str, int]
"""(arm, eval, aft_tokens)."""


def unit_of(bases: set[str]) -> str:
    """What a replicate is: a base model where a study has several, else a seed."""
    return "base_model" if len(bases) > 1 else "seed"


class Rates:
    """Aligned rates of one study: per arm, eval and budget one number per cluster, clusters in one order.

    A cluster is a base model where the study has several, else a seed: seeds that share a base are
    averaged first, so that data order alone never passes for a replicate.
    """

    def __init__(self, db: duckdb.DuckDBPyConnection, study: str) -> None:
        rows = db.execute(
            "SELECT arm, eval, aft_tokens, base_model, seed, aligned, decided, asked, rate_decided, rate_asked FROM rates WHERE study = ?",
            [study],
        ).fetchall()
        self.unit = unit_of({r[3] for r in rows})
        self.clusters: list[Any] = sorted({r[3] if self.unit == "base_model" else r[4] for r in rows})
        grouped: dict[Denominator, dict[RateKey, dict[Any, list[float]]]] = {"decided": {}, "asked": {}}
        self.counts: dict[RateKey, tuple[int, int, int]] = {}
        for arm, name, budget, base, seed, aligned, decided, asked, of_decided, of_asked in rows:
            key = (arm, name, budget)
            cluster = base if self.unit == "base_model" else seed
            if of_decided is not None:
                grouped["decided"].setdefault(key, {}).setdefault(cluster, []).append(of_decided)
            grouped["asked"].setdefault(key, {}).setdefault(cluster, []).append(of_asked)
            old = self.counts.get(key, (0, 0, 0))
            self.counts[key] = (old[0] + aligned, old[1] + decided, old[2] + asked)
        self.values = {
            denominator: {key: {c: float(np.mean(rates)) for c, rates in by.items()} for key, by in by_key.items()}
            for denominator, by_key in grouped.items()
        }
        items = db.execute(
            "SELECT eval, count(DISTINCT item_id) FROM scores WHERE study = ? GROUP BY eval", [study]
        ).fetchall()
        self.items = {name: int(count) for name, count in items if count}
        for name in {r[1] for r in rows} - set(self.items):  # counts alone: what a rate is over stands in for its items
            self.items[name] = max(1, round(float(np.mean([r[6] for r in rows if r[1] == name]))))

    def column(self, arm: str, name: str, budget: int, denominator: Denominator = "decided") -> np.ndarray:
        """Rates by cluster; NaN where a cluster has none."""
        found = self.values[denominator].get((arm, name, budget), {})
        return np.array([found.get(c, math.nan) for c in self.clusters])
