"""The absorption of every midtrained model, from the probes' rows."""

from __future__ import annotations

import math
from typing import Any

import duckdb
import numpy as np

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

    def change(text: str) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Of each text, in nats, and its tokens."""
        if (text, "before") not in found or (text, "after") not in found:
            return None, None
        return found[text, "after"][0] - found[text, "before"][0], found[text, "before"][1]

    own, tokens = change("own")
    assert own is not None
    control, control_tokens = change("control")
    result = absorption(own, control, tokens, control_tokens)
    return {
        **{f"{text}_{stage}": per_token(text, stage) for text in ("own", "control") for stage in ("before", "after")},
        "texts": len(own),
        "gain_nats": result.gain if result else None,
        "ci_low": _known(result.ci_low) if result else None,
        "ci_high": _known(result.ci_high) if result else None,
        "installed": result.installed if result and not math.isnan(result.ci_low) else None,
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
