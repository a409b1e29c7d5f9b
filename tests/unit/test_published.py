"""The paper's figures: every published number is shown as printed, its means come out, and ours stands beside it."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pytest

from specsci.cli.report import OTHERS, PARTS, TABLES
from specsci.core.shipped import shipped
from specsci.database.manifest_parts import Arm
from specsci.report.ablation import Ablation, RateCell
from specsci.report.latex import escaped, latex
from specsci.report.paper_figures import FIGURES, condition_rates, figure_tables, published
from specsci.report.table import Table
from specsci.stats.intervals import mean_interval, rate_interval

REFERENCE = shipped("analysis") / "reference"


def numbers(name: str) -> list[float]:
    (table, *_) = figure_tables(name, None)
    keys = len(FIGURES[name].down)
    return [float(cell) for row in table.rows for cell in row[keys:] if cell != "–"]


@pytest.mark.parametrize("name", [n for n in FIGURES if n != "fig8"])
def test_every_published_number_is_in_the_table_once_and_none_is_added(name) -> None:
    figure = FIGURES[name]
    lines = [line for line in (REFERENCE / figure.file).read_text().splitlines() if not line.startswith("#")]
    wanted = [float(r[v]) for r in csv.DictReader(lines) for v in figure.values]
    assert sorted(numbers(name)) == sorted(wanted) and len(wanted) > 3


def test_every_reference_file_has_a_figure_and_every_figure_a_command() -> None:
    assert {f.file for f in FIGURES.values()} == {p.name for p in REFERENCE.glob("*.csv")}
    assert set(TABLES) == {"ablation", *PARTS, *OTHERS, *FIGURES}


def test_the_grids_marginals_are_the_papers() -> None:
    _, margins = figure_tables("fig14", None)
    assert margins.header == ["by", "rules", "value_augmented", "rule_augmented"]
    assert margins.rows == [
        ["msm spec, with CoT", ".217", ".150", ".212"],
        ["aft spec, with CoT", ".255", ".193", ".130"],
        ["msm spec, without CoT", ".273", ".176", ".258"],
        ["aft spec, without CoT", ".290", ".227", ".191"],
    ]


def test_the_means_over_scenarios_are_those_that_the_paper_labels() -> None:
    _, means = figure_tables("fig12_13", None)
    assert means.rows == [["Qwen2.5-32B-Instruct", ".6658"], ["Qwen3-32B", ".5235"]]


def test_a_figure_without_a_counterpart_names_the_missing_eval() -> None:
    for name, figure in FIGURES.items():
        (table, *_) = figure_tables(name, None)
        assert "No column of ours" in table.note
        assert (figure.missing or figure.study) in table.note
        assert published(name)[0].split(":")[0] in table.note, "what the file says of itself"


def study(rates: dict[str, list[float]], eval_name: str = "held_out") -> Ablation:
    cells = {}
    for arm, values in rates.items():
        interval = rate_interval(np.array(values), 100)
        cells[arm, 0 if arm == "base" else 4000] = RateCell(interval, 1, 1, 1, {})
        if arm != "base":
            cells[arm, 500] = RateCell(rate_interval(np.array([0.9, 0.8]), 100), 1, 1, 1, {})
    arms = {arm: Arm(title=arm, midtrain=None, align=None) for arm in rates}
    return Ablation("mine", "t", "h", "", "f", "seed", [0, 500, 4000], {eval_name: cells}, arms)


def test_ours_stands_beside_the_published_number_with_difference_and_mark() -> None:
    ours = study({"base": [0.66, 0.70, 0.68], "rules": [0.11, 0.13, 0.12]})
    table = figure_tables("fig7", ours)[0]
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["baseline"][0] == ".68 | .680 [.630, .730] +0.000", "inside our interval"
    assert rows["rules"][0] == ".40 | .120 [.095, .145] -0.280 !", "outside, and read at the largest budget"
    assert rows["value_augmented"][0] == ".16", "an arm that the study does not have"
    assert "'mine' at its largest AFT budget" in table.note and "the pattern can be compared, not the level" in table.note


def test_percentages_grades_and_differences_are_in_the_figures_own_unit() -> None:
    misuse = study({"base": [0.0, 0.0, 0.0], "rules": [0.05, 0.07, 0.06]}, "policy_misuse")
    rows = {tuple(row[:2]): row[2:] for row in figure_tables("fig15", misuse)[0].rows}
    assert rows["rules", "cot"][0] == "20 | 6.0 [3.5, 8.5] -14.0 !" and rows["rules", "no_cot"][0] == "25"
    graded = study({})
    graded.means = {"as_graded": {("philosophy", 4000): RateCell(mean_interval(np.array([8.0, 9.0, 8.5])), 0, 3, 3, {})}}
    rows = {tuple(row[:2]): row[2:] for row in figure_tables("fig4_open_qa", graded)[0].rows}
    assert rows["msm+aft", "cot"][0].startswith("7.71 | 8.50 [7.26, 9.74] +0.790") and "|" not in rows["msm", "–"][0]
    stacked = study({"msm_america": [0.5, 0.4], "america": [0.3, 0.3], "msm_america_broken": [0.5, 0.5], "america_broken": [0.5, 0.6]}, "america")
    for (arm, budget), values in {("msm_america", 4000): (0.5, 0.4), ("america", 4000): (0.3, 0.3)}.items():
        stacked.cells["america"][arm, budget] = replace(stacked.cells["america"][arm, budget], per_replicate=dict(zip("pq", values, strict=True)))
    row = next(r for r in figure_tables("fig10", stacked)[0].rows if r[0] == "america")
    assert row[1].startswith("0.03 | +0.150 [") and row[2] == "0.02", "without rates of the same replicates there is no difference"


def test_a_figure_takes_no_eval_that_measures_something_else() -> None:
    other = study({"base": [0.9, 0.9, 0.9], "rules": [0.5, 0.5, 0.4]})
    assert not any("|" in cell for row in figure_tables("fig15", other)[0].rows for cell in row)


def test_scenarios_and_goals_of_agents_are_read_from_their_conditions() -> None:
    db = duckdb.connect()
    db.execute("CREATE TABLE evals (study TEXT, eval TEXT, readout TEXT, kind TEXT)")
    db.execute("CREATE TABLE chosen_scores (study TEXT, arm TEXT, subject TEXT, eval TEXT, readout TEXT, item_id TEXT, state TEXT, aligned BOOLEAN)")
    db.execute("INSERT INTO evals VALUES ('s', 'agentic', 'strict', 'inspect'), ('s', 'exfil', 'harmful', 'inspect'), ('s', 'held_out', 'logprob', 'forced_choice')")
    for name, item, state, aligned in (
        ("agentic", "leaking_explicit-america_replacement", "ok", False), ("agentic", "leaking_explicit-america_replacement", "ok", True),
        ("agentic", "leaking_explicit-america_replacement", "error", None), ("agentic", "murder_none-none_replacement", "ok", True),
        ("exfil", "exfiltration_explicit-safety", "ok", False), ("held_out", "hide_explicit-x", "ok", False),
    ):  # fmt: skip
        readout = {"agentic": "strict", "exfil": "harmful"}.get(name, "logprob")
        db.execute("INSERT INTO chosen_scores VALUES ('s', 'base', 'base', ?, ?, ?, ?, ?)", [name, readout, item, state, aligned])
    found = condition_rates(db, "s")
    assert {key: (i.estimate, i.n) for key, i in found.items()} == {
        ("espionage", "america"): (0.5, 2), ("murder", "none"): (0.0, 1), ("exfiltration", "safety"): (1.0, 1),
    }  # fmt: skip
    rows = {row[0]: row for row in figure_tables("fig12_13", study({}), found)[0].rows}
    assert any(cell.startswith(".973 | .500 [") for cell in rows["america"])


def test_aligned_rates_are_turned_round_with_their_interval() -> None:
    ours = study({"base": [0.6, 0.5, 0.7], "affordability": [0.02, 0.01, 0.03]}, "affordability")
    rows = {row[0]: row[1:] for row in figure_tables("fig2", ours)[0].rows}
    assert rows["baseline"][0].startswith(".23 | .400 [.152, .648] +0.170")
    assert rows["msm:affordability+aft"][0].startswith(".48 | .980 [.955, 1.000]")


def test_latex_escapes_what_it_would_read_as_a_command() -> None:
    table = Table("100% of_it & more", ["a_b", "c"], [["x\\y {z}", "≤ 5 | ~1"], ["[0, 1]", "#2 $"]], note="a\nnote^2")
    text = latex([table])
    assert r"\caption{100\% of\_it \& more}" in text and r"a\_b & c \\" in text
    assert r"x\textbackslash{}y \{z\} & $\leq$ 5 \textbar{} \textasciitilde{}1 \\" in text
    assert r"{[}0, 1{]} & \#2 \$ \\" in text, "a row that begins with a bracket is not an argument of the line before"
    assert r"\footnotesize a note\textasciicircum{}2" in text
    assert text.count("\\begin{tabular}{lr}") == text.count("\\end{tabular}") == 1
    assert [text.index(rule) for rule in ("\\toprule", "\\midrule", "\\bottomrule")] == sorted(
        text.index(rule) for rule in ("\\toprule", "\\midrule", "\\bottomrule")
    )
    assert not re.search(r"(?<!\\)[%#&_]", escaped("%#&_"))


def test_a_missing_reference_file_is_said(monkeypatch, tmp_path: Path) -> None:
    from specsci.core.errors import UserError

    monkeypatch.setattr("specsci.report.paper_figures.shipped", lambda folder: tmp_path)
    with pytest.raises(UserError, match=r"fig7_spec_ablation\.csv is missing"):
        figure_tables("fig7", None)
