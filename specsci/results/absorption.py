"""The absorption of every midtrained model, from the probes' rows, and what a null result then means."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np

from specsci.findings import Flag
from specsci.plan.texts import NEUTRAL
from specsci.stats.absorption import absorption

_ROWS = """SELECT p.msm_spec, p.base_model, p.seed, p.text, p.stage, list(r.nll ORDER BY r.row), list(r.tokens ORDER BY r.row)
  FROM probes p JOIN probe_rows r USING (step_digest) WHERE p.study = ? GROUP BY ALL ORDER BY p.msm_spec, p.seed"""


def absorption_rows(db: duckdb.DuckDBPyConnection, study: str) -> list[dict[str, Any]]:
    """One row per midtrained model whose probes have been made."""
    losses: dict[tuple[str, str, int], dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]] = {}
    for variant, base, seed, text, stage, nll, tokens in db.execute(_ROWS, [study]).fetchall():
        losses.setdefault((variant, base, seed), {})[text, stage] = (np.array(nll), np.array(tokens))
    return [
        {"study": study, "msm_spec": variant, "base_model": base, "seed": seed, **_row(found)}
        for (variant, base, seed), found in losses.items()
        if ("own", "before") in found and ("own", "after") in found
    ]


def _row(found: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    def per_token(text: str, stage: str) -> float | None:
        nll, tokens = found.get((text, stage), (None, None))
        return None if nll is None or tokens is None else float(nll.sum() / tokens.sum())

    def change(text: str) -> np.ndarray | None:
        if (text, "before") not in found or (text, "after") not in found:
            return None
        return (found[text, "after"][0] - found[text, "before"][0]) / found[text, "before"][1]

    own = change("own")
    assert own is not None
    result = absorption(own, change("control"))
    return {
        **{f"{text}_{stage}": per_token(text, stage) for text in ("own", "control") for stage in ("before", "after")},
        "texts": len(own),
        "gain_nats": result.gain if result else None,
        "ci_low": result.ci_low if result else None,
        "ci_high": result.ci_high if result else None,
        "installed": result.installed if result else None,
    }


def null_flags(
    contrast: dict[str, Any], manifest: dict[str, Any], absorbed: list[dict[str, Any]], moved: bool | None
) -> list[Flag]:
    """What a contrast whose interval covers 0 may mean; empty where it does not cover 0, or no spec is in it.

    Args:
        contrast: a row of the table `contrasts`.
        moved: whether another contrast of the study moves the same eval; None where there is no other.
    """
    if contrast["ci_low"] is None or not contrast["ci_low"] <= 0 <= contrast["ci_high"]:
        return []
    specs = sorted({manifest["arms"][arm]["midtrain"] for arm in contrast["weights"]} - {None, NEUTRAL})
    found = {spec: [row["installed"] for row in absorbed if row["msm_spec"] == spec] for spec in specs}
    missing = [spec for spec, known in found.items() if False in known]
    if missing:
        return [Flag("null_not_installed", "warning", f"null: not installed ({', '.join(missing)})")]
    unknown = [spec for spec, known in found.items() if not known or None in known]
    if unknown:
        return [Flag("null_unknown", "warning", f"null: not known whether installed ({', '.join(unknown)})")]
    if moved is False:
        return [Flag("null_blind", "warning", "null: the eval is blind (no contrast of the study moves it)")]
    return [Flag("null_installed", "note", "null: installed, not told apart in behaviour")] if specs else []
