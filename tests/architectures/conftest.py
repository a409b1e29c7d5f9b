"""Examinations inside the test's own process, and notes of them in a folder of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def own_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No examination of another test is found again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "notes"))
