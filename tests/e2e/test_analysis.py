"""An analyst's way through the command line: results made elsewhere, a contrast of one's own, a table, plain SQL."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import harness
import pytest

COUNTS = """\
# two arms, four seeds
arm,seed,eval,aligned,valid,attempted
reasons,1,misuse,80,100,100
reasons,2,misuse,74,98,100
reasons,3,misuse,77,100,100
reasons,4,misuse,85,99,100
rules,1,misuse,60,100,100
rules,2,misuse,66,100,100
rules,3,misuse,58,97,100
rules,4,misuse,70,100,100
"""


@pytest.fixture
def imported(tmp_path: Path) -> Path:
    (tmp_path / "counts.csv").write_text(COUNTS)
    code, out, err = harness.run(
        "results", "import", tmp_path / "counts.csv", "--study", "elsewhere", "--store", tmp_path / "store", "--json"
    )
    assert code == 0, err
    facts = json.loads(out)
    assert (facts["rows"], facts["cells"], facts["answers"], facts["level"]) == (8, 8, 800, "counts")
    return tmp_path / "store"


def test_a_contrast_is_one_document_with_the_promised_keys(imported: Path) -> None:
    ask = ("results", "contrast", "--study", "elsewhere", "--eval", "misuse", "--weights", "reasons=1,rules=-1")
    code, out, err = harness.run(*ask, "--store", imported, "--format", "json")
    assert code == 0, err
    found = json.loads(out)
    assert {"estimate", "se", "statistic", "p", "ci_low", "ci_high", "n", "method", "flags"} <= set(found)
    assert found["n"] == 4 and found["ci_low"] > 0 and found["unit"] == "seed"
    code, out, err = harness.run(*ask, "--store", imported)
    assert code == 0 and "reasons: 316 of 397 valid, 400 attempted" in out, err
    code, out, _ = harness.run(*ask, "--store", imported, "--format", "csv", "--method", "two_proportion")
    assert code == 0 and out.splitlines()[0].startswith("estimate,se,statistic,p,ci_low,ci_high,n,method,flags")


def test_every_arm_of_an_import_has_its_own_rate_in_the_table(imported: Path) -> None:
    code, out, err = harness.run(
        "report", "table", "ablation", "--study", "elsewhere", "--store", imported, "--format", "json"
    )
    assert code == 0, err
    shown = {row["arm"]: row["misaligned"] for row in json.loads(out)["rates"]}
    assert shown["reasons"] == pytest.approx(1 - (80 / 100 + 74 / 98 + 77 / 100 + 85 / 99) / 4)
    assert shown["rules"] == pytest.approx(1 - (60 / 100 + 66 / 100 + 58 / 97 + 70 / 100) / 4)
    code, out, _ = harness.run("report", "table", "ablation", "--study", "elsewhere", "--store", imported, "--format", "csv")
    lines = [line.split(",")[0:2] for line in out.splitlines() if line.startswith(("reasons", "rules"))]
    assert code == 0 and lines[0][1] != lines[1][1], "two arms without a treatment are not one"


def test_plain_duckdb_reads_it_beside_a_study_that_was_run(imported: Path) -> None:
    with duckdb.connect(str(imported / "results.duckdb"), read_only=True) as db:
        found = db.execute(
            "SELECT arm, sum(aligned), sum(valid), sum(attempted) FROM rates GROUP BY arm ORDER BY arm"
        ).fetchall()
    assert found == [("reasons", 316, 397, 400), ("rules", 254, 397, 400)]


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (("--eval", "misuse", "--weights", "reason=1,rules=-1"), "did you mean 'reasons'?"),
        (("--eval", "misused", "--weights", "reasons=1,rules=-1"), "did you mean 'misuse'?"),
        (("--eval", "misuse", "--weights", "reasons"), "is not a valid weight"),
    ],
)
def test_a_mistake_is_named_with_its_hint_and_exit_code_2(imported: Path, more, what) -> None:
    code, out, err = harness.run("results", "contrast", "--study", "elsewhere", *more, "--store", imported)
    assert code == 2 and what in err and "Traceback" not in err and out == ""


def test_a_bad_file_is_named_line_by_line_and_leaves_the_store_as_it_was(imported: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text(COUNTS.replace("80,100,100", "180,100,100").replace("66,100", "x,100"))
    code, _, err = harness.run("results", "import", tmp_path / "bad.csv", "--study", "bad", "--store", imported)
    assert code == 2 and "bad.csv:3:1: not 0 <= aligned" in err and "bad.csv:8:16: 'aligned' is not a whole number" in err
    assert [p.name for p in (imported / "studies").iterdir()] == ["elsewhere.json"]


def test_a_contrast_on_a_study_that_was_run_is_the_declared_one(finished_tiny: harness.Finished) -> None:
    with duckdb.connect(str(finished_tiny.store / "results.duckdb"), read_only=True) as db:
        study, name, eval_name, weights, budget, estimate = (
            db.execute(
                "SELECT study, contrast, eval, weights, budget_tokens, estimate FROM contrasts WHERE estimate IS NOT NULL LIMIT 1"
            ).fetchone()
            or (None,) * 6
        )
    if study is None:
        pytest.skip("the tiny study has one replicate: no declared contrast has an estimate")
    text = ",".join(f"{a}={w}" for a, w in json.loads(weights).items())
    code, out, err = harness.run(
        "results", "contrast", "--study", study, "--eval", eval_name, "--weights", text, "--budget", budget,
        "--store", finished_tiny.store, "--format", "json",
    )  # fmt: skip
    assert code == 0, err
    assert json.loads(out)["estimate"] == pytest.approx(estimate), name


def test_a_figure_of_the_paper_needs_no_store_and_comes_as_latex(tmp_path: Path) -> None:
    code, out, err = harness.run("report", "table", "fig14", "--store", tmp_path / "none", "--format", "md")
    assert code == 0 and "| msm spec, with CoT | .217 | .150 | .212 |" in out, err
    code, out, err = harness.run("report", "table", "fig7", "--store", tmp_path / "none", "--format", "latex")
    assert code == 0 and "\\toprule" in out and "value\\_augmented & .16" in out, err
    code, _, err = harness.run("report", "table", "fig7", "--study", "elsewhere", "--store", tmp_path / "none")
    assert code == 2 and "no results in" in err


def test_parts_of_a_studys_tables_come_alone(imported: Path, finished_tiny: harness.Finished) -> None:
    for name, wanted in (("tokens", "Token efficiency"), ("controls", "Controls")):
        code, out, err = harness.run("report", "table", name, "--store", finished_tiny.store, "--format", "md")
        assert code == 0 and f"**{wanted}" in out and "**Misaligned rate" not in out, err
    code, out, err = harness.run("report", "table", "fig7", "--study", "elsewhere", "--store", imported, "--format", "csv")
    assert code == 0 and ".40 | .361" in out.replace('"', ""), out + err


def test_parts_as_json_hold_their_part_alone(finished_tiny: harness.Finished) -> None:
    for name, keys in (("tokens", {"study", "token_efficiency"}), ("controls", {"study", "controls", "absorption"})):
        code, out, err = harness.run("report", "table", name, "--store", finished_tiny.store, "--format", "json")
        assert code == 0 and set(json.loads(out)) == keys, err


def test_imported_results_have_a_page_and_figures_whatever_their_arms_are_called(tmp_path: Path) -> None:
    names = ["cost_$5_to_$10", "\\frac{$", "<b>bold</b>", "имя"]
    lines = ["arm,seed,eval,aligned,valid,attempted", *(f"{n},{s},misuse,{50 + s},90,100" for n in names for s in (1, 2, 3))]
    lines += [f"refuser,{s},misuse,0,0,100" for s in (1, 2, 3)]
    (tmp_path / "odd.csv").write_text("\n".join(lines) + "\n")
    store = ("--store", tmp_path / "store")
    assert harness.run("results", "import", tmp_path / "odd.csv", "--study", "odd", *store)[0] == 0
    for name in ("denominators", "curves"):
        code, _, err = harness.run("report", "plot", name, *store, "--out", tmp_path / f"{name}.svg")
        assert (code == 0 or "no aligned arm" in err) and "Traceback" not in err, err
    drawn = (tmp_path / "denominators.svg").read_text()
    assert "cost_$5_to_$10" in drawn and "refuser" in drawn and "0 of 300 valid" in drawn
    code, _, err = harness.run("report", "html", *store, "--out", tmp_path / "odd.html")
    assert code == 0, err
    text = (tmp_path / "odd.html").read_text()
    assert (
        "<b>bold" not in text and "– (0 of 300 valid)" in text and "imported answers come without their questions" in text
    )
    code, out, _ = harness.run("report", "table", "ablation", *store, "--format", "json")
    rates = {r["arm"]: r for r in json.loads(out)["rates"]}
    assert code == 0 and rates["refuser"]["misaligned"] is None and rates["refuser"]["attempted"] == 300


@pytest.mark.parametrize("margin", ["nan", "inf", "0", "-1"])
def test_a_margin_that_is_none_is_a_mistake(imported: Path, margin: str) -> None:
    ask = ("results", "contrast", "--study", "elsewhere", "--eval", "misuse", "--weights", "reasons=1,rules=-1")
    code, _, err = harness.run(*ask, "--margin", margin, "--store", imported)
    assert code == 2 and "Traceback" not in err


def test_what_was_invalidated_is_flagged_in_a_contrast_of_ones_own(tiny_copy: harness.Finished) -> None:
    at = ("--store", tiny_copy.store)
    assert harness.run("results", "retire", "eval:tiny/held_out", "--reason", "leaked", *at)[0] == 0
    ask = ("results", "contrast", "--study", "tiny", "--eval", "held_out", "--weights", "rules=1,aft=-1", "--budget", "300")
    code, out, err = harness.run(*ask, *at, "--format", "json")
    assert (
        code == 0
        and next(f for f in json.loads(out)["flags"] if f["code"] == "withdrawn")["text"]
        == "withdrawn: eval held_out was invalidated: leaked"
    ), err
    code, out, _ = harness.run("report", "table", "tokens", *at, "--format", "md")
    assert code == 0
