"""Claims with leases and tokens, on either ledger: one runner per step, and nothing stays locked by the dead."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from specsci.core.errors import StoreError, UserError
from specsci.core.liveness import is_dead
from specsci.store import disk
from specsci.store.ledger import FILES, LEASE_S, LEDGERS, SQLITE, Ledger, choice, open_ledger, read_snapshot, taken_over

DEAD_PID = 2**22 + 1
"""Above the largest pid that Linux gives out."""
ELSEWHERE = "some-other-host"


def with_pid(runner: str, pid: int) -> str:
    """A runner's name as a process of another id would have it."""
    return runner.replace(f"-{os.getpid()}-", f"-{pid}-")


def elsewhere(ledger: Ledger) -> None:
    """Let a ledger's runner be one of another machine, of which nobody here can see whether it lives."""
    ledger.runner = with_pid(ledger.runner, DEAD_PID).replace(socket.gethostname(), ELSEWHERE)


@pytest.fixture(params=sorted(LEDGERS))
def kind(request) -> str:
    return request.param


@pytest.fixture
def clock() -> list[float]:
    """A steady clock to be set by hand: `clock[0] += seconds`."""
    return [1000.0]


@pytest.fixture
def two(kind, clock, tmp_path):
    """Two runners of one store, the steady clock of both in the test's hand."""
    ledgers = LEDGERS[kind](tmp_path, "one"), LEDGERS[kind](tmp_path, "two")
    for ledger in ledgers:
        ledger.watch.clock, ledger.watch.lease_s = lambda: clock[0], LEASE_S
    yield ledgers
    for ledger in ledgers:
        ledger.close()


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


def test_a_silent_runners_step_goes_to_the_next_one_and_the_late_one_has_lost_it(two, clock, tmp_path) -> None:
    first, second = two
    elsewhere(first)
    first.start_run(1)
    assert first.claim("d1", "step")
    token = first.token("d1")
    assert not second.claim("d1", "step")
    clock[0] += LEASE_S - 1
    assert not second.claim("d1", "step")
    assert not taken_over(tmp_path, "d1", first.runner, token)
    clock[0] += 2
    assert second.claim("d1", "step") and second.token("d1") > token > 0
    assert taken_over(tmp_path, "d1", first.runner, token), "what the late one publishes is refused"
    assert not taken_over(tmp_path, "d1", second.runner, second.token("d1"))
    assert not first.release("d1") and not first.claim("d1", "step")
    assert second.release("d1") and first.claim("d1", "step")


def test_a_heart_that_beats_holds_a_step(two, clock) -> None:
    first, second = two
    elsewhere(first)
    first.start_run(1)
    first.claim("d1", "step")
    for _ in range(4):
        assert not second.claim("d1", "step")
        clock[0] += LEASE_S - 1
        first.renew()
    assert not second.claim("d1", "step")
    clock[0] += LEASE_S + 1
    assert second.claim("d1", "step")


@pytest.mark.parametrize("shift_s", [-600, 600, -1e6, 1e6])
def test_a_clock_that_is_wrong_moves_no_lease(two, clock, monkeypatch, shift_s) -> None:
    """The second machine's time of day is off; leases are counted by its steady clock, from what it saw itself."""
    first, second = two
    elsewhere(first)
    first.start_run(1)
    first.claim("d1", "step")
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + shift_s)
    assert not second.claim("d1", "step"), "not taken early"
    clock[0] += LEASE_S + 1
    assert second.claim("d1", "step"), "nor kept for ever"


def test_claims_of_a_dead_process_on_this_machine_are_free_at_once(two) -> None:
    first, second = two
    first.runner = with_pid(first.runner, DEAD_PID)
    first.start_run(3)
    first.claim("d1", "step")
    assert second.claim("d1", "step")
    assert [r["state"] for r in second.snapshot()["runs"]] == ["killed"]


def test_claims_of_the_living_and_of_other_machines_are_left_alone(two) -> None:
    first, second = two
    first.claim("d1", "step")
    elsewhere(first)
    first.claim("d2", "step")
    assert not second.claim("d1", "step") and not second.claim("d2", "step")


def test_ending_a_run_frees_its_claims_and_says_how_it_ended(two) -> None:
    first, second = two
    first.start_run(7)
    first.claim("d1", "step")
    first.renew(3, 7)
    (claim,) = second.snapshot()["claims"]
    assert claim.pop("running_s") >= 0
    assert claim == {"digest": "d1", "runner": first.runner, "label": "step"}
    first.end_run("done")
    snapshot = second.snapshot()
    assert snapshot["claims"] == [] and second.claim("d1", "step")
    (run,) = snapshot["runs"]
    assert (run["study"], run["state"], run["done"], run["total"]) == ("one", "done", 3, 7)
    assert abs(run["started_at"] - time.time()) < 60 and "beat" not in run


def test_failures_are_listed_last_first(two) -> None:
    first, second = two
    first.failed("d1", "step", "it broke")
    second.failed("d2", "other", "it broke\u2028too\n")
    failures = second.snapshot()["failures"]
    assert [(f["digest"], f["error"]) for f in failures] == [("d2", "it broke\u2028too\n"), ("d1", "it broke")]


