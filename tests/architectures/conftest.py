"""Examinations inside the test's own process, and notes of them in a folder of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from specsci.intake import prove
from specsci.sources import examine

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def own_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No examination of another test is found again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "notes"))


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Examine here: a process of its own takes seconds to import torch."""
    monkeypatch.setattr(examine, "_in_a_process", prove.answers)
