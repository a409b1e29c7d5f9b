"""A whole study in this process: every action, the runner, the results and the reports, so that a failing line is named."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import duckdb
import harness
import pytest
from click.testing import CliRunner

import specsci
from specsci.api import Run
from specsci.cli.main import cli
from specsci.core.errors import GateRefused, StepFailed, UserError
from specsci.core.kinds import KINDS
from specsci.core.step import Step
from specsci.execute.live import Lines, Quiet


class Seen(Quiet):
    """Keeps what the run says of its steps."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def started(self, step: Step) -> None:
        self.events.append(("started", step.label))

    def ended(self, step: Step, state: str, seconds: float, error: str) -> None:
        self.events.append((state, step.label))

    def note(self, text: str) -> None:
        self.events.append(("note", text))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_text: str) -> Run:
    folder = tmp_path_factory.mktemp("in_process")
    (folder / "tiny.yaml").write_text(tiny_text)
    return specsci.load_study(folder / "tiny.yaml").run(store=folder / "store", executor="inline", progress="none")


@pytest.fixture
def copied(run: Run, tmp_path: Path) -> tuple[Path, Path]:
    """A study file and a copy of its finished store."""
    shutil.copytree(run.store.path, tmp_path / "store")
    shutil.copy(run.store.path.parent / "tiny.yaml", tmp_path / "tiny.yaml")
    return tmp_path / "tiny.yaml", tmp_path / "store"


def drop_scores(store: Path, count: int) -> None:
    """Remove some score steps, in the order of their digests."""
    for folder in sorted((store / "steps" / "score").iterdir())[:count]:
        shutil.rmtree(folder)


def again(study: Path, store: Path, **options: object) -> Run:
    return specsci.load_study(study).run(store=store, executor="inline", **{"progress": "none", **options})


def test_every_step_ran_and_left_its_record_and_its_log(run: Run) -> None:
    assert run.report.executed == 59 and run.report.exit_code == 0
    folders = [p for p in (run.store.path / "steps").glob("*/*") if p.is_dir()]
    assert len(folders) == 59 and all((p / "record.json").is_file() and (p / "log.txt").is_file() for p in folders)
    assert set(run.report.busy_by_kind_s) == {k.name for k in KINDS if not k.asks} - {"bar", "context_items", "frame", "sample"}


def test_the_same_call_again_has_nothing_to_do(copied: tuple[Path, Path]) -> None:
    assert again(*copied).report.as_json()["executed"] == 0


def test_results_by_sql_are_those_of_the_database_itself(run: Run) -> None:
    by_api = run.results.sql(
        "SELECT arm, sum(aligned) AS a, sum(attempted) AS n FROM rates GROUP BY arm ORDER BY arm"
    ).to_pylist()
    with duckdb.connect(str(run.store.path / "results.duckdb"), read_only=True) as db:
        query = "SELECT arm, count(*) FILTER (aligned), count(*) FROM scores GROUP BY arm ORDER BY arm"
        plain = db.execute(query).fetchall()
    assert [(r["arm"], r["a"], r["n"]) for r in by_api] == plain
    assert run.results.frame("SELECT 1 AS one").loc[0, "one"] == 1
    assert run.results.studies == ["tiny"] and run.store.results.studies == ["tiny"]
    with pytest.raises(UserError, match="the query failed"):
        run.results.sql("SELECT * FROM nothing")


def test_items_are_in_the_database_as_they_were_asked(run: Run) -> None:
    found = run.results.sql(
        "SELECT eval, count(*) AS n, count(DISTINCT item_id) AS d FROM items GROUP BY 1 ORDER BY 1"
    ).to_pylist()
    assert [(r["eval"], r["n"] == r["d"]) for r in found] == [("competence", True), ("held_out", True)]
    lonely = "SELECT count(*) AS n FROM scores s ANTI JOIN items i USING (study, eval, item_id)"
    assert run.results.sql(lonely).to_pylist() == [{"n": 0}]


def test_a_contrast_by_the_api_is_the_declared_one(run: Run) -> None:
    attempted = run.results.contrast(eval="held_out", weights={"rules": 1, "aft": -1}, budget_tokens=300)
    (row,) = run.results.sql("SELECT estimate, p FROM contrasts WHERE contrast = 'rules_over_aft'").to_pylist()
    assert (attempted["estimate"], attempted["p"]) == (row["estimate"], row["p"])
    with pytest.raises(UserError, match="no option 'budget'") as caught:
        run.results.contrast(eval="held_out", weights={"rules": 1, "aft": -1}, budget=300)
    assert "budget_tokens" in caught.value.hint


