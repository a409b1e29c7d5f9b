"""What `study status` says of requests: read from the ledger's file, without writing anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from specsci.generate.ledger import ALL
from specsci.generate.ledger_file import reading


def read_summary(root: Path, study: str | None = None) -> list[dict[str, Any]]:
    """Requests, batches and dollars by study and generator, without writing anything: what `study status` shows.

    Args:
        study: one study alone; all where not given.

    Raises:
        StoreError: the file is not a request ledger.
    """
    with reading(root) as db:
        found = [dict(row) for row in db.execute(_SUMMARY)] if db else []
    return [row for row in found if study is None or row["study"] == study]


_SUMMARY = f"""
SELECT r.study, r.generator, count(*) AS requests,
       count(*) FILTER (WHERE state = 'ok') AS ok,
       count(*) FILTER (WHERE state IN ('refused', 'truncated', 'unparsed')) AS unusable,
       count(*) FILTER (WHERE state IN ('error', 'expired', 'cancelled')) AS failed,
       count(*) FILTER (WHERE state IN ('reserved', 'submitted')) AS in_flight,
       (SELECT count(*) FROM batches b WHERE b.study = r.study AND b.generator = r.generator AND b.state IN ('intent', 'submitted')) AS open_batches,
       (SELECT settled_usd FROM spent s WHERE s.scope = r.study || '/' || r.generator) AS usd,
       (SELECT reserved_usd + unknown_usd FROM spent s WHERE s.scope = r.study || '/' || r.generator) AS may_cost_usd
FROM requests r WHERE r.study != '{ALL}' GROUP BY r.study, r.generator ORDER BY r.study, r.generator
"""
