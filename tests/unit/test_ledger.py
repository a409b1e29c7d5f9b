"""Claims with leases: one runner per step, and nothing stays locked by the dead."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from specsci.core.errors import StoreError
from specsci.store import ledger as module
from specsci.store.ledger import LEASE_S, Ledger, is_dead, read_snapshot

DEAD_PID = 2**22 + 1
"""Above the largest pid that Linux gives out."""


def with_pid(runner: str, pid: int) -> str:
    """A runner's name as a process of another id would have it."""
    return runner.replace(f"-{os.getpid()}-", f"-{pid}-")


@pytest.fixture
def two(tmp_path):
    """Two runners of one store."""
    ledgers = Ledger(tmp_path, "one"), Ledger(tmp_path, "two")
    yield ledgers
    for ledger in ledgers:
        ledger.close()


@pytest.fixture
def clock(monkeypatch):
    """A clock to be set by hand: `clock[0] += seconds`."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "time", lambda: now[0])
    return now


def test_a_step_is_claimed_by_one_runner_at_a_time(two) -> None:
    first, second = two
    assert first.claim("d1", "step") and not second.claim("d1", "step")
    assert first.claim("d1", "step") and second.claim("d2", "other")
    assert first.release("d1") and not first.release("d1")
    assert second.claim("d1", "step") and not first.claim("d1", "step")


def test_releasing_what_another_holds_does_nothing(two) -> None:
    first, second = two
    assert first.claim("d1", "step")
    assert not second.release("d1")
    assert not second.claim("d1", "step")


def test_an_expired_lease_goes_to_the_next_runner_and_the_late_one_has_lost_it(two, clock) -> None:
    first, second = two
    assert first.claim("d1", "step")
    clock[0] += LEASE_S - 1
    assert not second.claim("d1", "step")
    clock[0] += 2
    assert second.claim("d1", "step") and not first.claim("d1", "step")


def test_a_renewed_lease_holds_longer(two, clock) -> None:
    first, second = two
    first.claim("d1", "step")
    clock[0] += LEASE_S - 1
    first.renew()
    clock[0] += LEASE_S - 1
    assert not second.claim("d1", "step")


def test_claims_of_a_dead_process_on_this_host_are_freed_at_once(two) -> None:
    first, second = two
    first.runner = with_pid(first.runner, DEAD_PID)
    first.start_run(3)
    first.claim("d1", "step")
    second.free_dead_claims()
    assert second.claim("d1", "step")
    assert [r["state"] for r in second.snapshot()["runs"]] == ["killed"]


def test_claims_of_the_living_and_of_other_hosts_are_left_alone(two) -> None:
    first, second = two
    first.claim("d1", "step")
    first.runner = with_pid(first.runner, DEAD_PID).replace(socket.gethostname(), "some-other-host")
    first.claim("d2", "step")
    second.free_dead_claims()
    assert not second.claim("d1", "step") and not second.claim("d2", "step")


def test_ending_a_run_frees_its_claims_and_says_how_it_ended(two, clock) -> None:
    first, second = two
    first.start_run(7)
    first.claim("d1", "step")
    clock[0] += 5
    first.renew(3, 7)
    (claim,) = second.snapshot()["claims"]
    assert claim == {"digest": "d1", "runner": first.runner, "label": "step", "running_s": 5.0}
    first.end_run("done")
    snapshot = second.snapshot()
    assert snapshot["claims"] == [] and second.claim("d1", "step")
    (run,) = snapshot["runs"]
    assert (run["study"], run["state"], run["done"], run["total"], run["started_at"]) == ("one", "done", 3, 7, 1000.0)


def test_failures_are_listed_last_first(two, clock) -> None:
    first, second = two
    first.failed("d1", "step", "it broke")
    clock[0] += 1
    first.failed("d2", "other", "it broke too")
    assert [(f["digest"], f["error"]) for f in second.snapshot()["failures"]] == [("d2", "it broke too"), ("d1", "it broke")]


def test_a_deleted_ledger_loses_nothing_that_matters(tmp_path) -> None:
    first = Ledger(tmp_path)
    first.claim("d1", "step")
    first.close()
    for path in tmp_path.glob("ledger.sqlite*"):
        path.unlink()
    second = Ledger(tmp_path)
    assert second.claim("d1", "step")
    second.close()


def test_a_ledger_that_is_no_database_says_what_to_delete(tmp_path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"this is not a database" * 100)
    with pytest.raises(StoreError) as error:
        Ledger(tmp_path)
    assert error.value.where == str(tmp_path / "ledger.sqlite") and error.value.exit_code == 2
    assert "delete the ledger" in error.value.hint


def test_a_container_of_the_same_name_does_not_free_anothers_claims(two, monkeypatch) -> None:
    """Same host name, a process id that is none here, another pid namespace or another boot: it may well live."""
    first, second = two
    boot, space, _start = first.runner.rsplit("_", 3)[1:]
    ours = with_pid(first.runner, DEAD_PID)
    for other in (ours.replace(f"_{space}_", "_4026999999_"), ours.replace(f"_{boot}_", "_0123456789ab_")):
        first.runner = other
        first.claim("d1", "step")
        second.free_dead_claims()
        assert not second.claim("d1", "step"), other
        assert not is_dead(other)
        first.release("d1")
    assert is_dead(ours)


def test_a_process_id_that_came_again_is_another_process(two) -> None:
    name, _, start = two[0].runner.rpartition("_")
    assert not is_dead(two[0].runner)
    assert is_dead(f"{name}_{int(start) - 1}"), "it began at another time"


NAME = "from specsci.core.liveness import process_name; print(process_name())"
JUDGE = "import sys; from specsci.core.liveness import is_dead; print(is_dead(sys.argv[1]))"


def said(*command: str) -> str:
    return subprocess.run([*command], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("proc", [(), ("--mount-proc",)])
def test_two_real_pid_namespaces_do_not_judge_each_other(two, proc) -> None:
    space = ("unshare", "--pid", "--fork", *proc)
    try:
        theirs = said(*space, sys.executable, "-c", NAME)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("a pid namespace cannot be made here")
    assert not is_dead(theirs), "that namespace is gone by now, and nobody outside can know"
    assert said(*space, sys.executable, "-c", JUDGE, two[0].runner) == "False", "we live"
    gone = said(sys.executable, "-c", NAME)
    assert is_dead(gone)
    assert said(*space, sys.executable, "-c", JUDGE, gone) == "False"


def test_a_ledger_whose_tables_are_being_made_is_an_empty_one(tmp_path) -> None:
    """A runner makes all its tables at once; who looks before finds none and says so, and no damage."""
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"")
    nothing = {"claims": [], "runs": [], "failures": []}
    assert read_snapshot(tmp_path) == nothing
    with closing(sqlite3.connect(path, isolation_level=None)) as maker:
        maker.execute("PRAGMA journal_mode=WAL")
        assert read_snapshot(tmp_path) == nothing
        maker.execute("BEGIN IMMEDIATE")
        maker.execute("CREATE TABLE claims (digest TEXT)")
        assert read_snapshot(tmp_path) == nothing
        maker.execute("ROLLBACK")
    with closing(Ledger(tmp_path)):
        assert read_snapshot(tmp_path) == nothing


def test_a_snapshot_is_read_without_writing(two, tmp_path) -> None:
    first, _ = two
    first.start_run(2)
    first.claim("d1", "step")
    before = sorted(p.name for p in tmp_path.iterdir())
    assert [c["digest"] for c in read_snapshot(tmp_path)["claims"]] == ["d1"]
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert read_snapshot(tmp_path / "no_store") == {"claims": [], "runs": [], "failures": []}
    first.runner = with_pid(first.runner, DEAD_PID)
    first.start_run(2)
    first.claim("d2", "step")
    seen = read_snapshot(tmp_path)
    assert [c["digest"] for c in seen["claims"]] == ["d1"], "the dead run nothing"
    assert {r["state"] for r in seen["runs"]} == {"running", "killed"}
    assert first.db.execute("SELECT count(*) FROM claims").fetchone() == (2,), "nothing was freed by looking"
