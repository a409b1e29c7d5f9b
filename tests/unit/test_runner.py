"""The runner with a pool of its own: what it does with outcomes that no healthy run has."""

from __future__ import annotations

from pathlib import Path

import pytest

from specsci.core.errors import StepFailed
from specsci.core.step import Step
from specsci.execute.live import Quiet
from specsci.execute.pools.pool import Pool, Seat
from specsci.execute.report import RunReport
from specsci.execute.runner import MAX_ANEW, MAX_DEATHS, Runner
from specsci.execute.worker import Job, Outcome, Tick
from specsci.store.artifact import Store
from specsci.store.ledger import open_ledger

A = Step("spec", {"name": "a"}, label="a")
B = Step("spec", {"name": "b"}, {"spec": A.digest}, label="b")


class Scripted(Pool):
    """Ends each job as a script says; a `done` publishes."""

    def __init__(self, store: Store, script: dict[str, list[str]]) -> None:
        self.store, self.script, self.jobs = store, script, list[Job]()

    def seat(self) -> Seat | None:
        return None if self.jobs else Seat("one")

    def submit(self, job: Job, seat: Seat) -> None:
        self.jobs.append(job)

    def poll(self, timeout_s: float) -> list[Outcome | Tick]:
        if not self.jobs:
            return []
        job = self.jobs.pop()
        ways = self.script.get(job.step.label, [])
        way = ways.pop(0) if len(ways) > 1 else (ways or ["done"])[0]
        if way == "done":
            stage = self.store.stage(job.step, job.owner)
            (stage / "x.txt").write_text("x")
            self.store.publish(job.step, stage, {})
        corrupt = ("spec", A.digest) if way == "corrupt" else None
        return [Tick(job.step.digest, 1, 2), Outcome(job.step.digest, way, error=f"it {way}", corrupt=corrupt)]

    @property
    def running(self) -> int:
        return len(self.jobs)

    def stop(self) -> None:
        self.jobs.clear()


def run(folder: Path, script: dict[str, list[str]], *, first: bool = False) -> RunReport:
    """Run both steps as the script says; with `first` after a run that made the first of them."""
    store = Store(folder / "store").open()

    def once(script: dict[str, list[str]], *steps: Step) -> RunReport:
        ledger = open_ledger(store.root, "s")
        try:
            return Runner(store, ledger, Scripted(store, script), Quiet(), {s.digest: s for s in steps}, 1).run()
        finally:
            ledger.close()

    if first:
        once({}, A)
    return once(script, A, B)


def counts(report: RunReport) -> tuple[int, ...]:
    return (report.executed, report.reused, report.failed, report.blocked, report.refused, report.repaired)


def test_a_straight_run(tmp_path: Path) -> None:
    assert counts(run(tmp_path, {})) == (2, 0, 0, 0, 0, 0)
    assert counts(run(tmp_path, {})) == (0, 2, 0, 0, 0, 0)


def test_a_worker_that_dies_once_is_tried_again_and_then_no_more(tmp_path: Path) -> None:
    assert counts(run(tmp_path, {"a": ["died", "done"]})) == (2, 0, 0, 0, 0, 0)
    again = run(tmp_path / "again", {"a": ["died"]})
    assert counts(again) == (0, 0, 1, 1, 0, 0) and again.errors[0]["error"] == "it died" and MAX_DEATHS == 2


@pytest.mark.parametrize(("way", "failed", "refused", "code"), [("failed", 1, 0, 1), ("refused", 0, 1, 3)])
def test_what_fails_or_is_refused_blocks_what_needs_it(
    way: str, failed: int, refused: int, code: int, tmp_path: Path
) -> None:
    report = run(tmp_path, {"a": [way]})
    assert counts(report) == (0, 0, failed, 1, refused, 0) and report.exit_code == code


def test_a_corrupt_input_is_made_anew_and_counted_once(tmp_path: Path) -> None:
    assert counts(run(tmp_path, {"b": ["corrupt", "done"]}, first=True)) == (2, 0, 0, 0, 0, 1)


def test_an_input_that_is_corrupt_each_time_ends_the_step_and_not_the_night(tmp_path: Path) -> None:
    report = run(tmp_path, {"b": ["corrupt"]}, first=True)
    assert counts(report) == (MAX_ANEW, 0, 1, 0, 0, MAX_ANEW) and report.exit_code == 1


def test_a_kind_whose_action_leaves_out_the_file_of_its_rows_fails(tmp_path: Path) -> None:
    store = Store(tmp_path / "store").open()
    step = Step("score", {"kind": "forced_choice"}, label="score")
    (store.stage(step, "me") / "other.txt").write_text("x")
    with pytest.raises(StepFailed, match=r"the action of 'score' wrote no 'scores\.parquet'"):
        store.publish(step, store.stage_path(step, "me"), {})
    assert not store.has(step)
