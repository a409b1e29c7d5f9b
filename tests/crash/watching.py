"""What tests of killed runs look at."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import harness

SCORES = "SELECT * EXCLUDE (study) FROM scores ORDER BY ALL"

def results(store: Path, query: str = SCORES) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(store / "results.duckdb"), read_only=True) as db:
        return db.execute(query).fetchall()


def assert_same(store: Path, straight: Path) -> None:
    """Two finished stores hold the same artefacts, file by file, and the same score rows."""
    ours, theirs = harness.records(store), harness.records(straight)
    assert set(ours) == set(theirs)
    assert {n: r["files"] for n, r in ours.items()} == {n: r["files"] for n, r in theirs.items()}
    assert harness.score_rows(store) == harness.score_rows(straight)
    assert results(store) == results(straight)


def wait_for(condition: Callable[[], Any], timeout_s: float = 60) -> Any:
    until = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < until, "nothing happened in time"
        time.sleep(0.02)
    return found


def done_steps(store: Path) -> int:
    return len(list(store.glob("steps/*/*/record.json")))
