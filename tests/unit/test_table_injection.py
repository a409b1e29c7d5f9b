"""Names of strangers in CSV and Markdown: no spreadsheet computes them, no browser reads them as tags; numbers stay numbers."""

from __future__ import annotations

import csv
import io

import pytest

from specsci.report.table import Table
from specsci.report.tables import as_csv, csv_cell, markdown

FORMULAS = [
    "=cmd|' /C calc'!A0", "=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0", "+1+cmd|'x'!A0",
    " =1+1", "\t=1+1", "\r=1", "\n=1", "＝1+1", "=HYPERLINK(\"http://x\")", "-A1", "+A1", "-1e", "-e5+A1",
]  # fmt: skip


@pytest.mark.parametrize("text", FORMULAS)
def test_what_a_spreadsheet_would_compute_is_text(text: str) -> None:
    assert csv_cell(text) == "'" + text.replace("\r", "\\x0d")
    (title, row) = list(csv.reader(io.StringIO(as_csv([Table("t\n=1", [text], [])]), newline="")))
    assert title == ["# t =1"] and row == [csv_cell(text)]


NUMBERS = [
    "-0.5", "+.148", "+.148 [-.031, .327]", "-1.5e-05", "+1e3", "-12,345", "-3 %", "–", "", "0", "12", "-inf", "+nan", ".361", "a=b",
    "x-1", "#1", "-1 [-2.0, –]",
]  # fmt: skip


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_and_plain_names_stay_as_they_are(text: str) -> None:
    assert csv_cell(text) == text


def test_no_name_is_a_tag_in_markdown() -> None:
    shown = markdown(
        [Table("<b>t</b>", ["a|b", "<i>"], [["<img src=x onerror=1>", "p < .05 <= 1\n|"]], "<script>x</script>")]
    )
    assert "<b" not in shown and "<i" not in shown and "<script" not in shown
    assert "| &lt;img src=x onerror=1> | p < .05 <= 1 \\| |" in shown and "| a\\|b | &lt;i> |" in shown
