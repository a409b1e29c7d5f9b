"""results.duckdb from the score files: many small ones as the microlab writes them, and fewer large ones."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.common import Options, Result, Row, scratch, timed
from benchmarks.synthetic import REALISTIC_ROWS, fill, planned
from specsci.database.manifest import write_manifest
from specsci.results.build import build
from specsci.store.artifact import Store

GOAL_ROWS_PER_S = 1_000_000
LARGE_ROWS = 12_500


def finished(folder: Path, replicates: int, rows: int) -> tuple[Store, int, int]:
    """A store of a finished study; its score rows and score files."""
    _, plan = planned(folder, replicates)
    store = Store(folder / f"store-{replicates}").open()
    total = fill(store, plan, rows)
    write_manifest(store, plan)
    return store, total, len(plan.of_kind("score"))


def run(options: Options) -> Result:
    table = []
    with scratch() as folder:
        for replicates, rows in ((7, REALISTIC_ROWS), (2, LARGE_ROWS)):
            store, total, files = finished(folder, replicates, rows)
            took = timed(lambda store=store: build(store), repeats=2)
            speed = total / took.wall_s
            what = f"rebuild from {files:,} files of {rows:,} rows"
            table.append(Row(what, f"{speed / 1e6:.2f}M rows/s ({took})", ">= 1M rows/s", speed >= GOAL_ROWS_PER_S))
            shutil.rmtree(store.root)
    return Result(table, ["Every score file's SHA-256 is checked, the declared answers are computed; the faster of two."])
