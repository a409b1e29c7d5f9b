"""Tables: what is rounded, escaped, starred and shown as a bound."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from specsci.database.manifest_parts import Arm
from specsci.report.ablation import Ablation, Control, RateCell
from specsci.report.table import Table, rate
from specsci.report.tables import as_csv, as_json, markdown, preamble, tables_of
from specsci.stats.intervals import rate_interval


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, ".000"), (0.5, ".500"), (0.1234, ".123"), (0.0004, ".000"), (0.9994, ".999"), (0.9995, "1.000"), (1, "1.000")],
)
def test_a_rate_has_three_digits_and_no_leading_zero(value, text) -> None:
    assert rate(value) == text


def test_markdown_escapes_pipes_and_line_breaks_of_cells() -> None:
    text = markdown([Table("T", ["a", "b"], [["x|y", "two\nlines"]], note="N")])
    assert text == "**T**\n\n| a | b |\n|---|---|\n| x\\|y | two lines |\n\nN\n"


def test_csv_quotes_what_needs_it_and_reads_back() -> None:
    rows = [['say "x", y', "1\n2"], ["", "é"]]
    text = as_csv([Table("T", ["a", "b"], rows)])
    assert text.startswith("# T\n")
    assert list(csv.reader(io.StringIO(text.split("\n", 1)[1]))) == [["a", "b"], *rows]


def cell(rates: list[float]) -> RateCell:
    values = {f"b{i}": r for i, r in enumerate(rates)}
    return RateCell(rate_interval(np.array(rates), 50), 10, 90, 100, values)


CONTRAST = {
    "contrast": "x_over_y", "eval": "held_out", "budget_tokens": "150,300", "primary": True, "confounds": "",
    "flags": [], "scale": "rate", "family": "main", "estimate": 0.1234, "ci_low": -0.02, "ci_high": 0.3, "p": 0.04567, "p_adj": 0.00001, "method": "t",
}  # fmt: skip


def flag(text: str) -> dict[str, str]:
    return {"code": "a_code", "severity": "warning", "text": text}


EFFICIENCY = {
    "arm": "x", "reference": "aft", "counting": "AFT tokens", "level": 0.25, "arm_tokens": "≤ 500",
    "reference_tokens": "4,000", "ratio": "≥ 8", "ci_low": 2.0, "ci_high": None, "level_share": 0.5, "exploratory": False,
}  # fmt: skip


X = float("nan")
CONTROLS = [
    Control("trained", "trained", "base", 0.0, 0.02, 10),
    Control("trained", "trained", "x", 0.1, 0.25, 10, 150),
    Control("trained", "trained", "x", 0.9, 0.95, 10, 300),
    Control("competence", "competence", "x", 0.9, 0.95, 10, 150, 2, 1),
    Control("competence", "competence", "x", X, X, 10, 300, 2, 2),
]


@pytest.fixture
def content() -> Ablation:
    arms = {
        "base": Arm(title="base", midtrain=None, align=None),
        "aft": Arm(title="AFT", midtrain=None, align="choices"),
        "x": Arm(title="X", midtrain="x", align="choices"),
    }
    cells = {("base", 0): cell([0.9, 0.8, 0.85]), ("aft", 300): cell([0.5, 0.5, 0.5]), ("x", 300): cell([0.2, 0.3, 0.1])}
    return Ablation(
        "tiny", "A title", "Rules\nhelp.", "", "microlab_conduct 1.0.0", "base model", [0, 150, 300], {"held_out": cells}, arms,
        CONTROLS, [CONTRAST], [EFFICIENCY], "holm", 6, 5,
    )  # fmt: skip


def test_the_rates_table_stars_intervals_without_spread_and_says_why(content) -> None:
    table = tables_of(content)[0]
    rows = {r[0]: r[1:] for r in table.rows}
    assert rows["x"] == ["–", "–", ".200 [.000, .448]"]
    assert rows["aft"][0] == ".850 [.726, .974]" and rows["aft"][2] == ".500 [.366, .634]*"
    assert table.note.endswith("* No spread between replicates: Wilson interval of one replicate's items.")
    assert "90 valid (30 not valid in all cells)" in table.note


def test_a_contrast_row_shows_both_p_values_and_its_budgets(content) -> None:
    table = next(t for t in tables_of(content) if t.title.startswith("Contrasts"))
    assert table.rows == [
        ["x_over_y (primary)", "held_out", "150, 300", "+0.123", "[-0.020, +0.300]", ".0457", "<.0001", "–"]
    ]


def test_a_confounded_or_unanswered_contrast_says_so(content) -> None:
    content.contrasts = [
        {
            **CONTRAST,
            "confounds": "aft_tokens (300 against 0)",
            "flags": [flag("sensitive: one replicate decides the verdict")],
        },
        {**CONTRAST, "estimate": None, "flags": [flag("incomplete: 1 of 3 replicates")]},
    ]
    rows = next(t for t in tables_of(content) if t.title.startswith("Contrasts")).rows
    assert rows[0][-1] == "confounded: aft_tokens (300 against 0); sensitive: one replicate decides the verdict"
    assert rows[1][3:] == ["–", "–", "–", "–", "incomplete: 1 of 3 replicates"]


def test_censored_numbers_are_shown_as_bounds(content) -> None:
    table = next(t for t in tables_of(content) if t.title.startswith("Token efficiency"))
    assert table.title == "Token efficiency: tokens until the misaligned rate falls to .250 (50% of the base's)"
    assert table.rows == [["x", "aft", "AFT tokens", "≤ 500", "4,000", "≥ 8", "2 to open"]]
    assert "never extrapolated" in table.note


def test_every_level_has_a_table_and_an_exploratory_one_says_so(content) -> None:
    content.efficiency.append({**EFFICIENCY, "level": 0.125, "level_share": 0.25, "exploratory": True, "ratio": "≥ 3"})
    titles = [t.title for t in tables_of(content) if t.title.startswith("Token efficiency")]
    assert titles[1] == (
        "Token efficiency (exploratory level): tokens until the misaligned rate falls to .125 (25% of the base's)"
    )
    assert len(titles) == 2
    declared, further = (t for t in tables_of(content) if t.title.startswith("Token efficiency"))
    assert [t.rows[0][5] for t in (declared, further)] == ["≥ 8", "≥ 3"]


def test_a_ratio_that_cannot_be_said_is_undetermined(content) -> None:
    content.efficiency = [{**EFFICIENCY, "ratio": None, "ci_low": None, "ci_high": None}]
    table = next(t for t in tables_of(content) if t.title.startswith("Token efficiency"))
    assert table.rows[0][-2:] == ["undetermined", "undetermined"]


def test_a_contrast_names_its_scale_and_a_family_beside_the_main_one(content) -> None:
    content.contrasts = [{**CONTRAST, "primary": False, "scale": "logit", "family": "exploratory"}]
    table = next(t for t in tables_of(content) if t.title.startswith("Contrasts"))
    assert table.rows[0][0] == "x_over_y (logit scale) [exploratory]" and "a family beside the main one" in table.note


def test_controls_stand_at_each_budget_with_the_worst_model_and_what_cannot_be_read(content) -> None:
    trained, format_control = (t for t in tables_of(content) if t.title.startswith("Controls"))
    assert trained.header == ["arm", "no AFT", "150 AFT tokens", "300 AFT tokens"]
    assert trained.rows == [["aft", ".020 (.000)", "–", "–"], ["x", "–", ".250 (.100)", ".950 (.900)"]]
    assert format_control.rows == [["x", ".950 (.900; 1 of 2 unread)", "–; 2 of 2 unread"]]
    shown = json.loads(as_json(content))["controls"]
    assert [c["aft_tokens"] for c in shown] == [0, 150, 300, 150, 300] and shown[-1]["mean"] is None


def test_every_replicates_rate_is_shown_unless_left_out(content) -> None:
    table = tables_of(content)[-1]
    assert table.title == "Misaligned rate on held_out in each replicate"
    assert ["x", "b1", "–", "–", ".300"] in table.rows
    assert len(tables_of(content, per_replicate=False)) == len(tables_of(content)) - 1


def test_the_preamble_says_what_is_missing_and_what_the_microlab_is(content) -> None:
    content.disclaimers = ["The base is a toy and says nothing about large models."]
    text = preamble(content)
    assert text[:4] == [
        "A title", "Hypothesis: Rules help.", "Spec family: microlab_conduct 1.0.0.", "INCOMPLETE: 5 of 6 cells are scored.",
    ]  # fmt: skip
    assert "says nothing about large models" in text[-1]


def test_json_has_the_numbers_unrounded(content) -> None:
    data = json.loads(as_json(content))
    row = next(r for r in data["rates"] if r["arm"] == "x")
    assert row["misaligned"] == pytest.approx(0.2) and (row["aligned"], row["valid"], row["attempted"]) == (10, 90, 100)
    assert row["replicates"] == {"b0": 0.2, "b1": 0.3, "b2": 0.1} and data["contrasts"][0]["p"] == 0.04567
