"""The analyst's way, executed as it is documented: the scripts, the SQL files and the notebook, on a study that was run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import harness
import pytest

ANALYSIS = Path(__file__).parents[2] / "analysis"


def run_script(name: str, store: Path, out: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(ANALYSIS / name), "--store", str(store), "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_table_comes_again_from_the_rows(finished_tiny: harness.Finished, tmp_path: Path) -> None:
    run_script("01_tables.py", finished_tiny.store, tmp_path)
    assert {"study_tiny.md", "fig14.tex", "fig2.csv"} <= {p.name for p in tmp_path.iterdir()}
    code, out, _ = harness.run("report", "table", "ablation", "--store", finished_tiny.store, "--format", "csv")
    assert code == 0 and (tmp_path / "study_tiny.csv").read_text() == out


@pytest.mark.slow
def test_every_figure_comes_again(finished_tiny: harness.Finished, tmp_path: Path) -> None:
    run_script("02_figures.py", finished_tiny.store, tmp_path)
    assert {f"tiny_{n}.svg" for n in ("forest", "curves", "grid", "noise", "denominators")} <= {
        p.name for p in tmp_path.iterdir()
    }


@pytest.mark.parametrize("file", sorted(p.name for p in (ANALYSIS / "sql").glob("*.sql")))
def test_every_query_runs_in_plain_duckdb(finished_tiny: harness.Finished, file: str) -> None:
    with duckdb.connect(str(finished_tiny.store / "results.duckdb"), read_only=True) as db:
        rows = db.sql((ANALYSIS / "sql" / file).read_text()).fetchall()
    assert rows or file == "claims.sql", "the study made no claim, and all else has rows"


def test_all_queries_are_kept_as_csv(finished_tiny: harness.Finished, tmp_path: Path) -> None:
    said = run_script("03_queries.py", finished_tiny.store, tmp_path)
    assert len(said.splitlines()) == len(list(tmp_path.glob("*.csv"))) == len(list((ANALYSIS / "sql").glob("*.sql")))


@pytest.mark.slow
def test_the_notebook_runs_to_its_end(finished_tiny: harness.Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    monkeypatch.setenv("SPECSCI_STORE", str(finished_tiny.store))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ANALYSIS.parent), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(ANALYSIS / "analyst.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "kept without outputs"
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    assert any("image/png" in o.get("data", {}) for o in outputs), "the figure was drawn"
    assert any("'ci_low'" in o.get("data", {}).get("text/plain", "") for o in outputs), "a contrast of one's own"
