"""A study whose stages run over two processes: killed inside one, it goes on, and ends as the study of one process does."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import harness
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

ALONE = harness.edited(
    harness.SMALL, {"budgets_tokens: [150, 300]": "budgets_tokens: [300]", "tokens: 2000": "tokens: 6000"}
)
SHARED = harness.edited(
    ALONE,
    {"threads_per_worker: 1": "threads_per_worker: 1, devices_per_stage: 2, sharding: fsdp2, checkpoint_every_s: 0.001"},
)


def trained(store: Path) -> dict[str, tuple[dict[str, object], Path]]:
    """Label to record and artefact of every trained model."""
    found = {}
    for kind in ("midtrain", "align"):
        for name, record in harness.records(store, kind).items():
            found[str(record["label"])] = (record, store / "steps" / name)
    return found


@pytest.mark.slow
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_a_sharded_study_that_was_killed_ends_as_a_straight_one_of_one_process(tmp_path):
    for name, text in (("alone", ALONE), ("shared", SHARED)):
        (tmp_path / f"{name}.yaml").write_text(text)
    harness.run_study(tmp_path / "alone.yaml", tmp_path / "one")
    store = tmp_path / "two"
    running = harness.start("study", "run", tmp_path / "shared.yaml", "--store", store, "--json")
    until = time.monotonic() + 120
    while not list(store.glob("checkpoints/*/fsdp2-2/checkpoint-*/trainer_state.json")):
        assert running.process.poll() is None and time.monotonic() < until, running.wait()
        time.sleep(0.02)
    os.kill(running.process.pid, signal.SIGKILL)
    running.wait()
    assert running.gone(), "no rank outlives its runner"
    report = harness.run_study(tmp_path / "shared.yaml", store)
    assert report["failed"] == 0
    one, two = trained(tmp_path / "one"), trained(store)
    assert one.keys() == two.keys() and len(one) == 2
    assert max(record["resumed_at_update"] for record, _ in two.values()) > 0
    for label, (record, folder) in two.items():
        assert (record["sharding"], record["devices"]) == ("fsdp2", 2)
        mine, theirs = (pq.read_table(p / "curve.parquet")["loss"].to_pylist() for p in (folder, one[label][1]))
        assert mine == pytest.approx(theirs, abs=1e-4)
        weights, others = (load_file(p / "model" / "model.safetensors") for p in (folder, one[label][1]))
        assert weights.keys() == others.keys()
        for name in weights:
            torch.testing.assert_close(weights[name], others[name], atol=5e-4, rtol=0)
    assert harness.digests(store) == harness.digests(tmp_path / "one"), "how a stage is run is in no identity"
