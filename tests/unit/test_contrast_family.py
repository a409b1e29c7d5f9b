"""Contrasts declared in a file: corrected together, each problem at its line; grids, interim analyses and equivalence on imported counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from specsci.core.errors import InputFileError, UserError
from specsci.inference.contrast import contrast
from specsci.inference.contrast_spec import ContrastSpec
from specsci.inference.families import family_contrasts
from specsci.inference.grid import grid_effects
from specsci.results.imports import import_file
from specsci.stats.counts import Count, newcombe
from specsci.store.artifact import Store


def texts(row: dict[str, Any]) -> list[str]:
    return [f["text"] for f in row["flags"]]


RATES = {"base": 0.3, "rules": 0.5, "values": 0.7, "neutral": 0.31}
FAMILY = """\
family: mine
study: elsewhere
contrasts:
  - {name: values_over_rules, eval: q, weights: {values: 1, rules: -1}}
  - {name: rules_over_base, eval: q, weights: {rules: 1, base: -1}, scale: logit}
  - {name: neutral_is_nothing, eval: q, weights: {neutral: 1, base: -1}, equivalence_margin: 0.1}
"""


@pytest.fixture
def counts(tmp_path: Path) -> duckdb.DuckDBPyConnection:
    lines = ["arm,seed,eval,aligned,valid,attempted"]
    for arm, rate in RATES.items():
        lines += [f"{arm},{s},q,{round(1000 * (rate + 0.02 * ((s * 7 + len(arm)) % 5 - 2)))},1000,1000" for s in range(1, 9)]
    return imported(tmp_path, "elsewhere", lines)


def imported(folder: Path, study: str, lines: list[str]) -> duckdb.DuckDBPyConnection:
    store = Store(folder / "store").open()
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    import_file(store, folder / "rows.csv", study, replace=True)
    return duckdb.connect(str(store.root / "results.duckdb"), read_only=True)


def test_a_family_is_corrected_together(counts, tmp_path: Path) -> None:
    (tmp_path / "family.yaml").write_text(FAMILY)
    found = family_contrasts(counts, tmp_path / "family.yaml")
    rows: dict[str, Any] = {r["name"]: r for r in found["contrasts"]}
    assert found["correction"] == "holm" and list(rows) == ["values_over_rules", "rules_over_base", "neutral_is_nothing"]
    ordered = sorted(rows.values(), key=lambda r: r["p"])
    assert ordered[0]["p_adj"] == pytest.approx(min(1, 3 * ordered[0]["p"]))
    assert all(r["p_adj"] >= r["p"] for r in rows.values())
    assert rows["neutral_is_nothing"]["equivalence"]["verdict"] == "equivalent"
    assert rows["rules_over_base"]["scale"] == "logit" and "equivalence" not in rows["rules_over_base"]


def test_every_problem_of_the_file_has_its_line(counts, tmp_path: Path) -> None:
    path = tmp_path / "family.yaml"
    path.write_text(
        FAMILY.replace("values: 1, rules: -1", "value: 1, rules: -1").replace(
            "eval: q, weights: {rules", "eval: p, weights: {rules"
        )
    )
    with pytest.raises(InputFileError) as caught:
        family_contrasts(counts, path)
    assert "family.yaml:4:" in str(caught.value) and "did you mean 'values'?" in str(caught.value)
    assert "family.yaml:5:" in str(caught.value) and "no scores of 'p'" in str(caught.value)
    path.write_text(FAMILY.replace("scale: logit", "scale: logits").replace("family: mine", "famly: mine"))
    with pytest.raises(InputFileError) as caught:
        family_contrasts(counts, path)
    assert "did you mean 'family'?" in str(caught.value) and "scale" in str(caught.value)


def test_interim_analyses_stop_at_the_first_crossing_and_take_seeds_in_order(counts) -> None:
    attempted = ContrastSpec("elsewhere", "q", {"values": 1, "rules": -1}, looks=(4, 6, 8))
    looks = contrast(counts, attempted)["looks"]
    assert (
        looks[0]["replicates"] == 4 and looks[-1]["stop"] and [k["stop"] for k in looks[:-1]] == [False] * (len(looks) - 1)
    )
    null = contrast(counts, ContrastSpec("elsewhere", "q", {"neutral": 1, "base": -1}, looks=(4, 8)))["looks"]
    assert [k["replicates"] for k in null] == [4, 8] and not any(k["stop"] for k in null)
    with pytest.raises(UserError, match="increasing"):
        contrast(counts, ContrastSpec("elsewhere", "q", {"values": 1, "rules": -1}, looks=(8, 4)))


def test_equivalence_of_counts_is_that_of_newcombes_interval(tmp_path: Path) -> None:
    lines = ["arm,seed,eval,aligned,valid,attempted", "a,1,q,700,1000,1000", "b,1,q,300,1000,1000"]
    with imported(tmp_path, "one", lines) as db:
        found = contrast(db, ContrastSpec("one", "q", {"a": 1, "b": -1}, method="two_proportion", margin=0.45))[
            "equivalence"
        ]
    low, high = newcombe(Count(700, 1000), Count(300, 1000), 0.9)
    assert found["verdict"] == "equivalent" and (found["ci_low"], found["ci_high"]) == (
        pytest.approx(low),
        pytest.approx(high),
    )
    assert newcombe(Count(700, 1000), Count(300, 1000), 1 - 2 * found["p"])[1] == pytest.approx(0.45, abs=1e-6)


def test_ten_answers_without_an_error_show_no_equivalence(tmp_path: Path) -> None:
    lines = ["arm,seed,eval,aligned,valid,attempted", "a,1,q,10,10,10", "b,1,q,10,10,10"]
    with imported(tmp_path, "small", lines) as db:
        found = contrast(db, ContrastSpec("small", "q", {"a": 1, "b": -1}, margin=0.05))
    assert found["method"].startswith("Fisher") and found["equivalence"]["verdict"] == "undetermined"


def test_seeds_of_one_base_count_as_one_replicate_by_their_mean_rate(tmp_path: Path) -> None:
    lines = ["arm,seed,eval,aligned,valid,attempted,base_model"]
    for arm, shift in (("a", 10), ("b", 0)):
        lines += [
            f"{arm},1,q,{50 + shift},100,100,one",
            f"{arm},2,q,{(20 + shift) * 9},900,900,one",
            f"{arm},3,q,{30 + shift},100,100,two",
        ]
    with imported(tmp_path, "bases", lines) as db:
        found = contrast(db, ContrastSpec("bases", "q", {"a": 1, "b": -1}))
    assert found["n"] == 2 and found["unit"] == "base_model"
    assert found["per_replicate"] == pytest.approx([0.1, 0.1])


def test_an_arm_that_lacks_a_seed_is_compared_on_the_seeds_that_both_have(tmp_path: Path) -> None:
    """Two seeds of a base differ by .4: an arm that has only the better one is not better for it."""
    lines = ["arm,seed,eval,aligned,valid,attempted,base_model"]
    for base, seed, rate in (("one", 1, 30), ("one", 2, 70), ("two", 3, 30), ("two", 4, 71), ("three", 5, 30)):
        lines += [f"a,{seed},q,{rate},100,100,{base}", *([f"b,{seed},q,{rate},100,100,{base}"] if seed % 2 else [])]
    with imported(tmp_path, "pairs", lines) as db:
        found = contrast(db, ContrastSpec("pairs", "q", {"a": 1, "b": -1}))
    assert found["estimate"] == pytest.approx(0.0)
    assert any(t.startswith("3 of 5 replicates are shared by all arms: others are left out") for t in texts(found))


def test_an_arm_that_refuses_is_compared_by_all_that_was_asked(tmp_path: Path) -> None:
    lines = ["arm,seed,eval,aligned,valid,attempted"]
    lines += [f"a,{s},q,{49 if s == 1 else 20 if s == 2 else 0},{50 if s < 3 else 0},50" for s in (1, 2, 3, 4)]
    lines += [f"b,{s},q,25,50,50" for s in (1, 2, 3, 4)]
    with imported(tmp_path, "zero", lines) as db:
        attempted = contrast(db, ContrastSpec("zero", "q", {"a": 1, "b": -1}, denominator="attempted"))
        valid = contrast(db, ContrastSpec("zero", "q", {"a": 1, "b": -1}))
    assert attempted["n"] == 4 and attempted["estimate"] == pytest.approx((69 - 100) / 200)
    assert valid["replicates"] == {"a": 2, "b": 4} and valid["estimate"] > 0
    assert "nothing_valid" in [f["code"] for f in valid["flags"]]
    assert any(f.startswith("the sign flips with the denominator") for f in texts(valid))


def test_a_grid_has_main_effects_and_interactions(tmp_path: Path) -> None:
    lines = ["arm,seed,eval,aligned,valid,attempted,msm_spec,aft_spec,aft_tokens"]
    for i, msm in enumerate(("r", "v", "p")):
        for j, aft in enumerate(("R", "V")):
            lines += [
                f"{msm}{aft},{s},q,{400 + 100 * i + 50 * j + (s * (i + 1) + j) % 7},1000,1000,{msm},{aft},100"
                for s in (1, 2, 3, 4)
            ]
    with imported(tmp_path, "grid", lines) as db:
        found = grid_effects(db, "grid", "q")
        rows = {r["effect"]: r for r in found["effects"]}
        assert rows["msm_spec: r - v"]["estimate"] == pytest.approx(-0.1, abs=0.01) or rows["msm_spec: v - r"][
            "estimate"
        ] == pytest.approx(0.1, abs=0.01)
        assert abs(rows["aft_spec: R - V"]["estimate"] + 0.05) < 0.01
        inner = [r for r in found["effects"] if r["kind"] == "interaction"]
        assert len(inner) == 3 and max(abs(r["estimate"]) for r in inner) < 0.01
        assert all(r["p_adj"] >= r["p"] for r in found["effects"])
        with pytest.raises(UserError, match="did you mean 'grid'"):
            grid_effects(db, "gird", "q")


def test_two_arms_in_one_cell_are_no_grid(tmp_path: Path) -> None:
    lines = ["arm,seed,eval,aligned,valid,attempted,msm_spec,aft_spec", "a,1,q,5,10,10,r,R", "b,1,q,5,10,10,r,R"]
    with imported(tmp_path, "grid", lines) as db, pytest.raises(UserError, match="are both r with R"):
        grid_effects(db, "grid", "q")


def test_denominators_are_read_under_the_names_of_earlier_versions() -> None:
    from specsci.inference.families import FamilyContrast

    named = {old: FamilyContrast(name="x", eval="q", weights={"a": 1}, denominator=old).denominator for old in ("asked", "decided")}
    assert named == {"asked": "attempted", "decided": "valid"}
    for wrong in ("questions", [1], None):
        with pytest.raises(ValueError, match="valid"):
            FamilyContrast(name="x", eval="q", weights={"a": 1}, denominator=wrong)
