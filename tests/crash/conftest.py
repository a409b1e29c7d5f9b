"""The tiny study with stand-in actions: the whole machinery in about two seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import pytest

TOY = (sys.executable, str(Path(__file__).with_name("toy_cli.py")))


@pytest.fixture(scope="session")
def finished_toy(tiny_text: str, tmp_path_factory: pytest.TempPathFactory) -> harness.Finished:
    """The tiny study run straight through with stand-in actions. Read only."""
    folder = tmp_path_factory.mktemp("toy")
    study = folder / "tiny.yaml"
    study.write_text(tiny_text)
    return harness.Finished(study, folder / "store", harness.run_study(study, folder / "store", command=TOY))


@pytest.fixture
def toy_start(tmp_path: Path) -> Callable[..., harness.Running]:
    """Start the command line with stand-in actions; `pause_s` is slept three times a step."""

    def start(*args: str | Path, pause_s: float = 0.01, **env: str) -> Any:
        return harness.start(*args, command=TOY, env={"TOY_PAUSE_S": str(pause_s), **env})

    return start
