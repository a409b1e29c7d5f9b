"""How many distinct documents the corpora of a study hold, and what the two sides of a contrast have of them.

Corpora of equal tokens may be few documents read often or many read once. That is measured and stands beside the contrast
(`specsci.plan.distinct` says when).
"""

from __future__ import annotations

import duckdb

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
