"""Shared fixtures: a small real study on a shipped development base, and ways to run the command line."""

from __future__ import annotations

import gc
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
LONG_FIRST = ("crash", "e2e", "plugins", "invariance", "architectures")
"""Folders whose files take longest: with two workers, nobody waits for them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long files; `--dist loadfile --no-loadscope-reorder` keeps the order."""

    def turn(item: pytest.Item) -> int:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        return LONG_FIRST.index(folder) if folder in LONG_FIRST else len(LONG_FIRST)

    items.sort(key=turn)


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
    """Run the command line to its end; returns exit code, stdout and stderr as a finished process has them."""

    def run(*args: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(list(map(str, args)), *harness.run(*args, **options))

    return run


frozen = 0


def pytest_runtest_teardown() -> None:
    """Keep what imports made out of garbage collections, as workers do: trainers collect at their end."""
    global frozen
    if len(sys.modules) - frozen > 200:
        frozen = len(sys.modules)
        gc.collect()
        gc.freeze()


def pytest_unconfigure() -> None:
    """At the end all is let go, as extension modules expect."""
    gc.unfreeze()


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


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Examine bases here: a process of its own takes seconds to import torch."""
    from specsci.intake import prove
    from specsci.sources import examine

    monkeypatch.setattr(examine, "_in_a_process", prove.answers)