def test_a_deleted_ledger_loses_nothing_that_matters(kind, tmp_path) -> None:
    import shutil

    first = LEDGERS[kind](tmp_path)
    first.claim("d1", "step")
    first.close()
    for path in tmp_path.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert not taken_over(tmp_path, "d1", first.runner, first.token("d1")), "nobody else has it"
    second = LEDGERS[kind](tmp_path)
    assert second.claim("d1", "step")
    assert taken_over(tmp_path, "d1", first.runner, 99)
    second.close()


def test_a_ledger_that_is_no_database_says_what_to_delete(tmp_path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"this is not a database" * 100)
    with pytest.raises(StoreError) as error:
        open_ledger(tmp_path)
    assert error.value.where == str(tmp_path / "ledger.sqlite") and error.value.exit_code == 2
    assert "delete the ledger" in error.value.hint


def test_a_ledger_of_a_version_before_is_made_anew_and_one_of_a_later_is_refused(tmp_path) -> None:
    path = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.executescript("CREATE TABLE claims (digest TEXT, lease_until REAL); INSERT INTO claims VALUES ('d1', 9e9); CREATE TABLE runs (x);")
    assert read_snapshot(tmp_path)["claims"] == []
    with closing(open_ledger(tmp_path)) as ledger:
        assert ledger.claim("d1", "step")
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer specsci"):
        open_ledger(tmp_path)


def test_all_runners_of_a_store_use_the_ledger_that_it_was_begun_with(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SPECSCI_LEDGER", FILES)
    with closing(open_ledger(tmp_path)) as ledger:
        assert ledger.claim("d1", "step") and (tmp_path / "ledger" / "claims" / "d1" / "1.json").is_file()
    monkeypatch.delenv("SPECSCI_LEDGER")
    with closing(open_ledger(tmp_path)) as ledger:
        assert ledger.name == FILES
    assert [c["digest"] for c in read_snapshot(tmp_path)["claims"]] == ["d1"]
    monkeypatch.setenv("SPECSCI_LEDGER", SQLITE)
    with pytest.raises(UserError, match="was begun with the ledger 'files'"):
        open_ledger(tmp_path)
    monkeypatch.setenv("SPECSCI_LEDGER", "redis")
    with pytest.raises(UserError, match="is no ledger"):
        open_ledger(tmp_path / "other")


@pytest.mark.parametrize(("kind_of_disk", "ledger"), [("nfs4", FILES), ("lustre", FILES), ("gpfs", FILES), ("ext4", SQLITE), ("", SQLITE)])
def test_a_new_store_on_a_network_disk_gets_files(tmp_path, monkeypatch, kind_of_disk, ledger) -> None:
    mounts = tmp_path / "mounts"
    named = str(tmp_path).replace(" ", "\\040")
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/x {named} {kind_of_disk} rw 0 0\n" if kind_of_disk else "")
    monkeypatch.setattr(disk, "MOUNTS", mounts)
    assert choice.wanted(tmp_path / "not" / "there" / "yet") == ledger


def test_two_links_to_one_number_are_one_claim(tmp_path) -> None:
    """Eight processes begin at once, many times over: each step has one holder, and nobody is left without an answer."""
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom specsci.store.ledger import LEDGERS\n"
        "root, begin = Path(sys.argv[1]), float(sys.argv[2])\nledger = LEDGERS['files'](root, 's')\nledger.start_run(1)\n"
        "time.sleep(max(0, begin - time.time()))\n"
        "print(' '.join(str(n) for n in range(60) if ledger.claim(f'd{n}', 'x')), flush=True)\nsys.stdin.read()\n"
    )
    begin = str(time.time() + 4)
    runners = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), begin], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) for _ in range(8)
    ]
    got = [r.stdout.readline().split() for r in runners]
    for r in runners:
        r.communicate("")
    assert sorted(n for some in got for n in some) == sorted(map(str, range(60)))


def test_a_claim_that_was_linked_although_the_reply_was_lost_counts(tmp_path, monkeypatch) -> None:
    """NFS repeats a request whose reply was lost; the second one finds the name taken, by itself."""
    link = os.link

    def repeated(*places: Path) -> None:
        link(*places)
        raise FileExistsError

    ledger = LEDGERS[FILES](tmp_path)
    monkeypatch.setattr(os, "link", repeated)
    assert ledger.claim("d1", "step")
    assert not list((tmp_path / "ledger" / "claims").glob(".*")), "nothing is left beside"


def test_a_container_of_the_same_name_does_not_free_anothers_claims(two, monkeypatch) -> None:
    """Same host name, a process id that is none here, another pid namespace or another boot: it may well live."""
    first, second = two
    boot, space, _start = first.runner.rsplit("_", 3)[1:]
    ours = with_pid(first.runner, DEAD_PID)
    for other in (ours.replace(f"_{space}_", "_4026999999_"), ours.replace(f"_{boot}_", "_0123456789ab_")):
        first.runner = other
        first.claim("d1", "step")
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
    with closing(open_ledger(tmp_path)):
        assert read_snapshot(tmp_path) == nothing


def test_a_snapshot_is_read_without_writing(two, tmp_path) -> None:
    first, second = two
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
    assert second.holds("d2", first.runner, first.token("d2")), "nothing was freed by looking"
