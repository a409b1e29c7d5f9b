"""`study check`: what it says and how it ends where the file is right and a gate would refuse its run; odd files."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import harness
import pytest

from specsci.cli.main import main

REFUSED = harness.SMALL.replace("gates: {accept_few_updates: a test of the machinery}\n", "")


@pytest.fixture
def cli(monkeypatch, capsys, tmp_path: Path):
    monkeypatch.chdir(tmp_path)

    def run(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["specsci", *map(str, args)])
        with pytest.raises(SystemExit) as end:
            main()
        return (int(end.value.code or 0), *capsys.readouterr())

    return run


def test_a_study_that_a_gate_refuses_is_not_called_valid(cli, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(REFUSED)
    code, out, _ = cli("study", "check", path)
    assert code == 3 and "refused by dose: nothing of it would run" in out and "valid" not in out
    assert "refuse: dose:" in out and "hint: raise midtrain.tokens" in out
    code, out, _ = cli("study", "check", path, "--json")
    said = json.loads(out)
    assert (code, said["valid"], said["refused_by"]) == (3, False, ["dose"])
    assert cli("study", "plan", path)[0] == 3


def test_a_sound_study_is_valid_and_says_what_it_lacks(cli, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(harness.SMALL)
    code, out, _ = cli("study", "check", path)
    assert code == 0 and ": valid (small" in out and "warn: competence: no eval has the role competence" in out
    assert json.loads(cli("study", "check", path, "--json")[1])["valid"] is True


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_regular_file_is_refused_at_once(cli, tmp_path: Path, make) -> None:
    make(tmp_path / "s.yaml")
    code, _, err = cli("study", "check", tmp_path / "s.yaml")
    assert code == 2 and "is not a regular file" in err


def test_a_pipe_beside_a_study_is_refused_at_once(cli, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "texts.jsonl")
    (tmp_path / "s.yaml").write_text(
        harness.edited(harness.SMALL, {"  tokens: 2000": "  tokens: 2000\n  replay: texts.jsonl"})
    )
    code, _, err = cli("study", "check", tmp_path / "s.yaml")
    assert code == 2 and "s.yaml:16:11: text file 'texts.jsonl' is not a regular file" in err


def test_a_title_may_hold_anything_and_the_terminal_shows_it(cli, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(harness.edited(harness.SMALL, {"title: base": 'title: "\\e]0;pwn\\a[b]x[/b]"'}))
    code, out, err = cli("study", "plan", path)
    assert code == 0 and not {"\x1b", "\x07"} & set(out + err)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seed: 1,", "seed: true,"),
        ("rules: 1, aft", "rules: true, aft"),
        ("budget_tokens: 300, factor", "budget_tokens: true, factor"),
        ("tokens: 2000", "tokens: true"),
        ("[150, 300]", "[true, 300]"),
    ],
)
def test_a_switch_where_a_number_is_wanted_is_no_number(old, new, edited, problems, place) -> None:
    path = edited((old, new))
    assert problems(path) == [f"{place(path, 'true')}: true and false are not numbers | write the number"]


def test_what_a_profile_sets_is_located_in_the_profile(edited, problems, place) -> None:
    path = edited(add="profiles: {micro: {midtrain: {tokens: true}}}\n")
    assert problems(path) == [f"{place(path, 'true')}: true and false are not numbers | write the number"]


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ("[{arm: rules, reference: rules}]", "'rules' is compared with itself: the ratio is 1 whatever it is"),
        ("[{arm: rules, reference: aft}, {arm: rules, reference: aft}]", "'rules' over 'aft' is listed twice"),
        (
            "[{arm: msm_rules, reference: aft}]",
            "'msm_rules' is not fine-tuned: it has no AFT budgets at which its rate could fall",
        ),
        ("[{arm: rules, reference: aft}], exploratory_level_shares: [0.75, 0.5]", "the level 0.5 is asked for twice"),
    ],
)
def test_token_efficiency_that_says_nothing_or_says_it_twice_is_refused(pairs, said, edited, problems) -> None:
    (found,) = problems(edited(("[{arm: rules, reference: aft}]", pairs)))
    assert said in found
