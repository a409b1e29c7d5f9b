"""Damaged artefacts, disks that are full and places that cannot be written."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import time
from pathlib import Path

import duckdb
import harness
import pytest


def flip(store: Path, kind: str, label: str, file: str) -> str:
    """Flip a byte of an artefact; returns its digest."""
    folder = harness.artifact(store, kind, label)
    harness.flip_byte(folder / file)
    return folder.name


def drop(store: Path, kind: str, label: str) -> str:
    """Delete an artefact, so that a run needs its inputs again; returns its digest."""
    folder = harness.artifact(store, kind, label)
    shutil.rmtree(folder)
    return folder.name


@pytest.mark.slow
def test_a_flipped_byte_is_found_quarantined_and_made_anew(finished_tiny, tiny_copy):
    """A model, a corpus and a score, each of unchanged size: found by digest when they are next used."""
    store = tiny_copy.store
    model = flip(store, "midtrain", "replicate 1", "model/model.safetensors")
    corpus = flip(store, "corpus", "replicate 2", "rows.parquet")
    score = flip(store, "score", "score base at 0 tokens on held_out, replicate 1", "scores.parquet")
    needs_model = drop(store, "align", "align rules at 300 tokens, replicate 1")
    needs_corpus = drop(store, "midtrain", "replicate 2")
    (store / "results.duckdb").unlink()
    before = harness.made_at(store)
    code, out, err = harness.run("study", "run", tiny_copy.study, "--store", store, "--plain")
    assert code == 0, out + err
    for kind, digest in (("midtrain", model), ("corpus", corpus), ("score", score)):
        assert f"{kind} {digest}" in err, f"the corrupt {kind} is not named"
        assert (store / "quarantine" / f"{kind}-{digest}.0").is_dir()
    made = {f"midtrain/{model}", f"corpus/{corpus}", f"score/{score}", f"align/{needs_model}", f"midtrain/{needs_corpus}"}
    assert harness.made_anew(before, store) == made
    assert harness.digests(store) == harness.digests(finished_tiny.store)
    assert harness.score_rows(store) == harness.score_rows(finished_tiny.store)
    quarantined = store / "quarantine" / f"midtrain-{model}.0" / "model" / "model.safetensors"
    kept = store / "steps" / "midtrain" / model / "model" / "model.safetensors"
    assert quarantined.read_bytes() != kept.read_bytes()
    with duckdb.connect(str(store / "results.duckdb"), read_only=True) as db:
        assert db.execute("SELECT complete FROM studies").fetchall() == [(True,)]


@pytest.mark.slow
def test_doctor_names_what_is_corrupt_and_repairs(toy_run, finished_toy, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(finished_toy.store, store)
    code, out, _ = toy_run("doctor", "--store", store, "--verify")
    assert (code, "0 corrupt artefacts" in out) == (0, True)
    score = flip(store, "score", "score aft at 300 tokens on competence, replicate 2", "scores.parquet")
    align = harness.artifact(store, "align", "align aft at 150 tokens, replicate 1")
    (align / "model" / "1.bin").unlink()
    code, out, err = toy_run("doctor", "--store", store, "--verify")
    assert code == 1
    assert "2 corrupt artefacts" in out
    assert f"score {score}" in err
    assert f"align {align.name}" in err
    assert "hint: run the study again" in err
    assert (store / "steps" / "score" / score).is_dir(), "--verify alone changes nothing"
    code, out, _ = toy_run("doctor", "--store", store, "--repair")
    assert (code, "quarantined" in out) == (1, True)
    assert toy_run("doctor", "--store", store, "--verify")[0] == 0
    code, out, err = toy_run("study", "run", finished_toy.study, "--store", store, "--json")
    assert (code, json.loads(out)["executed"]) == (0, 2), err
    assert harness.score_rows(store) == harness.score_rows(finished_toy.store)


@pytest.mark.parametrize("kind", ["score", "align"])
@pytest.mark.parametrize("damage", ["truncated", "empty record", "record gone", "file gone"])
def test_an_artefact_that_is_visibly_broken_is_made_anew(kind, damage, toy_run, finished_toy, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(finished_toy.store, store)
    folder = sorted((store / "steps" / kind).iterdir())[0]
    victim = folder / "model" / "0.bin"
    if damage == "truncated":
        victim.write_bytes(victim.read_bytes()[:-1])
    elif damage == "file gone":
        victim.unlink()
    elif damage == "record gone":
        (folder / "record.json").unlink()
    else:
        (folder / "record.json").write_text("{}")
    code, out, err = toy_run("study", "run", finished_toy.study, "--store", store, "--json")
    assert code == 0, out + err
    assert json.loads(out)["executed"] == 1
    assert harness.records(store).keys() == harness.records(finished_toy.store).keys()
    assert victim.read_bytes() == (finished_toy.store / victim.relative_to(store)).read_bytes()


@pytest.mark.parametrize("place", ["a file", "below a file", "proc"])
def test_a_store_that_cannot_be_written_is_the_users_mistake(place, specsci, tiny, tmp_path):
    (tmp_path / "file").write_text("not a store")
    store = {"a file": tmp_path / "file", "below a file": tmp_path / "file" / "store", "proc": Path("/proc/specsci")}[place]
    result = specsci("study", "run", tiny, "--store", store)
    assert result.returncode == 2
    assert f"{store}: the store cannot be written" in result.stderr
    assert "hint: choose another place" in result.stderr
    assert "Traceback" not in result.stderr
    assert (tmp_path / "file").read_text() == "not a store"


def assert_whole(store: Path) -> None:
    """Whatever is published is what its record says."""
    from specsci.store.artifact import Store

    for name in harness.digests(store):
        Store(store).verify(*name.split("/"))


@pytest.mark.parametrize("filled_kib", [0, 3000])
def test_a_full_disk_fails_clearly_publishes_nothing_half_and_goes_on(filled_kib, toy_run, finished_toy, tmp_path):
    """59 steps of about 90 KiB on 3 MiB; the disk is full in the middle, or at once."""
    with harness.small_disk(tmp_path / "disk", 3) as disk:
        if filled_kib:
            (disk / "ballast").write_bytes(b"x" * 1024 * filled_kib)
        command = ("study", "run", finished_toy.study, "--store", disk / "store", "--plain")
        code, out, err = toy_run(*command, TOY_BYTES="30000")
        assert code in (1, 2), out + err
        assert "full" in err or "No space left" in err, err
        assert "hint: " in err
        assert "free space" in err
        assert "Traceback" not in out + err
        if (disk / "store" / "steps").is_dir():
            assert_whole(disk / "store")
            assert not list((disk / "store" / "stage").iterdir())
        (disk / "ballast").unlink(missing_ok=True)
        harness.grow(disk, 64)
        before = harness.made_at(disk / "store")
        code, out, err = toy_run(*command, TOY_BYTES="30000")
        assert code == 0, out + err
        assert len(harness.digests(disk / "store")) == 59
        assert len(harness.made_anew(before, disk / "store")) == 59 - len(before), "finished steps are made once"


@pytest.mark.slow
def test_a_full_disk_in_training_is_named_as_such(finished_small, tmp_path):
    """The weights of the base fit, those of a trained model do not."""
    with harness.small_disk(tmp_path / "disk", 4) as disk:
        command = ("study", "run", finished_small.study, "--store", disk / "store", "--json", "--workers", "1")
        code, out, err = harness.run(*command)
        assert code == 1, out + err
        errors = json.loads(out)["errors"]
        assert {e["kind"] for e in errors} <= {"midtrain", "align", "score", "results"}
        assert any("the disk is full" in e["error"] for e in errors), errors
        assert_whole(disk / "store")
        harness.grow(disk, 64)
        report = harness.run_study(finished_small.study, disk / "store", workers=1)
        assert report["reused"] > 0
        assert harness.score_rows(disk / "store") == harness.score_rows(finished_small.store)


def test_a_ledger_that_is_no_database_is_named_with_its_hint(toy_run, finished_toy, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(finished_toy.store, store)
    for path in store.glob("ledger.sqlite*"):
        path.unlink()
    (store / "ledger.sqlite").write_text("this is not a database" * 100)
    shutil.rmtree(harness.artifact(store, "score", "score base at 0 tokens on competence, replicate 1"))
    code, out, err = toy_run("study", "run", finished_toy.study, "--store", store)
    assert code == 2
    assert "ledger.sqlite: the ledger cannot be used" in err
    assert "delete the ledger" in err
    assert "Traceback" not in out + err
    (store / "ledger.sqlite").unlink()
    assert toy_run("study", "run", finished_toy.study, "--store", store)[0] == 0


def test_a_results_file_that_is_no_database_is_named_with_its_hint(toy_run, finished_toy, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(finished_toy.store, store)
    (store / "results.duckdb").write_bytes(b"rubbish" * 1000)
    code, _, err = toy_run("results", "sql", "SELECT 1", "--store", store)
    assert code == 2
    assert "cannot be opened" in err
    assert "specsci results rebuild" in err
    assert toy_run("results", "rebuild", "--store", store)[0] == 0
    code, out, _ = toy_run(
        "results", "sql", "SELECT count(*) AS n FROM scores", "--store", store, "--format", "json"
    )
    assert (code, json.loads(out)) == (0, [{"n": 24 * 40}])


@pytest.mark.parametrize(("kind", "file"), [("corpus", "rows.parquet"), ("align", "curve.parquet")])
def test_the_results_are_never_built_from_a_damaged_file(kind, file, toy_run, finished_toy, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(finished_toy.store, store)
    folder = sorted((store / "steps" / kind).iterdir())[0]
    harness.flip_byte(folder / file)
    code, _, err = toy_run("results", "rebuild", "--store", store)
    assert code == 1
    assert f"{kind} {folder.name}: '{file}' is not what was written" in err
    assert "Traceback" not in err
    (store / "results.duckdb").unlink()
    code, out, err = toy_run("study", "run", finished_toy.study, "--store", store, "--plain")
    assert code == 0, out + err
    assert f"{kind} {folder.name} is corrupt: quarantined" in err
    assert harness.records(store).keys() == harness.records(finished_toy.store).keys()
    assert (folder / file).read_bytes() == (finished_toy.store / "steps" / kind / folder.name / file).read_bytes()


def test_the_clock_going_back_does_not_lose_a_step(toy_run, finished_toy, tmp_path):
    """A claim from the future by a runner that is gone does not block the next one."""
    store = tmp_path / "store"
    shutil.copytree(finished_toy.store, store)
    folder = harness.artifact(store, "score", "score base at 0 tokens on competence, replicate 1")
    shutil.rmtree(folder)
    with sqlite3.connect(store / "ledger.sqlite") as db:
        gone = f"{socket.gethostname()}-4194303-abcdef"
        db.execute("INSERT INTO claims VALUES (?, ?, 7, 'x', ?)", (folder.name, gone, time.time() + 1e6))
    code, out, err = toy_run("study", "run", finished_toy.study, "--store", store, "--json")
    assert (code, json.loads(out)["executed"]) == (0, 1), err
