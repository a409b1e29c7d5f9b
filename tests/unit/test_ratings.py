"""Ratings files: what agrees, a judge's error by strata, and every wrong row by its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from specsci.core.errors import InputFileError, UserError
from specsci.report.agreement import agreement_tables
from specsci.results.ratings import agreement, read_ratings


@pytest.fixture
def rated(tmp_path: Path):
    def read(*lines: str, header: str = "item_id,rater,label"):
        path = tmp_path / "ratings.csv"
        path.write_text("\n".join([header, *lines]) + "\n")
        return read_ratings(path)

    return read


def both(item: str, judge: str, human: str) -> list[str]:
    return [f"{item},judge,{judge}", f"{item},human,{human}"]


def test_two_raters_have_alpha_and_kappa(rated) -> None:
    lines = [row for n in range(20) for row in both(f"i{n}", "yes" if n < 12 else "no", "yes" if n < 10 else "no")]
    found = agreement(rated(*lines))
    names = {(a["who"], a["name"]) for a in found["agreement"]}
    assert names == {("all", "Krippendorff's alpha"), ("judge and human", "Cohen's kappa")}
    kappa = next(a for a in found["agreement"] if a["name"] == "Cohen's kappa")
    assert kappa["value"] == pytest.approx(0.8) and kappa["units"] == 20
    assert [row[0] for row in agreement_tables(found)[0].rows] == ["all", "judge and human"]


def test_a_judge_is_held_against_a_person_by_strata(rated) -> None:
    header = "item_id,rater,label,stratum,population"
    lines = []
    for n in range(10):
        lines += [f"s{n},judge,safe,safe,900", f"s{n},human,{'harm' if n == 0 else 'safe'},safe,900"]
        lines += [f"h{n},judge,harm,harm,100", f"h{n},human,{'safe' if n < 3 else 'harm'},harm,100"]
    found = agreement(rated(*lines, header=header), human="human")
    (error,) = found["errors"]
    assert error["error_rate"] == pytest.approx(0.9 * 0.1 + 0.1 * 0.3)
    assert [(s["stratum"], s["audited"], s["wrong"]) for s in error["strata"]] == [("harm", 10, 3), ("safe", 10, 1)]
    shown = agreement_tables(found)[1]
    assert (
        shown.title == "Errors against human" and shown.rows[-1][1] == "whole, weighted" and ".120 [" in shown.rows[-1][-1]
    )


def test_every_wrong_row_is_named(rated) -> None:
    header = "item_id,rater,label,stratum,population"
    with pytest.raises(InputFileError) as caught:
        rated("a,x,yes,s,10", "a,x,no,s,10", "b,,yes,s,10", "c,x,yes,s,11", "d,x,yes,t,none", header=header)
    text = str(caught.value)
    for said in (
        ":3:3: 'x' rated 'a' twice (line 2)",
        ":4:3: an empty cell",
        ":5:11: population '11'",
        ":6:11: population 'none'",
    ):
        assert said in text
    with pytest.raises(InputFileError, match="no column label"):
        rated("a,x", header="item_id,rater")


def test_what_cannot_be_compared_is_refused(rated) -> None:
    with pytest.raises(UserError, match="two raters"):
        agreement(rated("a,x,1", "b,x,2"))
    two = rated("a,x,yes", "a,y,no", "b,x,yes", "b,y,yes")
    with pytest.raises(UserError, match="did you mean 'y'"):
        agreement(two, human="yy")
    with pytest.raises(UserError, match="ordinal labels are numbers"):
        agreement(two, level="ordinal")


def test_ratings_that_say_nothing_give_no_number(rated) -> None:
    with pytest.raises(UserError, match="rated no item in common"):
        agreement(rated("a,judge,yes", "b,human,yes", "a,other,yes", "b,other,yes"), human="human")
    two = agreement(rated("a,x,1", "a,y,1", "b,x,2", "b,y,2"))
    assert all(a["ci_low"] is None for a in two["agreement"]), "two items: no interval"
    with pytest.raises(UserError, match="interval labels are numbers"):
        agreement(rated("a,x,inf", "a,y,1", "b,x,2", "b,y,2"), level="interval")


def test_an_empty_stratum_and_one_named_all_are_strata(rated) -> None:
    header = "item_id,rater,label,stratum,population"
    with pytest.raises(UserError, match="audited of 0"):
        agreement(rated("a,j,y,s,0", "a,h,n,s,0", header=header), human="h")
    lines = ["a,j,y,all,10", "a,h,y,all,10", "b,j,y,rest,10", "b,h,n,rest,10"]
    (error,) = agreement(rated(*lines, header=header), human="h")["errors"]
    assert error["error_rate"] == pytest.approx(0.5) and [s["stratum"] for s in error["strata"]] == ["all", "rest"]


def test_odd_numbers_and_a_byte_order_mark_are_met(rated, tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="population '²'"):
        rated("a,j,y,s,²", header="item_id,rater,label,stratum,population")
    (tmp_path / "bom.csv").write_bytes(b"\xef\xbb\xbfitem_id,rater,label\na,x,y\na,z,y\n")
    assert read_ratings(tmp_path / "bom.csv").raters == ["x", "z"]


MISSING = ["NA", "nan", "NaN", "None", "N/A", "NULL", "<NA>", "-", "", " "]


@pytest.mark.parametrize("marker", MISSING)
def test_what_marks_a_missing_label_is_no_label(rated, marker: str) -> None:
    with pytest.raises(InputFileError) as caught:
        rated("a,x,safe", f"a,y,{marker}", "b,x,harm", "b,y,harm")
    assert [p.line for p in caught.value.problems] == [3]


def test_raters_and_items_are_the_same_whatever_stands_around_them(rated) -> None:
    found = rated("a , x,yes", " a,y ,yes", "b,x,no\u00a0", "b,y,no", "c,x, cafe\u0301", "c,y,caf\u00e9")
    assert found.raters == ["x", "y"] and list(found.labels) == ["a", "b", "c"]
    assert all(by["x"] == by["y"] for by in found.labels.values())
    with pytest.raises(InputFileError, match=r"rated 'a' twice \(line 2\)"):
        rated("a,x,yes", "a ,x,no")


def test_notes_over_several_lines_are_left_alone_and_do_not_shift_lines(rated) -> None:
    with pytest.raises(InputFileError) as caught:
        rated('a,x,yes,"one\ntwo, ""three"""', "a,y,NA,", header="item_id,rater,label,note")
    assert [(p.line, p.column) for p in caught.value.problems] == [(4, 5)]


def test_no_item_with_two_ratings_is_said(rated) -> None:
    with pytest.raises(UserError, match="no item has two ratings"):
        agreement(rated("a,x,yes", "b,y,no"))


@pytest.mark.parametrize(
    ("rows", "said"), [(("i1,a,Yes", "i1,b,yes"), "'yes' and 'Yes'"), (("i1,a,x", "i2,A,x"), "'A' and 'a'")]
)
def test_labels_and_raters_that_differ_in_case_alone_are_a_slip(rated, rows: tuple[str, str], said: str) -> None:
    with pytest.raises(InputFileError) as caught:
        rated(*rows)
    (problem,) = caught.value.problems
    assert problem.line == 3 and problem.what == f"{said} (line 2) differ in case alone"
