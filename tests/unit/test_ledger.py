"""Claims with leases: one runner per step, and nothing stays locked by the dead."""

from __future__ import annotations

import socket

import pytest

from specsci.errors import StoreError
from specsci.store import ledger as module
from specsci.store.ledger import LEASE_S, Ledger

DEAD_PID = 2**22 + 1
"""Above the largest pid that Linux gives out."""


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


def test_an_expired_lease_is_taken_over_and_the_late_runner_has_lost_it(two, clock) -> None:
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
    first.runner = f"{socket.gethostname()}-{DEAD_PID}-abc123"
    first.start_run(3)
    first.claim("d1", "step")
    second.free_dead_claims()
    assert second.claim("d1", "step")
    assert [r["state"] for r in second.snapshot()["runs"]] == ["killed"]


def test_claims_of_the_living_and_of_other_hosts_are_left_alone(two) -> None:
    first, second = two
    first.claim("d1", "step")
    first.runner = f"some-other-host-{DEAD_PID}-abc123"
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
    (tmp_path / "ledger.sqlite").write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreError) as error:
        Ledger(tmp_path)
    assert error.value.where == str(tmp_path / "ledger.sqlite") and error.value.exit_code == 2
    assert "delete the ledger" in error.value.mend
