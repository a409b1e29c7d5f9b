"""Contrasts of ordered grades by rank, beside the difference of their means."""

from __future__ import annotations

import math
from typing import Any

import duckdb
import numpy as np

from specsci.database.manifest import Manifest
from specsci.inference.declared_contrasts import cell_weights
from specsci.stats.superiority import Grades, compared

Place = tuple[str, int]
GRADES = """
SELECT base_model, seed, cluster_id, list(answer) FROM chosen_scores
WHERE study = $study AND eval = $eval AND subject = $subject AND aft_tokens = $aft_tokens AND state = 'ok' AND answer IS NOT NULL
GROUP BY ALL ORDER BY ALL"""


def ordinal_rows(db: duckdb.DuckDBPyConnection, manifest: Manifest) -> list[dict[str, Any]]:
    """Rows of the table `ordinal_contrasts`: of each declared contrast of one cell against another whose answers are ordered grades."""
    out = []
    for declared in manifest.contrasts:
        weights = cell_weights(manifest, declared)
        if manifest.readout_of(declared.eval).outcome != "ordinal" or sorted(weights.values()) != [-1.0, 1.0]:
            continue
        more, less = (next(cell for cell, w in weights.items() if w == sign) for sign in (1.0, -1.0))
        first, second = (_grades(db, manifest.study, declared.eval, cell) for cell in (more, less))
        shared = sorted(first.keys() & second.keys())
        if not shared:
            continue
        found = compared([(first[place], second[place]) for place in shared])
        numbers = {"superiority": found.estimate, "se": found.se, "ci_low": found.ci_low, "ci_high": found.ci_high, "p": found.p}
        known = {k: None if math.isnan(v) else v for k, v in numbers.items()}
        out.append({"study": manifest.study, "contrast": declared.name, "eval": declared.eval, **known, "n": found.n, "method": found.method})
    return out


def _grades(db: duckdb.DuckDBPyConnection, study: str, eval_name: str, cell: tuple[str, int]) -> dict[Place, Grades]:
    """Grades of a cell by replicate and cluster of items."""
    told = {"study": study, "eval": eval_name, "subject": cell[0], "aft_tokens": cell[1]}
    out: dict[Place, dict[str, Any]] = {}
    for base, seed, cluster, answers in db.execute(GRADES, told).fetchall():
        out.setdefault((base, seed), {})[cluster or ""] = np.array(answers, float)
    return dict(out)
