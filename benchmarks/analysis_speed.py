"""Every rate and every contrast of a study from 5M score rows: ours, the same in pandas, the same in SQLite; one run."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.common import Options, Result, Row, Timing, scratch, seconds, timed
from benchmarks.results_rebuild import LARGE_ROWS, finished
from specsci.database.connection import connect
from specsci.inference.contrast import contrast
from specsci.inference.contrast_spec import ContrastSpec
from specsci.report.ablation import ablation
from specsci.results.build import build
from specsci.stats.bootstrap import hierarchical_bootstrap

REPLICATES, LARGE = 4, LARGE_ROWS // 2
BOOTSTRAP_SEEDS, BOOTSTRAP_ROWS, DRAWS = 4, 8_100, 10_000
GROUPED = (
    "SELECT eval, arm, aft_tokens, base_model, count(*), sum(aligned) FROM scores GROUP BY eval, arm, aft_tokens, base_model"
)


def run(options: Options) -> Result:
    with scratch() as folder:
        store, total, _ = finished(folder, REPLICATES, LARGE)
        build(store)
        asked = _declared(store.root)

        def ours() -> list[float]:
            with connect(store.root) as db:
                ablation(db)
                return [contrast(db, a)["estimate"] for a in asked]

        def printed() -> None:
            with connect(store.root) as db:
                ablation(db)

        mine, table_alone = timed(ours, repeats=3), timed(printed, repeats=3)
        frame = _frame(store.root)
        pandas = timed(lambda: _contrasts(_grouped_by_pandas(frame), asked), repeats=3)
        _check(ours(), _contrasts(_grouped_by_pandas(frame), asked))
        table = _sqlite(folder / "scores.sqlite", frame)
        sqlite = timed(lambda: _contrasts(_grouped_by_sqlite(table), asked), repeats=1)
        _check(ours(), _contrasts(_grouped_by_sqlite(table), asked))
        table.close()
    rng = np.random.default_rng(0)
    answers = [[rng.integers(0, 2, BOOTSTRAP_ROWS // 27).astype(float) for _ in range(27)] for _ in range(BOOTSTRAP_SEEDS)]
    drawn = timed(lambda: hierarchical_bootstrap(answers, draws=DRAWS), repeats=3)
    what = f"all rates and {len(asked)} contrasts from {total / 1e6:.1f}M rows"
    rows = [
        _against(f"{what}, as the ablation table prints them", table_alone, "pandas", pandas),
        _against(f"{what}, as the ablation table prints them", table_alone, "SQLite", sqlite),
        _against(f"{what}, estimated anew with every flag", mine, "pandas", pandas),
        _against(f"{what}, estimated anew with every flag", mine, "SQLite", sqlite),
        Row(
            f"hierarchical bootstrap, {DRAWS:,} draws over {BOOTSTRAP_SEEDS} x {BOOTSTRAP_ROWS:,} answers", seconds(drawn.wall_s),
            "< 10 s", drawn.wall_s < 10,
        ),
    ]  # fmt: skip
    notes = [
        "Ours opens the database; answers were counted and declared contrasts tested when it was built (`results_rebuild`). Anew: "
        "every contrast is estimated again, and its flags leave out every replicate and every item in turn. pandas starts from a "
        "DataFrame in memory and SQLite from a table with an index on what is grouped by; both give rates and paired t-tests "
        "alone, no flags, and their estimates are checked to be ours."
    ]
    return Result(rows, notes)


def _against(what: str, ours: Timing, peer: str, theirs: Timing) -> Row:
    ratio = theirs.wall_s / ours.wall_s
    return Row(f"{what}, against {peer}", str(ours), "faster", ratio > 1, str(theirs), f"{ratio:.1f}x")


def _declared(root: Path) -> list[ContrastSpec]:
    """The study's own contrasts on the rate scale, as questions."""
    with connect(root) as db:
        found = db.execute("SELECT study, eval, weights, budget_tokens FROM contrasts WHERE scale = 'rate'").fetchall()
    return [ContrastSpec(study, name, json.loads(weights), int(budget) or None) for study, name, weights, budget in found]


def _frame(root: Path) -> pd.DataFrame:
    with duckdb.connect(str(root / "results.duckdb"), read_only=True) as db:
        return db.sql("SELECT eval, arm, aft_tokens, base_model, seed, aligned::INT AS aligned FROM scores").df()


def _grouped_by_pandas(frame: pd.DataFrame) -> dict[tuple[Any, ...], float]:
    grouped = frame.groupby(["eval", "arm", "aft_tokens", "base_model"], observed=True)["aligned"].mean()
    return {(e, a, int(b), base): float(v) for (e, a, b, base), v in grouped.items()}


def _sqlite(path: Path, frame: pd.DataFrame) -> sqlite3.Connection:
    db = sqlite3.connect(path)
    frame.to_sql("scores", db, index=False, chunksize=100_000)
    db.execute("CREATE INDEX grouped ON scores (eval, arm, aft_tokens, base_model, aligned)")
    db.commit()
    return db


def _grouped_by_sqlite(db: sqlite3.Connection) -> dict[tuple[Any, ...], float]:
    return {(e, a, int(b), base): aligned / n for e, a, b, base, n, aligned in db.execute(GROUPED).fetchall()}


def _contrasts(rates: dict[tuple[Any, ...], float], asked: list[ContrastSpec]) -> list[float]:
    """Estimates of paired t-tests over bases, from grouped rates."""
    bases = sorted({key[3] for key in rates})
    out = []
    for a in asked:
        values = np.zeros(len(bases))
        for arm, weight in a.weights.items():
            budget = a.budget_tokens if (a.eval, arm, a.budget_tokens or 0, bases[0]) in rates else 0
            values += weight * np.array([rates[a.eval, arm, budget or 0, base] for base in bases])
        stats.ttest_1samp(values, 0)
        out.append(float(values.mean()))
    return out


def _check(ours: list[float], theirs: list[float]) -> None:
    if not np.allclose(ours, theirs, atol=1e-9):
        raise RuntimeError(f"the estimates differ: {ours} and {theirs}")
