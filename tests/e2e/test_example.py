"""The example in one page runs as it stands, and prints its contrast with the counts under it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "one_contrast.py"


def test_the_example_prints_a_contrast_that_its_counts_give(tmp_path: Path) -> None:
    assert len(EXAMPLE.read_text().splitlines()) <= 150
    done = subprocess.run([sys.executable, str(EXAMPLE), str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    counts = {m[1]: int(m[2]) / int(m[3]) for m in re.finditer(r"^  (\w+): (\d+) of (\d+) valid answers", done.stdout, re.M)}
    shown = re.search(r"aligned rate on held-out items: ([+-][.\d]+) \[", done.stdout)
    assert shown and abs(float(shown[1]) - (counts["values"] - counts["rules"])) < 6e-4, done.stdout
    assert "The same rates by SQL" in done.stdout and "warning: few replicates (2)" in done.stdout
