"""Runners and workers that are killed: nothing half-made counts, nothing lives on, the same command goes on."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import pytest
from watching import assert_same, done_steps, results, wait_for

from specsci.core.liveness import process_name


def kill_until(runs: Callable[[], harness.Running], store: Path, kills: int, longest_s: float, seed: int) -> int:
    """Kill a run with SIGKILL at random moments, starting it again each time; returns the kills that struck.

    When a run reaches its end, a random third of the artefacts is taken away and it starts again.
    """
    rng, struck = random.Random(seed), 0
    while struck < kills:
        running = runs()
        until = time.monotonic() + rng.uniform(0.05, longest_s)
        while running.process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        if running.process.poll() is None:
            running.process.kill()
            struck += 1
        else:
            assert running.process.returncode == 0, running.wait()
            for name in sorted(harness.digests(store)):
                if rng.random() < 0.3:
                    shutil.rmtree(store / "steps" / name)
        running.wait()
        assert running.gone(), f"alive after kill {struck}: {harness.marked(running.mark)}"
        for name in harness.digests(store):
            assert (store / "steps" / name / "record.json").is_file(), f"{name} was seen before it was whole"
        if (store / "results.duckdb").exists():
            results(store)
    return struck


def toy_kills(toy_start: Any, toy_run: Any, finished_toy: harness.Finished, tmp_path: Path, kills: int) -> None:
    store = tmp_path / "store"
    command = ("study", "run", finished_toy.study, "--store", store, "--json")
    assert kill_until(lambda: toy_start(*command, pause_s=0.03), store, kills, longest_s=4.0, seed=kills) == kills
    code, out, err = toy_run(*command)
    assert code == 0, out + err
    assert_same(store, finished_toy.store)
    assert list((store / "stage").iterdir()) == [], "leftovers of killed runners stay for ever"


def test_a_killed_runner_goes_on_to_the_same_results(toy_start, toy_run, finished_toy, tmp_path):
    toy_kills(toy_start, toy_run, finished_toy, tmp_path, kills=3)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_kills_of_the_machinery(toy_start, toy_run, finished_toy, tmp_path):
    toy_kills(toy_start, toy_run, finished_toy, tmp_path, kills=100)


def four_runners(start: Callable[[], harness.Running], store: Path, kills: int, longest_s: float) -> None:
    """Four runners share a store; at random moments a random one is killed and another started, until so many kills struck.

    When none of them lives any more, since all is done, a random third of the artefacts is taken away.
    """
    rng, struck, runners = random.Random(kills), 0, [start() for _ in range(4)]
    while struck < kills:
        time.sleep(rng.uniform(0.05, longest_s))
        living = [r for r in runners if r.process.poll() is None]
        if living:
            victim = rng.choice(living)
            victim.process.kill()
            struck += victim.process.wait() == -signal.SIGKILL
        else:
            for name in sorted(harness.digests(store)):
                if rng.random() < 0.3:
                    shutil.rmtree(store / "steps" / name)
        for number, running in enumerate(runners):
            if running.process.poll() is not None:
                code, out, err = running.wait()
                assert code in (0, -signal.SIGKILL), out + err
                runners[number] = start()
        if (store / "results.duckdb").exists():
            results(store)
    ends = [r.wait() for r in runners]
    assert [code for code, _, _ in ends] == [0] * 4, ends
    assert all(r.gone() for r in runners)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kills", [3, 60])
def test_four_runners_that_are_killed_and_replaced_give_the_straight_runs_rows(kills, toy_start, toy_run, finished_toy, tmp_path):
    store = tmp_path / "store"
    command = ("study", "run", finished_toy.study, "--store", store, "--json", "--workers", "1")
    four_runners(lambda: toy_start(*command, pause_s=0.03), store, kills, longest_s=3.0)
    code, out, err = toy_run(*command)
    assert code == 0, out + err
    assert_same(store, finished_toy.store)
    assert list((store / "stage").iterdir()) == []


def real_kills(finished_small: harness.Finished, tmp_path: Path, kills: int, longest_s: float) -> None:
    store = tmp_path / "store"
    command = ("study", "run", finished_small.study, "--store", store, "--json", "--workers", "1")
    assert kill_until(lambda: harness.start(*command), store, kills, longest_s, seed=kills) == kills
    code, out, err = harness.run(*command)
    assert code == 0, out + err
    assert harness.score_rows(store) == harness.score_rows(finished_small.store)
    assert harness.digests(store) == harness.digests(finished_small.store)


@pytest.mark.slow
def test_killed_training_goes_on_to_the_same_rows(finished_small, tmp_path):
    real_kills(finished_small, tmp_path, kills=1, longest_s=1.2 * finished_small.report["wall_s"])


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_fifty_kills_of_training(finished_small, tmp_path):
    real_kills(finished_small, tmp_path, kills=50, longest_s=1.2 * finished_small.report["wall_s"])


@pytest.mark.parametrize("stop", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_stop_signal_ends_with_4_and_keeps_the_work(stop, toy_start, toy_run, finished_toy, tmp_path):
    store = tmp_path / "store"
    running = toy_start("study", "run", finished_toy.study, "--store", store, "--plain", pause_s=0.05)
    wait_for(lambda: done_steps(store) >= 5)
    running.process.send_signal(stop)
    code, out, err = running.wait()
    assert code == 4, err
    assert "interrupted: finished steps are kept" in err
    assert "Traceback" not in out + err
    assert out == "" and "Misaligned rate" not in err, "tables of what is not done would bury the message"
    assert running.gone()
    kept = done_steps(store)
    assert 5 <= kept < 59
    after = json.loads(toy_run("study", "run", finished_toy.study, "--store", store, "--json")[1])
    assert (after["executed"], after["reused"]) == (59 - kept, kept)
    assert_same(store, finished_toy.store)


@pytest.mark.slow
def test_ctrl_c_on_a_terminal_reaches_the_workers_too_and_prints_no_traceback(toy_start, finished_toy, tmp_path):
    """A terminal sends SIGINT to the whole process group, at any moment, even while workers start."""
    for number, delay_s in enumerate((0.1, 0.8)):
        store = tmp_path / f"store{number}"
        running = toy_start("study", "run", finished_toy.study, "--store", store, "--plain", pause_s=0.2)
        wait_for(lambda store=store: (store / "ledger.sqlite").exists())
        time.sleep(delay_s)
        os.killpg(running.process.pid, signal.SIGINT)
        code, out, err = running.wait()
        assert code == 4, err
        assert "Traceback" not in out + err
        assert running.gone()


@pytest.mark.slow
def test_interrupted_json_is_still_one_document(toy_start, finished_toy, tmp_path):
    store = tmp_path / "store"
    running = toy_start("study", "run", finished_toy.study, "--store", store, "--json", pause_s=0.05)
    wait_for(lambda: done_steps(store) >= 3)
    running.process.send_signal(signal.SIGINT)
    code, out, _ = running.wait()
    assert code == 4
    assert json.loads(out)["interrupted"] is True


@pytest.mark.slow
def test_a_real_training_run_is_interrupted_and_goes_on(finished_small, tmp_path):
    store = tmp_path / "store"
    command = ("study", "run", finished_small.study, "--store", store, "--plain", "--workers", "1")
    running = harness.start(*command)
    wait_for(lambda: list(store.glob("steps/base/*/record.json")), 120)
    running.process.send_signal(signal.SIGINT)
    code, _, err = running.wait()
    assert code == 4, err
    assert running.gone()
    assert harness.run(*command)[0] == 0
    assert harness.score_rows(store) == harness.score_rows(finished_small.store)


def workers_of(running: harness.Running) -> list[int]:
    """Worker processes, without multiprocessing's resource tracker."""
    out = []
    for pid in running.others():
        try:
            if b"--multiprocessing-fork" in Path(f"/proc/{pid}/cmdline").read_bytes():
                out.append(pid)
        except OSError:
            continue
    return out


