"""A whole study with real training on a cluster of two machines, of which parts are killed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import psutil
import pytest

pytestmark = pytest.mark.slow


def wait_for(condition: Callable[[], Any], timeout_s: float = 180) -> Any:
    until = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < until, "nothing happened in time"
        time.sleep(0.02)
    return found


def ray_workers() -> list[psutil.Process]:
    """Worker processes of specsci below those of Ray that are on a step."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if " ".join(process.info["cmdline"] or []).startswith("ray::"):
            found += [c for c in process.children() if "spawn_main" in " ".join(c.cmdline())]
    return found


def training(store: Path) -> list[Path]:
    return [p for p in store.glob("stage/*") if p.is_dir() and not p.name.endswith(".scratch")]


def test_node_worker_and_driver_are_killed_and_the_rows_are_those_of_a_local_run(two_nodes: Any, tiny_text: str, tmp_path: Path) -> None:
    study = tmp_path / "tiny.yaml"
    study.write_text(tiny_text)
    local = harness.run_study(study, tmp_path / "local", workers=2)
    store = tmp_path / "store"
    command = ("study", "run", study, "--store", store, "--executor", "ray", "--address", two_nodes.address, "--json")
    second = two_nodes.worker_nodes and next(iter(two_nodes.worker_nodes))

    driver = harness.start(*command, env=dict(os.environ))
    wait_for(lambda: len(list(store.glob("steps/*/*/record.json"))) >= 8 and training(store))
    os.kill(wait_for(ray_workers)[0].pid, 9)
    wait_for(lambda: len(training(store)) >= 1)
    two_nodes.remove_node(second, allow_graceful=False)
    two_nodes.add_node(num_cpus=1, node_ip_address="127.0.0.2")
    wait_for(lambda: len(list(store.glob("steps/*/*/record.json"))) >= 14)
    driver.process.kill()
    driver.wait()

    code, out, err = harness.start(*command, env=dict(os.environ)).wait(400)
    assert code == 0, err
    report = json.loads(out)
    assert report["executed"] + report["reused"] == local["executed"] and report["executed"] > 0 and report["failed"] == 0
    ours, theirs = harness.records(store), harness.records(tmp_path / "local")
    assert ours.keys() == theirs.keys(), "the same digests, each artefact once"
    assert harness.score_rows(store) == harness.score_rows(tmp_path / "local")
    code, out, err = harness.start(*command, env=dict(os.environ)).wait(200)
    assert code == 0 and json.loads(out)["executed"] == 0, err
