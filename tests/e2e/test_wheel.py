"""The built wheel, installed where the checkout cannot be seen: shipped studies, specs and bases lie inside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import harness
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The command of a fresh environment that has the wheel, and the dependencies through a .pth file."""
    import numpy

    folder = tmp_path_factory.mktemp("venv") / "v"
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    (site,) = folder.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    dependencies = Path(numpy.__file__).parents[1]
    (site / "dependencies.pth").write_text(f"import sys; sys.path.append({str(dependencies)!r})\n")
    return (str(python), "-m", "specsci")


def outside(command: tuple[str, ...], *args: str | Path, cwd: Path) -> tuple[int, str, str]:
    """Run where neither the checkout nor PYTHONPATH can be seen."""
    clean = {"PYTHONPATH": "", "PYTHONSAFEPATH": "1", "PATH": os.path.dirname(command[0]) + ":/usr/bin:/bin"}
    return harness.run(*args, command=command, cwd=cwd, env=clean)


def test_the_wheel_holds_the_shipped_data_and_nothing_of_the_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "specsci/_shipped/studies/value_vs_rules.yaml",
        "specsci/_shipped/spec_variants/microlab_conduct/family.yaml",
        "specsci/_shipped/analysis/reference/fig14_pairing_grid.csv",
        "specsci/results/schema.sql",
        "specsci/results/views.sql",
        "specsci/microlab/bases/registry.json",
        "specsci/microlab/bases/conduct-100.safetensors",
        "specsci/sources/package/packages.json",
        "specsci/study/starter.yaml",
        "specsci/_shipped/studies/text/plain_chats.jsonl",
    ):
        assert wanted in names
    assert not [n for n in names if n.startswith(("tests/", "benchmarks/")) or n.endswith(".pyc")]
    for folder in ("studies", "spec_variants"):
        here = {str(p.relative_to(ROOT)) for p in (ROOT / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts}
        assert here == {n.removeprefix("specsci/_shipped/") for n in names if n.startswith(f"specsci/_shipped/{folder}/")}


def test_shipped_studies_are_found_by_name_from_anywhere(installed, tmp_path):
    code, out, err = outside(installed, "study", "check", "value_vs_rules.yaml", "--json", cwd=tmp_path)
    assert code == 0, err
    file = Path(json.loads(out)["file"])
    assert file.parts[-3:] == ("_shipped", "studies", "value_vs_rules.yaml")
    assert not file.is_relative_to(ROOT)
    code, out, err = outside(installed, "study", "plan", "value_vs_rules.yaml", "--json", cwd=tmp_path)
    assert code == 0, err
    plan = json.loads(out)
    assert plan["to_run"] == len(plan["steps"]) > 100
    assert not (tmp_path / ".specsci").exists(), "a plan writes nothing"
    code, out, err = outside(installed, "init", "mine", cwd=tmp_path)
    assert code == 0, err
    code, out, err = outside(installed, "study", "check", "mine/first_study.yaml", cwd=tmp_path)
    assert code == 0 and "valid (first_study" in out, out + err


@pytest.mark.slow
def test_the_installed_package_runs_a_study(installed, finished_small, tmp_path):
    """From a directory of its own; the rows are those of the checkout, digest by digest."""
    (tmp_path / "small.yaml").write_text(harness.SMALL)
    code, out, err = outside(installed, "study", "run", "small.yaml", "--json", "--workers", "1", cwd=tmp_path)
    assert code == 0, out + err
    assert json.loads(out)["executed"] == finished_small.report["executed"]
    assert harness.score_rows(tmp_path / ".specsci") == harness.score_rows(finished_small.store)
