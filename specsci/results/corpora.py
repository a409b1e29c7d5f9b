"""How many distinct documents the corpora of a study hold, and what the two sides of a contrast have of them.

Corpora of equal tokens may be few documents read often or many read once. That is measured and stands beside the contrast.
"""

from __future__ import annotations

from typing import Any

import duckdb

from specsci.findings import Flag

APART = 1.5
"""Corpora whose documents are repeated this many times as often as another's are said."""
_COUNTS = """
INSERT INTO corpus_counts
SELECT study, msm_spec, count(*) AS corpora, avg(documents), avg(distinct_documents), avg(distinct_documents / documents),
       sum(documents) / sum(distinct_documents)
FROM (
  SELECT s.study, d.msm_spec, d.step_digest, count(*) AS documents, count(DISTINCT d.text) AS distinct_documents
  FROM documents d JOIN steps s ON s.step_digest = d.step_digest AND s.kind = 'corpus' GROUP BY ALL)
GROUP BY ALL"""


def add_corpus_counts(db: duckdb.DuckDBPyConnection) -> None:
    """Fill the table `corpus_counts` from the documents: one row per study and spec, means over its corpora."""
    db.execute(_COUNTS)


def distinct_shares(db: duckdb.DuckDBPyConnection, study: str) -> dict[str, tuple[float, float]]:
    """Spec to its distinct documents and their share of all, means over its corpora."""
    query = "SELECT msm_spec, distinct_documents, distinct_share FROM corpus_counts WHERE study = ?"
    return {spec: (float(count), float(share)) for spec, count, share in db.execute(query, [study]).fetchall()}


def distinct_flags(
    arms: dict[str, dict[str, Any]], weights: dict[str, float], shares: dict[str, tuple[float, float]]
) -> list[Flag]:
    """A flag where documents are repeated far more often on one side of a contrast than on the other.

    Args:
        arms: the study's, each with the spec that it was midtrained on (`midtrain`).
        weights: of the contrast; a side is the arms of one sign.
    """
    sides = [
        sorted({arms[arm]["midtrain"] for arm, w in weights.items() if w * sign > 0 and arms[arm]["midtrain"] in shares})
        for sign in (1, -1)
    ]
    pairs = [(a, b) for a in sides[0] for b in sides[1] if a != b]
    if not any(_apart(shares[a][1], shares[b][1]) for a, b in pairs):
        return []
    said = [f"{spec} {shares[spec][0]:,.0f} ({shares[spec][1]:.0%} of all)" for spec in dict.fromkeys(sides[0] + sides[1])]
    return [Flag("distinct_documents_differ", "warning", f"distinct documents differ: {', '.join(said)}")]


def _apart(first: float, second: float) -> bool:
    return max(first, second) > APART * min(first, second)
