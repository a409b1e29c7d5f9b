"""Documentation is executed: every command of docs/, in the order in which a reader types them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def commands(text: str) -> str:
    """The shell blocks of a page as one script."""
    return "\n".join(re.findall(r"^```sh\n(.*?)^```$", text, flags=re.S | re.M))


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted(p.name for p in DOCS.glob("*.md") if commands(p.read_text())))
def test_every_command_of_a_page_works(page: str, tmp_path: Path) -> None:
    script = commands((DOCS / page).read_text())
    assert "specsci " in script
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {**{k: v for k, v in os.environ.items() if k != "SPECSCI_STORE"}, "PATH": path}

    def typed(script: str, folder: Path) -> str:
        command = ["bash", "-euo", "pipefail", "-c", script]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    out = typed(script, tmp_path)
    if page == "analyst.md":
        assert "thrift: withdrawn (eval affordability was invalidated: items were seen by the annotators)" in out
        assert "registered 20" in out and "whole, weighted" in out
        made = tmp_path / "first"
        assert (made / "forest.pdf").read_bytes().startswith(b"%PDF") and "\\toprule" in (made / "ablation.tex").read_text()
        assert '<h2 id="answers">' in (made / "first.html").read_text()
        again = json.loads(typed("specsci study run first_study.yaml --json", made))
        assert (again["executed"], again["failed"]) == (0, 0) and again["reused"] > 100
