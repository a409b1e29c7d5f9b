"""Shared fixtures: a small real study on a shipped development base, and ways to run the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("SPECSCI_RAISE", "1")  # what nobody foresaw is raised, not written into a file to send

TINY = harness.TINY


@pytest.fixture(scope="session")
def tiny_text() -> str:
    """The tiny study's file."""
    return TINY


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A small study file: 2 replicates, 4 arms, 30 steps, seconds of training."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def specsci() -> Run:
    """Run the command line in a process of its own; returns exit code, stdout and stderr."""

    def run(*args: str | Path, cwd: Path | None = None, timeout: float = 300, env: dict[str, str] | None = None) -> Any:
        command = [sys.executable, "-m", "specsci", *map(str, args)]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, cwd=cwd, env={**os.environ, **(env or {})}
        )

    return run


def run_json(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one JSON document of a `--json` command."""
    document: dict[str, Any] = json.loads(result.stdout)
    return document


@pytest.fixture(scope="session")
def finished_tiny(tmp_path_factory: pytest.TempPathFactory) -> harness.Finished:
    """The tiny study, run once for the whole session. Read only: damage a copy (`tiny_copy`)."""
    folder = tmp_path_factory.mktemp("finished")
    study = folder / "tiny.yaml"
    study.write_text(TINY)
    return harness.Finished(study, folder / "store", harness.run_study(study, folder / "store"))


@pytest.fixture
def tiny_copy(finished_tiny: harness.Finished, tmp_path: Path) -> harness.Finished:
    """A copy of the finished tiny study that a test may damage."""
    shutil.copytree(finished_tiny.store, tmp_path / "store")
    shutil.copy(finished_tiny.study, tmp_path / "tiny.yaml")
    return harness.Finished(tmp_path / "tiny.yaml", tmp_path / "store")


@pytest.fixture(scope="session")
def finished_small(tmp_path_factory: pytest.TempPathFactory) -> harness.Finished:
    """A part of the tiny study (one replicate, two arms), run by one worker in a store of its own. Read only."""
    folder = tmp_path_factory.mktemp("small")
    study = folder / "small.yaml"
    study.write_text(harness.SMALL)
    return harness.Finished(study, folder / "store", harness.run_study(study, folder / "store", workers=1))
