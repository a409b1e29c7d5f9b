"""Requests and replies as they were, read from the ledger without writing anything."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from specsci.generate.ledger_file import reading


@dataclass(frozen=True)
class Exchange:
    """A request and its reply; `text` is empty where there is none."""

    digest: str
    state: str
    error: str
    sample: int
    messages: list[dict[str, str]]
    text: str


def exchanges(root: Path, digests: list[str]) -> list[Exchange]:
    """The requests of a store's ledger, in the given order; those that it lacks are left out.

    Raises:
        StoreError: the file is not a request ledger.
    """
    with reading(root) as db:
        found = [db.execute("SELECT * FROM requests WHERE digest = ?", (d,)).fetchone() for d in digests] if db else []
    out = []
    for row in found:
        if row is not None:
            asked = json.loads(row["request"])
            text = row["text"] or ""
            out.append(Exchange(row["digest"], row["state"], row["error"] or "", asked["sample"], asked["messages"], text))
    return out