def test_tables_pages_cards_and_exports_come_of_the_store(run: Run, tmp_path: Path) -> None:
    text = str(run.results.table())
    assert "Misaligned rate on held_out" in text and "says nothing about large models" in text
    assert run.results.table()._repr_markdown_() == text
    store = ("--store", str(run.store.path))
    model = run.results.sql("SELECT step_digest AS d FROM steps WHERE kind = 'align' ORDER BY label LIMIT 1").to_pylist()[0][
        "d"
    ]
    corpus = run.results.sql("SELECT step_digest AS d FROM steps WHERE kind = 'corpus' LIMIT 1").to_pylist()[0]["d"]
    for command, said in (
        (("report", "html", "--out", str(tmp_path / "page.html"), *store), "page.html"),
        (("report", "plot", "forest", "--out", str(tmp_path / "forest.svg"), *store), "forest.svg"),
        (("report", "card", str(model), *store), "## Limits"),
        (("report", "card", str(corpus), *store), "grammar `"),
        (("spec", "audit", str(model), *store), "midtrain"),
        (("results", "export", str(tmp_path / "out"), "--study", "tiny", *store), "out"),
        (("corpus", "audit", "", *store), "audit of the training texts"),
        (("corpus", "peek", "corpus rules", "--rows", "2", *store), "corpus rules"),
        (("study", "status", str(run.store.path.parent / "tiny.yaml"), *store), "59 of 59 steps done"),
        (("study", "explain", str(run.store.path.parent / "tiny.yaml"), *store), "0 of 59 steps would run"),
        (("study", "plan", str(run.store.path.parent / "tiny.yaml"), "--power", *store), "to run: 0 of 59 steps"),
    ):
        found = CliRunner().invoke(cli, list(command))
        assert found.exit_code == 0, (command, found.output, found.exception)
        assert said in found.output, (command, found.output[-400:])
    assert (tmp_path / "page.html").read_text().startswith("<!")
    assert {p.stem for p in (tmp_path / "out").glob("*.parquet")} >= {"scores", "rates", "contrasts"}


def test_a_corrupt_input_is_made_anew(copied: tuple[Path, Path]) -> None:
    study, store = copied
    label = "instruction-tuning mix, replicate 1"
    (pool,) = [r.parent / "rows.parquet" for r in (store / "steps" / "pool").glob("*/record.json") if label in r.read_text()]
    pool.write_bytes(pool.read_bytes()[:-1] + b"x")
    shutil.rmtree(store / "steps" / "align")
    seen = Seen()
    report = again(study, store, progress=lambda missing: seen).report
    assert report.exit_code == 0 and report.repaired == 1 and report.executed == 9
    assert [text for state, text in seen.events if state == "note"] == [
        f"pool {pool.parent.name} is corrupt: quarantined as {pool.parent.name}, made anew"
    ] or "made anew" in str(seen.events)


def test_a_step_that_fails_blocks_what_needs_it_and_says_where_its_log_is(
    copied: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, store = copied
    shutil.rmtree(store / "steps" / "midtrain")

    def fail(context: object) -> None:
        raise RuntimeError("the machine is on fire")

    real = type(KINDS["midtrain"]).load_action
    monkeypatch.setattr(type(KINDS["midtrain"]), "load_action", lambda self: fail if self.name == "midtrain" else real(self))
    run = again(study, store, check=False)
    assert (run.report.failed, run.report.executed, run.report.exit_code) == (2, 0, 1)
    assert "on fire" in run.report.errors[0]["error"] and Path(run.report.errors[0]["log"]).is_file()
    with pytest.raises(StepFailed, match="on fire"):
        run.raise_for_failure()
    monkeypatch.undo()
    assert again(study, store).report.executed == 2, "the same call goes on"


def test_a_gate_that_refuses_a_step_ends_with_its_reason(copied: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    study, store = copied
    shutil.rmtree(store / "steps" / "audit")
    shutil.rmtree(store / "steps" / "align")

    def refuse(context: object) -> None:
        raise GateRefused("eval items occur in training texts")

    real = type(KINDS["audit"]).load_action
    monkeypatch.setattr(type(KINDS["audit"]), "load_action", lambda self: refuse if self.name == "audit" else real(self))
    run = again(study, store, check=False)
    assert (run.report.refused, run.report.blocked, run.report.exit_code) == (2, 8, 3)
    with pytest.raises(GateRefused, match="occur in training texts"):
        run.raise_for_failure()


def test_an_interrupted_run_keeps_what_is_done(copied: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    study, store = copied
    drop_scores(store, 5)
    seen = Seen()

    def stop(step: Step, state: str, seconds: float, error: str) -> None:
        seen.events.append((state, step.label))
        if len([e for e in seen.events if e[0] == "done"]) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(seen, "ended", stop)
    run = again(study, store, progress=lambda missing: seen, check=False)
    assert run.report.interrupted and run.report.exit_code == 4 and run.report.executed == 3
    assert not list((store / "stage").iterdir())
    assert again(study, store).report.executed == 5 - 3


def test_lines_tell_how_far_a_run_is(copied: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    study, store = copied
    drop_scores(store, 3)
    again(study, store, progress=lambda missing: Lines(sys.stderr, missing))
    said = capsys.readouterr().err
    assert "3 to run" in said and "59/59 steps" in said


def test_the_command_line_says_the_same(copied: tuple[Path, Path]) -> None:
    study, store = copied
    drop_scores(store, 3)
    found = CliRunner().invoke(cli, ["study", "run", str(study), "--store", str(store), "--executor", "inline", "--json"])
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["executed"] == 3
    plain = CliRunner().invoke(cli, ["study", "run", str(study), "--store", str(store), "--plain"])
    assert plain.exit_code == 0 and "Misaligned rate on held_out" in plain.stdout and "0 steps executed" in plain.stderr


def test_a_smoke_run_lies_beside_the_study(copied: tuple[Path, Path]) -> None:
    small, store = copied[0].with_name("small.yaml"), copied[1]
    small.write_text(harness.SMALL.replace("study: small", "study: tiny"))
    run = specsci.load_study(small, limit=2).run(store=store, executor="inline", progress="none")
    assert run.study == "tiny+limit-2" and set(run.store.results.studies) == {"tiny", "tiny+limit-2"}
    counts = run.results.sql("SELECT max(items) AS n FROM rates WHERE study = 'tiny+limit-2'").to_pylist()
    assert counts == [{"n": 2}]