def test_a_worker_killed_inside_a_step_is_replaced_and_the_step_tried_again(toy_start, finished_toy, tmp_path):
    store, log = tmp_path / "store", tmp_path / "log"
    command = ("study", "run", finished_toy.study, "--store", store, "--json", "--workers", "1")
    running = toy_start(*command, pause_s=0.03, TOY_LOG=str(log))
    wait_for(lambda: done_steps(store) >= 3 and list(store.glob("stage/*/model/0.bin")))
    (worker,) = workers_of(running)
    os.kill(worker, signal.SIGKILL)
    code, out, err = running.wait()
    assert code == 0, out + err
    report = json.loads(out)
    assert (report["executed"], report["failed"]) == (59, 0)
    tries = log.read_text().split()
    assert len(tries) == 60
    assert len(set(tries)) == 59
    assert_same(store, finished_toy.store)


@pytest.mark.slow
def test_a_step_that_kills_its_worker_twice_fails_and_says_why(toy_start, finished_toy, tmp_path):
    store, log = tmp_path / "store", tmp_path / "log"
    command = ("study", "run", finished_toy.study, "--store", store, "--json", "--workers", "1")
    running = toy_start(*command, pause_s=0.03, TOY_LOG=str(log))
    wait_for(lambda: done_steps(store) >= 20)
    killed: dict[str, int] = {}
    victim = ""
    while running.process.poll() is None and sum(killed.values()) < 2:
        started = log.read_text().split()
        if started and (not victim or started[-1] == victim):
            staged = list(store.glob(f"stage/{started[-1]}.*/model/0.bin"))
            if staged and started.count(started[-1]) == killed.get(started[-1], 0) + 1:
                victim = started[-1]
                for worker in workers_of(running):
                    os.kill(worker, signal.SIGKILL)
                killed[victim] = killed.get(victim, 0) + 1
        time.sleep(0.01)
    code, out, _ = running.wait()
    report = json.loads(out)
    assert code == 1
    assert [e["digest"] for e in report["errors"]] == [victim]
    assert "killed" in report["errors"][0]["error"]
    assert report["executed"] + report["blocked"] + 1 == 59


