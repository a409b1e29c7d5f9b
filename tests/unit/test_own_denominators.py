"""Every arm's interval is over its own answers, tables say how many those are, and families keep their size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from specsci.core.errors import InputFileError
from specsci.inference.families import family_contrasts
from specsci.report.ablation import ablation
from specsci.report.tables import tables_of
from specsci.results.imports import import_file
from specsci.stats.bootstrap import hierarchical_bootstrap
from specsci.stats.families import adjust
from specsci.store.artifact import Store

HEADER = "arm,seed,eval,aligned,valid,attempted"


@contextmanager
def imported(folder: Path, lines: list[str], header: str = HEADER) -> Iterator[duckdb.DuckDBPyConnection]:
    store = Store(folder / "store").open()
    (folder / "rows.csv").write_text("\n".join([header, *lines]) + "\n")
    import_file(store, folder / "rows.csv", "mine", replace=True)
    with duckdb.connect(str(store.root / "results.duckdb"), read_only=True) as db:
        yield db


def misaligned(k: int, n: int) -> tuple[float, float]:
    low, high = proportion_confint(n - k, n, method="wilson")
    return pytest.approx(float(low), abs=1e-6), pytest.approx(float(high), abs=1e-6)


def test_wilson_intervals_are_over_what_the_arm_itself_decided(tmp_path: Path) -> None:
    lines = ["a,1,q,21,25,497", "b,1,q,480,497,497", "c,1,q,300,497,497"]
    with imported(tmp_path, lines) as db:
        content = ablation(db, "mine")
    cells = {arm: cell.interval for (arm, _), cell in content.cells["q"].items()}
    assert (cells["a"].low, cells["a"].high) == misaligned(21, 25)
    assert (cells["a"].low, cells["a"].high) == (pytest.approx(0.064, abs=0.001), pytest.approx(0.347, abs=0.001))
    assert (cells["b"].low, cells["b"].high) == misaligned(480, 497)
    note = tables_of(content)[0].note
    assert "a cell is 497 answers, 25 to 497 valid" in note


def test_wilson_intervals_of_answers_are_over_the_decided_ones(tmp_path: Path) -> None:
    lines = [f"a,1,q,{int(n < 8)},{int(n < 10)},1,i{n}" for n in range(200)]
    lines += [f"b,1,q,{int(n < 100)},1,1,i{n}" for n in range(200)]
    with imported(tmp_path, lines, HEADER + ",item_id") as db:
        cells = {arm: cell.interval for (arm, _), cell in ablation(db, "mine").cells["q"].items()}
    assert (cells["a"].low, cells["a"].high) == misaligned(8, 10)
    assert (cells["a"].low, cells["a"].high) == (pytest.approx(0.057, abs=0.001), pytest.approx(0.510, abs=0.001))
    assert (cells["b"].low, cells["b"].high) == misaligned(100, 200)


def test_a_note_gives_the_range_of_replicates_too(tmp_path: Path) -> None:
    with imported(tmp_path, ["a,1,q,50,100,100", "a,2,q,55,100,120", "b,1,q,50,100,100"]) as db:
        note = tables_of(ablation(db, "mine"))[0].note
    assert note.startswith("1 to 2 replicates; a cell is 100 to 220 answers, 100 to 200 valid")
    assert "assumes near-normal rates" in note


@pytest.mark.parametrize("correction", ["holm", "bh"])
def test_a_family_is_as_large_as_it_was_declared(correction: str) -> None:
    found = adjust([0.01, None, 0.03, None, 0.2], correction)  # type: ignore[arg-type]
    method = {"holm": "holm", "bh": "fdr_bh"}[correction]
    whole = multipletests([0.01, 1, 0.03, 1, 0.2], method=method)[1]
    assert found[1] is found[3] is None
    assert [found[n] for n in (0, 2, 4)] == pytest.approx([whole[n] for n in (0, 2, 4)], abs=1e-9)
    assert adjust([0.01, None], "holm") == [pytest.approx(0.02), None], "two members, whatever came of one"
    assert adjust([None, None], "holm") == [None, None] and adjust([0.01, None], "none") == [0.01, None]


FAMILY = """\
study: mine
contrasts:
  - {name: one, eval: q, weights: {a: 1, b: -1}, method: bootstrap}
  - {name: two, eval: q, weights: {a: 1, c: -1}, method: bootstrap}
"""


def answers(seeds: int) -> list[str]:
    rng = np.random.default_rng(3)
    return [
        f"{arm},{seed},q,{int(rng.random() < rate)},1,1,i{n}"
        for arm, rate in (("a", 0.8), ("b", 0.5), ("c", 0.75)) for seed in range(seeds) for n in range(40)
    ]  # fmt: skip


def test_bootstraps_of_a_family_have_p_values_and_are_corrected(tmp_path: Path) -> None:
    (tmp_path / "family.yaml").write_text(FAMILY)
    with imported(tmp_path, answers(6), HEADER + ",item_id") as db:
        one, two = family_contrasts(db, tmp_path / "family.yaml")["contrasts"]
    assert (one["p"] < 0.05) == (one["ci_low"] > 0) and (two["p"] < 0.05) == (two["ci_low"] > 0 or two["ci_high"] < 0)
    assert [one["p_adj"], two["p_adj"]] == pytest.approx(multipletests([one["p"], two["p"]], method="holm")[1])


@pytest.mark.parametrize("replicates", [2, 4, 6, 9])
def test_a_bootstraps_p_is_the_level_at_which_its_interval_meets_0(replicates: int) -> None:
    rng = np.random.default_rng(replicates)
    values = [[rng.normal(0.25 + rng.normal(0, 0.1), 0.5, 12)] for _ in range(replicates)]
    drawn = hierarchical_bootstrap(values, confidence=0.95)
    at = hierarchical_bootstrap(values, confidence=1 - drawn.p)
    assert min(abs(at.low), abs(at.high)) < 0.05 * (at.high - at.low), "the interval at 1 - p ends at 0"
    if replicates <= 4:
        wide = drawn.se * np.sqrt(replicates / (replicates - 1))
        assert drawn.p == pytest.approx(2 * stats.t.sf(abs(drawn.estimate) / wide, replicates - 1))


def test_a_family_whose_weights_do_not_sum_to_0_is_refused_at_its_line(tmp_path: Path) -> None:
    (tmp_path / "family.yaml").write_text(FAMILY.replace("c: -1", "c: 1"))
    with imported(tmp_path, answers(2), HEADER + ",item_id") as db, pytest.raises(InputFileError) as caught:
        family_contrasts(db, tmp_path / "family.yaml")
    assert "must sum to 0" in str(caught.value) and ":4" in str(caught.value)
