"""A run that had nothing to do answers at once the next time, and never where anything that it rests on has changed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import harness
import pytest

from specsci.cli import unchanged
from specsci.core.shipped import find_family


@pytest.fixture
def place(finished_small, tmp_path, monkeypatch):
    """A finished study with a family of its own, whose answer is kept."""
    monkeypatch.setenv("SPECSCI_CACHE", str(tmp_path / "cache"))
    work = tmp_path / "work"
    work.mkdir()
    shutil.copytree(find_family("microlab_conduct"), work / "spec_variants" / "microlab_conduct")
    shutil.copy(finished_small.study, work / "small.yaml")
    shutil.copytree(finished_small.store, work / "store", symlinks=True)
    run(work)
    assert json.loads(run(work)[1])["executed"] == 0
    return work


def run(work: Path) -> tuple[int, str, str]:
    """The command in a process of its own; with it a line on stderr where it read the study."""
    env = {"PYTHONPATH": str(work.parent)}
    (work.parent / "sitecustomize.py").write_text(
        "import sys\nsys.addaudithook(lambda e, a: sys.stderr.write('READ\\n') if e == 'open' and str(a[0]).endswith('small.yaml') else None)\n"
    )
    return harness.run("study", "run", "small.yaml", "--store", "store", "--json", cwd=work, env=env)


def known(work: Path) -> bool:
    code, out, err = run(work)
    assert code in (0, 1, 2) and (code or json.loads(out)["study"] == "small"), err
    return "READ" not in err


def test_the_answer_is_the_same_and_reads_nothing(place) -> None:
    first, second = run(place), run(place)
    assert "READ" not in second[2] and second[0] == 0
    assert json.loads(first[1]) == json.loads(second[1]) and json.loads(second[1])["reused"] == len(harness.digests(place / "store"))


def family(work: Path) -> Path:
    return work / "spec_variants" / "microlab_conduct"


def artefact(work: Path, kind: str = "score") -> Path:
    return sorted((work / "store" / "steps" / kind).iterdir())[0]


CHANGES = {
    "the study is edited": lambda w: (w / "small.yaml").write_text((w / "small.yaml").read_text() + "\n# a remark\n"),
    "the study is another file with the same text": lambda w: shutil.copy(w / "small.yaml", w / "x") and (w / "x").replace(w / "small.yaml"),
    "the family is edited": lambda w: (family(w) / "family.yaml").write_text((family(w) / "family.yaml").read_text() + "\n"),
    "an item set is edited": lambda w: (family(w) / "items" / "held_out.jsonl").write_text((family(w) / "items" / "held_out.jsonl").read_text() + "\n"),
    "a family of the same name comes beside the study": lambda w: shutil.copytree(family(w), w / "microlab_conduct"),
    "an item set comes": lambda w: (family(w) / "items" / "new.jsonl").write_text(""),
    "a file of the family goes": lambda w: (family(w) / "grammar.yaml").unlink(),
    "an artefact goes": lambda w: shutil.rmtree(artefact(w)),
    "a file of an artefact is cut": lambda w: (artefact(w) / "scores.parquet").write_bytes((artefact(w) / "scores.parquet").read_bytes()[:-1]),
    "a file of an artefact changes with its size and time kept": lambda w: kept(artefact(w, "midtrain") / "curve.parquet"),
    "another study's artefact comes": lambda w: shutil.copytree(artefact(w), artefact(w).with_name("0" * 24)),
    "the results go": lambda w: (w / "store" / "results.duckdb").unlink(),
    "the manifest is edited": lambda w: (w / "store" / "studies" / "small.json").write_text("{"),
    "another study comes": lambda w: shutil.copy(w / "store" / "studies" / "small.json", w / "store" / "studies" / "other.json"),
    "somebody makes a claim": lambda w: ((w / "store" / "claims").mkdir(exist_ok=True), (w / "store" / "claims" / "c.json").write_text("{}")),
    "a stage is left behind": lambda w: (w / "store" / "stage" / "x.y").mkdir(),
}


def kept(path: Path) -> None:
    before = path.stat()
    harness.flip_byte(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


OFTEN = ("the study is edited", "a family of the same name comes beside the study", "an item set comes", "a file of an artefact changes with its size and time kept", "the results go")
"""The changes that are tried at each run of the tests."""


@pytest.mark.parametrize("change", [pytest.param(c, marks=() if c in OFTEN else pytest.mark.slow) for c in CHANGES])
def test_any_change_is_looked_at(change, place) -> None:
    assert known(place)
    CHANGES[change](place)
    assert not known(place), change


def test_another_place_environment_or_command_is_another_answer(place, monkeypatch) -> None:
    arguments = ["study", "run", "small.yaml", "--store", "store", "--json"]
    monkeypatch.chdir(place)
    here = unchanged._place(arguments)
    assert unchanged._place([*arguments, "--workers", "1"]) != here
    monkeypatch.setenv("SPECSCI_LEDGER", "files")
    assert unchanged._place(arguments) != here
    monkeypatch.delenv("SPECSCI_LEDGER")
    monkeypatch.chdir(place.parent)
    assert unchanged._place(arguments) != here
    assert not unchanged.is_asked(["study", "run", "small.yaml"]) and not unchanged.is_asked(["study", "plan", "x", "--json"])


@pytest.mark.slow
@pytest.mark.parametrize("rubbish", ["", "{", "[]", '{"format": 1}', '{"format": 1, "files": {"": {"x": [1]}}, "said": "no"}', '{"format": 1, "files": 3, "said": ""}'])
def test_a_kept_answer_that_cannot_be_read_is_none(rubbish, place, monkeypatch) -> None:
    (kept_answer,) = (place.parent / "cache" / "unchanged").glob("*.json")
    kept_answer.write_text(rubbish)
    assert not known(place)
    assert known(place), "and is kept anew"
