"""A runner killed inside a long stage: the next one goes on from the stage's checkpoint."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import harness
import pytest


def long_study(folder: Path, checkpoint_every_s: float) -> Path:
    """The small study with a midtraining of some seconds."""
    folder.mkdir()
    path = folder / "long.yaml"
    edits = {
        "tokens: 2000\n": "tokens: 60000\n",
        "runtime: {threads_per_worker: 1}": f"runtime: {{threads_per_worker: 1, checkpoint_every_s: {checkpoint_every_s}}}",
    }
    path.write_text(harness.edited(harness.SMALL, edits))
    return path


def midtrained(store: Path) -> dict[str, object]:
    (record,) = harness.records(store, "midtrain").values()
    return record


@pytest.mark.slow
def test_a_killed_stage_goes_on_where_its_checkpoint_was(tmp_path):
    study = long_study(tmp_path / "a", 0.5)
    store, straight = tmp_path / "store", tmp_path / "straight"
    running = harness.start("study", "run", study, "--store", store, "--json", "--workers", "1")
    until = time.monotonic() + 120
    while not list(store.glob("checkpoints/*/checkpoint-*/trainer_state.json")):
        assert running.process.poll() is None and time.monotonic() < until, "no checkpoint was written"
        time.sleep(0.02)
    running.process.kill()
    running.wait()
    assert running.gone() and not harness.records(store, "midtrain")
    harness.run_study(study, store, workers=1)
    resumed = midtrained(store)
    assert 0 < resumed["resumed_at_update"] < resumed["updates"]
    assert not list((store / "checkpoints").iterdir()), "what was gone on from is gone once the stage is whole"
    harness.run_study(long_study(tmp_path / "b", 600), straight, workers=1)
    assert midtrained(straight)["resumed_at_update"] == 0
    assert set(harness.digests(store)) == set(harness.digests(straight)), "how often a stage is saved is not identity"
    ours, theirs = harness.score_rows(store), harness.score_rows(straight)
    for name, rows in theirs.items():
        assert [r["value"] for r in ours[name]] == pytest.approx([r["value"] for r in rows], abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("stop", "devices"), [(signal.SIGTERM, 1), (signal.SIGINT, 1), (signal.SIGTERM, 2)])
def test_a_run_that_is_asked_to_stop_saves_the_stage_it_is_in(stop, devices, tmp_path):
    """What a batch system sends before its limit, and Ctrl-C: no checkpoint is due by the clock."""
    study, store = long_study(tmp_path / "a", 600), tmp_path / "store"
    study.write_text(study.read_text().replace("runtime: {", f"runtime: {{devices_per_stage: {devices}, "))
    running = harness.start("study", "run", study, "--store", store, "--plain", "--workers", "1")
    until = time.monotonic() + 120
    while not any("midtrain" in (p / "log.txt").read_text() for p in store.glob("stage/*") if (p / "log.txt").is_file()):
        assert running.process.poll() is None and time.monotonic() < until, "no stage began"
        time.sleep(0.02)
    time.sleep(4 if devices == 1 else 14)  # several processes begin later
    running.process.send_signal(stop)
    code, _, err = running.wait()
    assert code == 4 and "stopping: a training stage saves a checkpoint first" in err, err
    assert running.gone() and not harness.records(store, "midtrain") and not list((store / "stage").iterdir())
    (state,) = store.glob("checkpoints/**/checkpoint-*/trainer_state.json")
    harness.run_study(study, store, workers=1)
    assert 0 < midtrained(store)["resumed_at_update"] == int(state.parent.name.rsplit("-", 1)[-1])
