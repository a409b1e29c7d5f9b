"""The tiny study with stand-in actions: the whole machinery in a second or two."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import harness
import pytest

TOY = (sys.executable, str(Path(__file__).with_name("toy_cli.py")))


@contextmanager
def toy_actions() -> Iterator[None]:
    """In this process, every step kind has the stand-in action."""
    import toy_cli

    from specsci.core.kinds import KINDS

    with mock.patch.dict(KINDS.objects, toy_cli.TOYS):
        yield


@pytest.fixture(scope="session")
def finished_toy(tiny_text: str, tmp_path_factory: pytest.TempPathFactory) -> harness.Finished:
    """The tiny study run straight through with stand-in actions. Read only."""
    folder = tmp_path_factory.mktemp("toy")
    study = folder / "tiny.yaml"
    study.write_text(tiny_text)
    with toy_actions():
        return harness.Finished(study, folder / "store", harness.run_study(study, folder / "store"))


@pytest.fixture
def toy_start() -> Callable[..., harness.Running]:
    """Start the command line with stand-in actions in a process; `pause_s` is slept three times a step."""

    def start(*args: str | Path, pause_s: float = 0.01, **env: str) -> Any:
        return harness.start(*args, command=TOY, env={"TOY_PAUSE_S": str(pause_s), **env})

    return start


@pytest.fixture
def toy_run() -> Callable[..., tuple[int, str, str]]:
    """Run the command line with stand-in actions in this process; returns exit code, stdout and stderr."""

    def run(*args: str | Path, **env: str) -> tuple[int, str, str]:
        with toy_actions():
            return harness.run(*args, env={"TOY_PAUSE_S": "0", **env})

    return run
