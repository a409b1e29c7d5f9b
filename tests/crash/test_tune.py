"""A search from beginning to end with stand-in actions: repeats are free, kills lose nothing, arms get the same."""

from __future__ import annotations

import json
import random
import time

import pytest
from watching import done_steps, wait_for

BLOCK = """
tuning:
  space:
    align.recipe.learning_rate: {low: 1.0e-5, high: 1.0e-3, scale: log}
    midtrain.recipe.learning_rate: {low: 1.0e-4, high: 1.0e-2, scale: log}
  arms: [rules, aft]
  trials: TRIALS
  replicates: [{seed: 901, base_model: dev}]
  objective: OBJECTIVE
  constraint: {eval: competence, at_least: 0.3}
"""


@pytest.fixture
def study(tiny_text, tmp_path):
    def write(trials: int = 4, objective: str = "competence"):
        path = tmp_path / "tiny.yaml"
        path.write_text(tiny_text + BLOCK.replace("TRIALS", str(trials)).replace("OBJECTIVE", objective))
        return path

    return write


def values(found: dict) -> list:
    return [(r["number"], r["arm"], r["config"], r["objective"], r["feasible"]) for r in found["results"]]


def test_a_search_gives_every_arm_the_same_and_a_second_one_runs_nothing(study, toy_run, tmp_path) -> None:
    store = tmp_path / "store"
    code, out, err = toy_run("tune", study(), "--store", store, "--json")
    found = json.loads(out)
    assert code == 0, err
    by_arm = {arm: [r["config"] for r in found["results"] if r["arm"] == arm] for arm in ("rules", "aft")}
    assert by_arm["rules"] == by_arm["aft"] and len(by_arm["rules"]) == 4
    assert found["tokens"]["rules"] == found["tokens"]["aft"] + 4 * 2000, "and four midtrainings"
    assert found["studies"] == {s: f"tiny-{n}" for s, n in (("default", "untuned"), ("tuned", "tuned"), ("shared", "shared"))}
    assert {c["setting"] for c in found["conclusions"]} == {"default", "tuned", "shared"} and set(found["curves"]) == set(by_arm)
    made = done_steps(store)
    code, again, _ = toy_run("tune", study(), "--store", store, "--json")
    assert code == 0 and done_steps(store) == made and values(json.loads(again)) == values(found)
    code, shown, _ = toy_run("tune", study(), "--store", store, "--show")
    assert code == 0 and "Settings that won" in shown and "Trials: the objective of each arm" in shown
    code, out, _ = toy_run("store", "gc", "--store", store, "--json")
    assert json.loads(out)["removals"] == [], "a search's trials are named by it"
    code, out, _ = toy_run("results", "sql", "SELECT DISTINCT study FROM contrasts ORDER BY 1", "--store", store, "--format", "json")
    assert [r["study"] for r in json.loads(out)] == ["tiny-shared", "tiny-tuned", "tiny-untuned"]


@pytest.mark.slow
def test_an_objective_that_a_contrast_reports_is_flagged_by_itself(study, toy_run, tmp_path) -> None:
    store = tmp_path / "store"
    code, out, err = toy_run("tune", study(objective="held_out"), "--store", store, "--json")
    assert code == 0 and "settings were chosen by eval 'held_out', which" in json.loads(out)["tuned_to_target"], err
    query = "SELECT DISTINCT study, f.code FROM contrasts, unnest(flags) AS t(f) WHERE f.code LIKE '%target%' ORDER BY 1"
    code, out, _ = toy_run("results", "sql", query, "--store", store, "--format", "json")
    assert [r["study"] for r in json.loads(out)] == ["tiny-shared", "tiny-tuned"], "the settings as they were are not"


@pytest.mark.slow
def test_a_search_that_is_killed_goes_on_to_the_same_end(study, toy_start, toy_run, tmp_path) -> None:
    whole, store, draws = tmp_path / "whole", tmp_path / "store", random.Random(1)
    assert toy_run("tune", study(), "--store", whole, "--json")[0] == 0
    for _ in range(4):
        running = toy_start("tune", study(), "--store", store, "--json", pause_s=0.02)
        before = done_steps(store)
        wait_for(lambda before=before, r=running: done_steps(store) > before + 3 or r.process.poll() is not None)
        time.sleep(draws.random())
        running.process.kill()
        running.wait()
    code, out, err = toy_run("tune", study(), "--store", store, "--json")
    assert code == 0, err
    straight = json.loads((whole / "tuning" / "tiny.json").read_text())
    found = json.loads(out)
    assert values(found) == values(straight) and found["own"] == straight["own"] and found["conclusions"] == straight["conclusions"]
    assert {p.parent.name for p in store.glob("steps/*/*/record.json")} == {p.parent.name for p in whole.glob("steps/*/*/record.json")}


def test_a_trial_that_fails_counts_and_cannot_win(study, toy_run, tmp_path) -> None:
    code, out, err = toy_run("tune", study(), "--store", tmp_path / "store", "--json", TOY_FAILS="1")
    found = json.loads(out)
    assert code == 1 and [r["objective"] for r in found["results"]] == [None] * 8 and found["own"] == {"rules": None, "aft": None}
    assert found["shared"] is None and "Traceback (most recent call last)\n  File" not in err


def test_what_a_search_would_do_is_told_first(study, toy_run, tmp_path) -> None:
    code, out, _ = toy_run("tune", study(), "--store", tmp_path / "store", "--dry-run")
    assert code == 0 and "4 trials of each of 2 arms" in out and "steps to run" in out and not list((tmp_path / "store" / "steps").iterdir())
    code, _, err = toy_run("tune", study(objective="loss"), "--store", tmp_path / "store", "--show")
    assert code == 2 and "has no search of 'tiny'" in err


def test_a_study_without_a_block_says_what_is_missing(finished_toy, toy_run, tmp_path) -> None:
    code, _, err = toy_run("tune", finished_toy.study, "--store", tmp_path / "store")
    assert code == 2 and "has no `tuning:` block" in err
