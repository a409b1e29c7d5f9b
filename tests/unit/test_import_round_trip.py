"""What a study gives out comes in again with the same numbers."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from specsci.cli.main import cli
from specsci.results.export import export
from specsci.results.imports import import_file
from specsci.store.artifact import Store

HEADER = "arm,seed,eval,aligned,valid,attempted"
COUNTS = [
    HEADER + ",msm_spec,aft_spec,aft_tokens",
    "#1 ä,1,q,3,9,10,m,,0",
    "#1 ä,1,q,4,9,10,m,x,4000",
    f"b,{2**40},r,0,0,7,,x,4000",
]
ANSWERS = [
    HEADER + ",item_id,cluster_id,state",
    *[f"a,{s},q,{(i + s) % 2},1,1,i{i},c{i % 2}," for i in range(5) for s in (1, 2)],
    "a,1,q,0,0,3,i9,,refused",
]
CELLS = "arm, base_model, msm_spec, aft_tokens, seed, eval, aligned, valid, attempted, rate_valid, rate_attempted"


def rates(store: Store, study: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(store.root / "results.duckdb"), read_only=True) as db:
        return db.execute(f"SELECT {CELLS} FROM rates WHERE study = ? ORDER BY ALL", [study]).fetchall()


@pytest.mark.parametrize("lines", [COUNTS, ANSWERS], ids=["counts", "answers"])
def test_exported_rates_and_printed_ones_come_in_again(tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "x.csv").write_text("\n".join(lines))
    store = Store(tmp_path / "store").open()
    import_file(store, tmp_path / "x.csv", "first")
    import_file(store, export(store, "first", tmp_path / "out") / "rates.parquet", "second")
    query = "SELECT * FROM rates WHERE study = 'first'"
    printed = CliRunner().invoke(cli, ["results", "sql", query, "--store", str(store.root), "--format", "csv"])
    assert printed.exit_code == 0, printed.output
    (tmp_path / "printed.csv").write_text(printed.output)
    import_file(store, tmp_path / "printed.csv", "third")
    assert rates(store, "first") == rates(store, "second") == rates(store, "third")
    assert len(rates(store, "first")) == len({tuple(r[:6]) for r in rates(store, "first")}) > 1
