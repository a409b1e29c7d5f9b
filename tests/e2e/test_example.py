"""The example in one page runs as it stands, and prints its contrast with the counts under it."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from specsci.api import StudyPlan

EXAMPLE = Path(__file__).parents[2] / "examples" / "one_contrast.py"


@pytest.mark.slow
def test_the_example_prints_a_contrast_that_its_counts_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(EXAMPLE.read_text().splitlines()) <= 150
    monkeypatch.setattr("sys.argv", [str(EXAMPLE), str(tmp_path)])
    monkeypatch.setitem(StudyPlan.run.__kwdefaults__, "executor", "inline")  # in this process, where torch is loaded
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    out = capsys.readouterr().out
    counts = {m[1]: int(m[2]) / int(m[3]) for m in re.finditer(r"^  (\w+): (\d+) of (\d+) valid answers", out, re.M)}
    shown = re.search(r"aligned rate on held-out items: ([+-][.\d]+) \[", out)
    assert shown and abs(float(shown[1]) - (counts["values"] - counts["rules"])) < 6e-4, out
    assert "The same rates by SQL" in out and "warning: few replicates (2)" in out