def test_workers_end_when_their_runner_is_killed_inside_a_long_step(toy_start, finished_toy, tmp_path):
    store = tmp_path / "store"
    running = toy_start("study", "run", finished_toy.study, "--store", store, "--json", pause_s=60)
    wait_for(lambda: list(store.glob("stage/*/model/0.bin")))
    running.process.kill()
    running.wait()
    assert running.gone(10), "a worker went on with a step that nobody waits for"


@pytest.mark.slow
def test_the_next_runner_does_not_wait_for_the_lease_of_a_killed_one(toy_start, toy_run, finished_toy, tmp_path):
    store = tmp_path / "store"
    command = ("study", "run", finished_toy.study, "--store", store, "--json")
    running = toy_start(*command, pause_s=60)
    wait_for(lambda: list(store.glob("stage/*/model/0.bin")))
    running.process.kill()
    running.wait()
    begin = time.monotonic()
    code, _, err = toy_run(*command)
    assert code == 0, err
    assert time.monotonic() - begin < 25


@pytest.mark.slow
def test_a_runner_that_lost_its_lease_takes_the_other_ones_word(toy_start, toy_run, finished_toy, tmp_path):
    """It was suspended; what fails under it since then, such as a checkpoint that the other took, is not a failure."""
    store = tmp_path / "store"
    command = ("study", "run", finished_toy.study, "--store", store, "--json")
    late = toy_start(*command, pause_s=3, TOY_FAILS="1")
    wait_for(lambda: list(store.glob("stage/*/model/0.bin")))
    with sqlite3.connect(store / "ledger.sqlite") as ledger:
        ledger.execute("DELETE FROM claims")
    code, out, err = toy_run(*command)
    assert code == 0 and json.loads(out)["executed"] == 59, err
    code, out, err = late.wait()
    assert code == 0 and "is another runner's by now" in err, err
    assert (json.loads(out)["executed"], json.loads(out)["reused"]) == (0, 59)
    assert_same(store, finished_toy.store)


def test_two_runners_at_once_share_the_work(toy_start, finished_toy, tmp_path):
    store, log = tmp_path / "store", tmp_path / "log"
    command = ("study", "run", finished_toy.study, "--store", store, "--json")
    pair = [toy_start(*command, pause_s=0.03, TOY_LOG=str(log)) for _ in range(2)]
    reports = []
    for running in pair:
        code, out, err = running.wait()
        assert code == 0, out + err
        reports.append(json.loads(out))
    assert sum(r["executed"] for r in reports) == 59
    assert all(r["executed"] + r["reused"] == 59 for r in reports)
    assert all(r["executed"] > 0 for r in reports), "one runner did all the work"
    tries = log.read_text().split()
    assert len(tries) == len(set(tries)) == 59
    assert_same(store, finished_toy.store)


@pytest.mark.slow
def test_two_training_runners_at_once(finished_small, tmp_path):
    command = ("study", "run", finished_small.study, "--store", tmp_path / "store", "--json", "--workers", "1")
    ended = [r.wait() for r in [harness.start(*command) for _ in range(2)]]
    assert [code for code, _, _ in ended] == [0, 0], ended
    total = sum(json.loads(out)["executed"] for _, out, _ in ended)
    assert total == finished_small.report["executed"]
    assert harness.score_rows(tmp_path / "store") == harness.score_rows(finished_small.store)


@pytest.mark.slow
def test_one_runner_is_killed_and_the_other_takes_over(toy_start, finished_toy, tmp_path):
    store = tmp_path / "store"
    command = ("study", "run", finished_toy.study, "--store", store, "--json")
    first, second = (toy_start(*command, pause_s=0.05) for _ in range(2))
    wait_for(lambda: done_steps(store) >= 8)
    first.process.kill()
    first.wait()
    code, out, err = second.wait()
    assert code == 0, out + err
    assert_same(store, finished_toy.store)


def test_a_run_with_nothing_to_do_clears_what_killed_runners_left(toy_run, finished_toy, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(finished_toy.store, store)
    mine = process_name()
    dead = mine.replace(f"-{os.getpid()}-", "-4194303-")
    for name in (f"abc.{dead}", f"abc.{dead}.scratch", f"abc.{mine}"):
        (store / "stage" / name).mkdir(parents=True)
    code, out, err = toy_run("study", "run", finished_toy.study, "--store", store, "--json")
    assert code == 0 and json.loads(out)["executed"] == 0, out + err
    assert [p.name for p in (store / "stage").iterdir()] == [f"abc.{mine}"], "the living's stay"
