"""What `study status` says of requests: read from the ledger's file, without writing anything."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from specsci.generate.ledger import ALL, FILE, unusable


def read_summary(root: Path, study: str | None = None) -> list[dict[str, Any]]:
    """Requests, batches and dollars by study and generator, without writing anything: what `study status` shows.

    Args:
        study: one study alone; all where not given.

    Raises:
        StoreError: the file is not a request ledger.
    """
    path = root / FILE
    if not path.is_file():
        return []
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=30)) as db:
            db.row_factory = sqlite3.Row
            return [found for found in map(dict, db.execute(_SUMMARY)) if study is None or found["study"] == study]
    except sqlite3.DatabaseError as error:
        raise unusable(path, error) from error


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
