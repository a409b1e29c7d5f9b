"""The Python API: its names are frozen as the command line's are."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import specsci
from specsci import api
from specsci.cli.main import cli
from specsci.core.errors import UserError

FROZEN = {
    "load_study": "(name, *, profile, overrides, limit)",
    "open_store": "(path, *, create)",
    "Study": "file loaded name plan run",
    "StudyPlan": "as_dict findings plan run steps text",
    "StudyPlan.run": "(self, *, store, workers, executor, address, progress, check)",
    "Run": "raise_for_failure report results store study",
    "Store": "path rebuild results",
    "Results": "contrast frame root sql studies study table",
    "Results.contrast": "(self, *, eval, weights, study, **options)",
    "Tables": "lines markdown tables",
}
"""Notebooks rely on these names: add freely, take nothing away."""


def shown(name: str) -> str:
    thing = api
    for part in name.split("."):
        thing = getattr(thing, part)
    if inspect.isclass(thing):
        public = {n for n in dir(thing) if not n.startswith("_")} | set(getattr(thing, "__dataclass_fields__", {}))
        return " ".join(sorted(n for n in public if not n.startswith("_")))
    out, starred = [], False
    for p in inspect.signature(thing).parameters.values():
        if p.kind is p.KEYWORD_ONLY and not starred:
            out.append("*")
            starred = True
        out.append(f"**{p.name}" if p.kind is p.VAR_KEYWORD else p.name)
    return f"({', '.join(out)})"


@pytest.mark.parametrize("name", FROZEN)
def test_the_api_is_as_frozen(name: str) -> None:
    assert shown(name) == FROZEN[name]


def test_the_package_has_the_two_doors_and_is_typed() -> None:
    assert set(specsci.__all__) == {"__version__", "load_study", "open_store"}
    assert specsci.load_study is api.load_study and specsci.open_store is api.open_store
    assert (Path(specsci.__file__).parent / "py.typed").is_file()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = specsci.nothing


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, specsci; print([m for m in ('torch', 'pydantic', 'duckdb', 'numpy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_study_and_its_plan_say_what_they_are(tiny: Path, tmp_path: Path) -> None:
    study = specsci.load_study(tiny, overrides={"midtrain.tokens": 2100})
    plan = study.plan()
    assert repr(study).startswith("<Study tiny+set-") and "4 arms, 2 evals, 2 replicates" in repr(study)
    assert repr(plan).startswith("<StudyPlan tiny+set-") and f"{len(plan.steps)} steps" in repr(plan)
    assert plan.as_dict(tmp_path)["to_run"] == len(plan.steps)
    plain = ["study", "plan", str(tiny), "--set", "midtrain.tokens=2100", "--store", str(tmp_path), "--json"]
    assert json.loads(CliRunner().invoke(cli, plain).stdout) == json.loads(json.dumps(plan.as_dict(tmp_path), default=str))
    assert "to run: " in plan.text(tmp_path) and plan._repr_html_().startswith("<pre>tiny+set-")
    assert {f.level for f in plan.findings()} <= {"warn", "note"}


def test_a_store_that_is_not_there_and_a_wrong_display_are_the_users_mistakes(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no store in"):
        specsci.open_store(tmp_path / "none")
    with pytest.raises(UserError, match="progress is 'loud'"):
        specsci.load_study(tiny).run(store=tmp_path / "s", progress="loud")
    with pytest.raises(UserError, match="no executor 'moon'"):
        specsci.load_study(tiny).run(store=tmp_path / "s", progress="none", executor="moon")
    with pytest.raises(UserError, match="no results in"):
        specsci.open_store(tmp_path / "s").results.sql("SELECT 1")
