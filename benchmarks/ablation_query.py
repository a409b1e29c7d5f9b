"""The ablation table's content from 5M score rows."""

from __future__ import annotations

from benchmarks.common import Options, Result, Row, scratch, timed
from benchmarks.results_rebuild import LARGE_ROWS, finished
from specsci.database.connection import connect
from specsci.report.ablation import ablation
from specsci.results.build import build

GOAL_S = 1.0


def run(options: Options) -> Result:
    with scratch() as folder:
        store, total, _ = finished(folder, 2, LARGE_ROWS)
        build(store)

        def query() -> None:
            with connect(store.root) as db:
                ablation(db)

        took = timed(query, repeats=3)
    row = Row(f"ablation table from {total / 1e6:.1f}M rows", str(took), "< 1 s", took.wall_s < GOAL_S)
    return Result([row], ["Opens the database and reads the table's content; the best of three."])
