"""Space, removal and merging of stores: nothing that a study names goes unasked, and what went is made anew when it is needed."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import harness
import pytest
from watching import SCORES, assert_same, results

from specsci.core.errors import CorruptArtifact, GateRefused, UserError
from specsci.core.liveness import process_name
from specsci.store.artifact import Store
from specsci.store.fsck import check
from specsci.store.ledger import open_ledger
from specsci.upkeep.merge import merge
from specsci.upkeep.sweep import carry_out, sweep, without_steps, without_study
from specsci.upkeep.usage import usage


@pytest.fixture
def store(finished_toy, tmp_path) -> Store:
    """A copy of the finished store."""
    shutil.copytree(finished_toy.store, tmp_path / "store")
    return Store(tmp_path / "store")


def stray(store: Store, age_s: float = 0) -> Path:
    """An artefact that no study names, as a study that was changed leaves behind."""
    folder = sorted((store.root / "steps" / "align").iterdir())[0]
    target = folder.with_name("0" * 24)
    shutil.copytree(folder, target)
    then = time.time() - age_s
    os.utime(target / "record.json", (then, then))
    return target


def test_usage_adds_up_and_tells_what_a_study_has_alone(store) -> None:
    found = usage(store)
    on_disk = sum(p.lstat().st_size for p in (store.root / "steps").rglob("*") if p.is_file())
    assert sum(k.bytes for k in found.kinds) == on_disk == found.studies[0].bytes == found.studies[0].alone_bytes
    assert [s.name for s in found.studies] == ["tiny"] and found.studies[0].artefacts == 59
    stray(store)
    assert [s.name for s in usage(store).studies] == ["", "tiny"]
    assert usage(store, older_than_s=3600).total_bytes == sum(b.bytes for b in usage(store).beside)


def test_a_sweep_takes_what_nobody_names_and_nothing_else(store, finished_toy, toy_run) -> None:
    assert sweep(store) == []
    old, before = stray(store, age_s=10 * 86_400), harness.records(store.root)
    dead = process_name().replace(f"-{os.getpid()}-", "-4194303-")
    (store.root / "stage" / f"abc.{dead}").mkdir()
    (store.root / "quarantine" / "score-abc.0").mkdir()
    (store.root / "checkpoints" / f"{sorted((store.root / 'steps' / 'align').iterdir())[1].name}.{dead}").mkdir(parents=True)
    assert {(r.what.split(" ")[0].split("/")[0], r.why) for r in sweep(store)} == {
        ("align", "no study names it"), ("stage", "its runner is gone"), ("quarantine", "it is damaged"), ("checkpoints", "its step is done"),
    }  # fmt: skip
    assert [r.what for r in sweep(store, older_than_s=86_400 * 11)] == [r.what for r in sweep(store) if "align" not in r.what]
    assert [r.place for r in sweep(store, kinds=["align"])] == [old] and sweep(store, kinds=["score"]) == []
    code, out, _ = toy_run("store", "gc", "--store", store.root, "--json")
    assert code == 0 and json.loads(out)["removed"] is False and harness.records(store.root) == before, "a dry run first"
    assert toy_run("store", "gc", "--store", store.root, "--yes")[0] == 0
    assert not old.exists() and sweep(store) == []
    assert_same(store.root, finished_toy.store)


def test_weights_that_were_scored_may_go_and_are_made_anew_when_a_step_needs_them(store, finished_toy, toy_run) -> None:
    models = [a for kind in ("midtrain", "align") for a in sorted((store.root / "steps" / kind).iterdir())]
    last = {r.place for r in sweep(store, keep_models="none")} - {r.place for r in sweep(store, keep_models="last")}
    assert {r.place for r in sweep(store, keep_models="none")} == set(models) and last and last < set(models)
    freed = carry_out(sweep(store, keep_models="none"))
    assert freed == sum(p.stat().st_size for m in models for p in (finished_toy.store / m.relative_to(store.root)).rglob("model/*"))
    assert not list(store.root.glob("steps/align/*/model/*.bin")) and list(store.root.glob("steps/align/*/curve.parquet"))
    assert sweep(store, keep_models="none") == [] and list(check(store)) == []
    code, out, err = toy_run("study", "run", finished_toy.study, "--store", store.root, "--json")
    assert code == 0 and json.loads(out)["executed"] == 0, err
    assert results(store.root) == results(finished_toy.store)
    with pytest.raises(CorruptArtifact, match="was removed to free space"):
        store.verify("align", models[-1].name)
    score = next(p for p in (store.root / "steps" / "score").iterdir() if "at 150 tokens" in json.loads((p / "record.json").read_text())["label"])
    shutil.rmtree(score)
    code, out, err = toy_run("study", "run", finished_toy.study, "--store", store.root, "--json")
    report = json.loads(out)
    assert code == 0 and report["repaired"] >= 1 and report["executed"] >= 2, err
    assert results(store.root) == results(finished_toy.store)


def test_weights_of_a_study_that_is_not_finished_stay(store) -> None:
    shutil.rmtree(next((store.root / "steps" / "score").iterdir()))
    assert sweep(store, keep_models="none") == []


def test_a_manifest_that_cannot_be_read_stops_every_removal(store, toy_run) -> None:
    stray(store)
    (store.root / "studies" / "tiny.json").write_text("{")
    with pytest.raises(GateRefused, match="what studies name cannot be known"):
        sweep(store)
    code, _, err = toy_run("store", "gc", "--store", store.root, "--yes")
    assert code == 3 and "Traceback" not in err and (store.root / "steps" / "align" / ("0" * 24)).is_dir()


def test_what_a_study_names_is_removed_by_force_alone(store, finished_toy, toy_run) -> None:
    name = sorted((store.root / "steps" / "score").iterdir())[0].name
    with pytest.raises(GateRefused, match="is named by tiny"):
        without_steps(store, [name])
    with pytest.raises(UserError, match="no artefact"):
        without_steps(store, ["zzz"])
    with pytest.raises(UserError, match="artefacts of this store"):
        without_steps(store, [""])
    assert toy_run("store", "rm", name, "--store", store.root, "--yes")[0] == 3
    assert toy_run("store", "rm", name[:12], "--store", store.root, "--yes", "--force")[0] == 0
    assert len(results(store.root)) == 23 * 40
    code, out, _ = toy_run("study", "run", finished_toy.study, "--store", store.root, "--json")
    assert code == 0 and json.loads(out)["executed"] == 1
    assert_same(store.root, finished_toy.store)


def test_a_study_is_taken_out_and_what_it_shares_stays(store, finished_toy, toy_run) -> None:
    other = json.loads((store.root / "studies" / "tiny.json").read_text())
    shared = {d: k for d, k in other["steps"].items() if k in ("base", "tokenizer", "spec")}
    (store.root / "studies" / "other.json").write_text(json.dumps({**other, "study": "other", "steps": shared, "cells": [], "probes": []}))
    with pytest.raises(UserError, match="has no study 'tinny'"):
        without_study(store, "tinny")
    assert toy_run("store", "rm", "--study", "tiny", "--store", store.root)[0] == 0 and len(harness.records(store.root)) == 59
    assert toy_run("store", "rm", "--study", "tiny", "--store", store.root, "--yes")[0] == 0
    assert {p.parent.name for p in store.root.glob("steps/*/*/record.json")} == set(shared)
    assert results(store.root, "SELECT study FROM studies") == [("other",)]
    code, out, _ = toy_run("study", "run", finished_toy.study, "--store", store.root, "--json")
    assert code == 0 and json.loads(out)["executed"] == 59 - len(shared)


def test_a_running_study_is_left_alone(store) -> None:
    ledger = open_ledger(store.root, "tiny")
    ledger.start_run(59)
    with pytest.raises(GateRefused, match="'tiny' is running on"):
        without_study(store, "tiny")
    assert without_study(store, "tiny", force=True)
    ledger.end_run("ended")
    ledger.close()
    assert without_study(store, "tiny")


def test_two_halves_of_a_study_merge_into_the_whole(store, finished_toy, toy_run, tmp_path) -> None:
    other = tmp_path / "other"
    shutil.copytree(store.root, other)
    steps = sorted(p.parent for p in store.root.glob("steps/*/*/record.json"))
    for number, folder in enumerate(steps):
        half = store.root if number % 2 else other
        shutil.rmtree(half / folder.relative_to(store.root))
    broken = next(other.glob("steps/*/*/model/0.bin"))
    content = broken.read_bytes()
    harness.flip_byte(broken)
    code, out, err = toy_run("store", "merge", other, "--store", store.root)
    assert code == 1 and "damaged there, not copied" in err and "Traceback" not in err
    broken.write_bytes(content)
    code, out, _ = toy_run("store", "merge", other, "--store", store.root, "--json")
    assert code == 0 and json.loads(out)["copied"] == 1
    assert_same(store.root, finished_toy.store)
    assert merge(store, Store(other)).copied == 0
    with pytest.raises(UserError, match="is this one"):
        merge(store, Store(store.root))


def test_merging_brings_studies_locks_and_weights_that_are_away_here(store, finished_toy, tmp_path) -> None:
    carry_out(sweep(store, keep_models="none"))
    (store.root / "locks").mkdir(exist_ok=True)
    (store.root / "locks" / "mine.json").write_text('{"here": 1}')
    other = tmp_path / "other"
    shutil.copytree(finished_toy.store, other)
    (other / "locks").mkdir(exist_ok=True)
    (other / "locks" / "mine.json").write_text('{"there": 1}')
    (other / "locks" / "theirs.json").write_text("{}")
    done = merge(store, Store(other))
    assert done.conflicts == ["locks/mine.json"] and "locks/theirs.json" in done.files and done.copied > 0
    assert (store.root / "locks" / "mine.json").read_text() == '{"here": 1}'
    assert list(check(store)) == [] and not list(store.root.glob("steps/*/*/absent.json"))
    assert results(store.root, SCORES) == results(finished_toy.store, SCORES)


@pytest.mark.parametrize("age", ["3", "d", "-1d", "3 years", ""])
def test_an_age_that_is_none_is_refused(age, store, toy_run) -> None:
    code, _, err = toy_run("store", "gc", "--older-than", age, "--store", store.root)
    assert code == 2 and "Traceback" not in err


def test_a_study_that_keeps_no_models_lets_their_weights_go_once_it_is_whole(finished_toy, toy_run, tmp_path) -> None:
    study, store = tmp_path / "tiny.yaml", tmp_path / "store"
    study.write_text(finished_toy.study.read_text().replace("runtime: {", "runtime: {keep_models: last, "))
    code, _, err = toy_run("study", "run", study, "--store", store, "--plain")
    assert code == 0 and "runtime.keep_models is last: the weights of" in err, err
    assert list(store.glob("steps/align/*/model/*")) and list(store.glob("steps/align/*/absent.json"))
    assert results(store) == results(finished_toy.store)
    code, out, _ = toy_run("study", "run", study, "--store", store, "--json")
    assert code == 0 and json.loads(out)["executed"] == 0
