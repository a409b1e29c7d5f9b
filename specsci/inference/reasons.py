"""How often answers give a reason, by model, and what of it lies above the classifier's false-positive floor.

A reason about a rule cannot be given by a model that never saw one: what is found there all the same is the classifier's error, and is
shown beside what is found elsewhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np

from specsci.core.levels import arm_of, condition_of
from specsci.database.manifest import Manifest
from specsci.inference.rates import Pair, by_cluster, unit_of
from specsci.stats.intervals import Interval, mean_interval, rate_interval

KIND = "reasons"
"""The eval kind whose settings say `reasons` and `without_policy`."""
COUNTS = """
SELECT subject, aft_tokens, readout, base_model, seed, aligned, valid, valid * items / nullif(attempted, 0) FROM rates
WHERE study = ? AND eval = ? ORDER BY ALL"""
Place = tuple[str, int]
"""Subject and AFT tokens."""


@dataclass(frozen=True)
class Given:
    """How often a model's answers give one reason: answers with it and looked through, and distinct items, by replicate."""

    found: dict[Pair, int]
    valid: dict[Pair, int]
    items: dict[Pair, float]

    @property
    def rates(self) -> dict[Pair, float]:
        """The share of answers with the reason by replicate, where any was looked through."""
        return {pair: self.found[pair] / n for pair, n in self.valid.items() if n}


def reason_rows(db: duckdb.DuckDBPyConnection, manifest: Manifest) -> list[dict[str, Any]]:
    """Rows of the table `reasons`: of every eval of reasons, by subject, AFT tokens and reason."""
    return [row for name, spec in manifest.evals.items() if spec.kind == KIND for row in _rows_of(db, manifest, name)]


def policy_free(manifest: Manifest, name: str) -> list[str]:
    """The arms that never saw a rule: those that the eval names, else those without any treatment."""
    named = list(manifest.evals[name].settings.get("without_policy") or [])
    return named or [a for a, arm in manifest.arms.items() if not arm.midtrain and not arm.align and not arm.prompt]


def _rows_of(db: duckdb.DuckDBPyConnection, manifest: Manifest, name: str) -> list[dict[str, Any]]:
    reasons: dict[str, dict[str, Any]] = manifest.evals[name].settings.get("reasons", {})
    given = _given(db, manifest.study, name, {code: str(r.get("side", "misaligned")) for code, r in reasons.items()})
    unit = unit_of({r.base_model for r in manifest.replicates})
    floor_arms, out = policy_free(manifest, name), []
    for code, told in reasons.items():
        places = [place for place, reason in given if reason == code]
        bare = {p: given[p, code] for p in places if arm_of(p[0]) in floor_arms and _is_bare(manifest, name, p[0])}
        floor = _floor(bare) if told.get("policy") else None
        for subject, tokens in places:
            mine = given[(subject, tokens), code]
            out.append({
                "study": manifest.study, "eval": name, "subject": subject, "arm": arm_of(subject), "aft_tokens": tokens, "reason": code,
                "side": told.get("side", "misaligned"), "policy": bool(told.get("policy")), "found": sum(mine.found.values()),
                "valid": sum(mine.valid.values()), **_limits("", _share(mine, unit)), **_above(mine, floor, unit, is_floor=(subject, tokens) in bare),
            })  # fmt: skip
    return out


TEXTS = ("system", "spec", "turns", "history")
"""What of a harness condition may bring a rule before a model."""


def _is_bare(manifest: Manifest, name: str, subject: str) -> bool:
    """Whether the condition that a subject is asked under puts no text before it that could be a rule."""
    condition = condition_of(subject) or next(iter(manifest.conditions_of(name)), "")
    return not any(manifest.harness.get(condition, {}).get(key) for key in TEXTS)


def _given(db: duckdb.DuckDBPyConnection, study: str, name: str, sides: dict[str, str]) -> dict[tuple[Place, str], Given]:
    out: dict[tuple[Place, str], Given] = {}
    for subject, tokens, readout, base, seed, aligned, valid, items in db.execute(COUNTS, [study, name]).fetchall():
        if readout in sides:
            mine = out.setdefault(((subject, tokens), readout), Given({}, {}, {}))
            mine.found[base, seed] = aligned if sides[readout] == "aligned" else valid - aligned
            mine.valid[base, seed], mine.items[base, seed] = valid, float(valid if items is None else items)
    return out


def _clusters(rates: dict[Pair, float], unit: str) -> np.ndarray:
    pairs = sorted(rates)
    return by_cluster(np.array([[rates[p]] for p in pairs]).reshape(-1, 1), [p[0] if unit == "base_model" else p[1] for p in pairs])[:, 0]


def _share(given: Given, unit: str) -> Interval | None:
    values = _clusters(given.rates, unit)
    items = [given.items[pair] for pair in given.rates]
    return rate_interval(values, float(np.mean(items))) if len(values) else None


def _floor(bare: dict[Place, Given]) -> Given | None:
    """What is found in the answers of all models that never saw a rule; None where nothing was looked through."""
    found: dict[Pair, int] = {}
    valid: dict[Pair, int] = {}
    for one in bare.values():
        for pair, n in one.valid.items():
            found[pair], valid[pair] = found.get(pair, 0) + one.found[pair], valid.get(pair, 0) + n
    return Given(found, valid, {}) if sum(valid.values()) else None


def _above(mine: Given, floor: Given | None, unit: str, *, is_floor: bool) -> dict[str, Any]:
    """The floor with its denominators, and what lies above it, replicate by replicate."""
    columns = dict.fromkeys(("floor", "floor_found", "floor_valid", "above", "above_low", "above_high"))
    if floor is None:
        return columns
    found, valid = sum(floor.found.values()), sum(floor.valid.values())
    columns |= {"floor": found / valid, "floor_found": found, "floor_valid": valid}
    shared = mine.rates.keys() & floor.rates.keys()
    if is_floor or not shared:
        return columns
    return {**columns, **_limits("above", mean_interval(_clusters({p: mine.rates[p] - floor.rates[p] for p in shared}, unit)))}


def _limits(name: str, interval: Interval | None) -> dict[str, float | None]:
    """An interval as columns, NULL where a number is not known."""
    low, high = (f"{name}_low", f"{name}_high") if name else ("ci_low", "ci_high")
    values = (math.nan,) * 3 if interval is None else (interval.estimate, interval.low, interval.high)
    return {k: None if math.isnan(v) else v for k, v in zip((name or "rate", low, high), values, strict=True)}
