"""What is wrong with the request ledger of a store: a damaged file, and replies behind artefacts that it does not have."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.parquet as pq

from specsci.core.errors import StoreError
from specsci.core.kinds import names
from specsci.generate.ledger_file import FILE, reading
from specsci.store.artifact import Store

ROWS = "requests.parquet"
KEEP = "put back the store's own requests.sqlite from a backup; without it these texts stay, but making them again is paid again"


def ledger_troubles(store: Store) -> Iterator[tuple[str, str, str]]:
    """Where it lies, what is wrong, and what helps. Nothing is repaired: what was paid for is never moved away."""
    path, said, have = store.root / FILE, "ok", set[str]()
    try:
        with reading(store.root) as db:
            if db is not None:
                (said,) = db.execute("PRAGMA quick_check(1)").fetchone()
                have = {digest for (digest,) in db.execute("SELECT digest FROM requests WHERE text IS NOT NULL OR state = 'refused'")}
    except StoreError as error:
        said = error.what
    if said != "ok":
        yield str(path), f"the request ledger is damaged: {said.splitlines()[0]}", KEEP
        return
    for kind in names(lambda kind: kind.asks):
        for record in store.records(kind):
            rows = store.path(kind, record.digest) / ROWS
            if not rows.is_file():
                continue
            with rows.open("rb") as file:
                table = pq.ParquetFile(file).read(columns=["request_digest", "state"]).to_pylist()
            gone = [row for row in table if row["state"] == "ok" and row["request_digest"] not in have]
            if gone:
                yield str(path), f"{len(gone):,} of {len(table):,} replies behind {record.label} are not in the request ledger", KEEP
