"""What a store's disk can do is tried there, and told with the ledger that it wants."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from specsci.execute import doctor_store
from specsci.store import disk
from specsci.store.ledger import FILES, LEDGERS, SQLITE


def levels(store: Path) -> dict[str, tuple[str, str]]:
    return {c.name.removeprefix("store "): (c.level, c.text) for c in doctor_store.store_checks(store)}


def test_a_disk_of_this_machine_takes_either_ledger_and_nothing_is_left_on_it(tmp_path) -> None:
    found = levels(tmp_path / "not" / "there")
    assert {name: level for name, (level, _) in found.items()} == dict.fromkeys(("links", "renames", "locks", "clock", "ledger"), "ok")
    assert found["ledger"][1].startswith("'sqlite'") and not list(tmp_path.iterdir())


def test_a_network_disk_is_told_to_take_files_and_a_database_there_is_warned_of(tmp_path, monkeypatch) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/x {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr(disk, "MOUNTS", mounts)
    assert levels(tmp_path / "new")["ledger"] == ("ok", "'files' (nfs4, which other machines may see)")
    (tmp_path / "old").mkdir()
    LEDGERS[SQLITE](tmp_path / "old").close()
    level, text = levels(tmp_path / "old")["ledger"]
    assert level == "warn" and "not to be trusted" in text


def test_a_clock_that_is_minutes_off_is_told(tmp_path, monkeypatch) -> None:
    right = doctor_store.time.time
    monkeypatch.setattr(doctor_store.time, "time", lambda: right() + 600)
    level, text = levels(tmp_path)["clock"]
    assert level == "warn" and "600 s apart" in text


def test_a_disk_without_links_or_locks_says_what_does_not_work(tmp_path, monkeypatch) -> None:
    def no_link(*_: Path) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", no_link)
    assert levels(tmp_path)["links"][0] == "warn"
    monkeypatch.undo()
    monkeypatch.setattr(doctor_store, "_is_locked", lambda db: False)
    found = levels(tmp_path)
    assert found["locks"] == ("warn", "a lock of another process is not seen") and found["ledger"][0] == "warn"
    monkeypatch.setenv("SPECSCI_LEDGER", FILES)
    assert levels(tmp_path)["ledger"][0] == "ok"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_cannot_be_written_is_an_error(tmp_path) -> None:
    tmp_path.chmod(0o500)
    assert [c.level for c in doctor_store.store_checks(tmp_path)] == ["error"]
