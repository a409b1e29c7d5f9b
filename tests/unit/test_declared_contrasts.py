"""Declared contrasts: the same numbers as ones asked for by command, means over budgets, one replicate, certain results, free text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from scipy import stats

from specsci.database.manifest import study_manifest
from specsci.database.manifest_parts import Contrast
from specsci.inference.contrast import contrast
from specsci.inference.contrast_spec import ContrastSpec
from specsci.inference.declared_contrasts import contrast_row
from specsci.inference.rates import Rates
from specsci.results.imports import import_file
from specsci.store.artifact import Store

HEADER = "arm,seed,eval,aligned,valid,attempted,aft_tokens"


def declared(
    folder: Path, lines: list[str], budgets: list[int] | None = None, **more: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A declared contrast of a over b on imported counts, and the same asked for by command at the first budget."""
    store = Store(folder / "store").open()
    (folder / "rows.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    import_file(store, folder / "rows.csv", "mine", replace=True)
    wanted = {
        "name": "c", "eval": "q", "weights": {"a": 1, "b": -1}, "budgets": budgets or [100], "question": "", "primary": True,
        "family": "main", "scale": "rate", "confounds": [], **more,
    }  # fmt: skip
    with duckdb.connect(str(store.root / "results.duckdb"), read_only=True) as db:
        manifest = study_manifest(db, "mine")
        row = contrast_row(db, manifest, Contrast.model_validate(wanted), Rates(db, "mine"), None)
        attempted = contrast(db, ContrastSpec("mine", "q", {"a": 1.0, "b": -1.0}, wanted["budgets"][0], wanted["scale"]))
    return row, attempted


def lines(by_arm: dict[str, list[int]], budget: int = 100, n: int = 100) -> list[str]:
    return [f"{arm},{s},q,{k},{n},{n},{budget}" for arm, ks in by_arm.items() for s, k in enumerate(ks)]


ROWS = lines({"a": [80, 70, 75, 90, 66], "b": [60, 65, 50, 72, 61]})


@pytest.mark.parametrize("scale", ["rate", "logit", "arcsine"])
def test_a_declared_contrast_is_the_asked_one(tmp_path: Path, scale: str) -> None:
    row, attempted = declared(tmp_path, ROWS, scale=scale)
    names = ("estimate", "se", "statistic", "p", "ci_low", "ci_high", "n", "method", "per_replicate")
    assert {k: row[k] for k in names} == {k: attempted[k] for k in names}
    if scale == "rate":
        reference = stats.ttest_rel([80, 70, 75, 90, 66], [60, 65, 50, 72, 61])
        assert (row["statistic"], row["p"]) == (pytest.approx(reference.statistic), pytest.approx(reference.pvalue))


def test_an_arm_is_the_mean_of_its_budgets(tmp_path: Path) -> None:
    more = lines({"a": [90, 80, 85, 95, 70], "b": [60, 65, 55, 75, 61]}, 200)
    row, _ = declared(tmp_path, [*ROWS, *more], [100, 200])
    a = np.add([80, 70, 75, 90, 66], [90, 80, 85, 95, 70]) / 200
    b = np.add([60, 65, 50, 72, 61], [60, 65, 55, 75, 61]) / 200
    assert row["p"] == pytest.approx(stats.ttest_rel(a, b).pvalue) and row["estimate"] == pytest.approx((a - b).mean())


def test_one_replicate_and_a_certain_result_have_numbers_and_say_what_they_are(tmp_path: Path) -> None:
    one, _ = declared(tmp_path, lines({"a": [80], "b": [60]}))
    assert one["estimate"] == pytest.approx(0.2) and "one_replicate" in [f["code"] for f in one["flags"]]
    certain, _ = declared(tmp_path, lines({"a": [100, 100], "b": [0, 0]}))
    assert certain["p"] < 1e-9 and "item_level" in [f["code"] for f in certain["flags"]] and certain["ci_low"] > 0.9


def test_a_missing_replicate_is_incomplete_and_nothing_has_no_number(tmp_path: Path) -> None:
    row, _ = declared(tmp_path, ROWS[:-1])
    assert row["n"] == 4 and row["flags"][0] == {
        "code": "incomplete",
        "severity": "invalid",
        "text": "incomplete: 4 of 5 replicates",
    }
    apart = [*lines({"a": [80, 70]}), "b,7,q,60,100,100,100", "b,8,q,61,100,100,100"]
    row, attempted = declared(tmp_path, apart)
    assert row["estimate"] is None and row["flags"][0]["text"] == "incomplete: 0 of 4 replicates"
    assert attempted["p"] == pytest.approx(stats.ttest_ind([0.8, 0.7], [0.6, 0.61], equal_var=False).pvalue)


def test_free_text_stays_one_flag(tmp_path: Path) -> None:
    row, _ = declared(tmp_path, ROWS, tuned_to_target="incomplete; withheld: fig 2; withdrawn")
    said = [f for f in row["flags"] if f["code"] == "tuned_to_target"]
    assert said == [
        {"code": "tuned_to_target", "severity": "warning", "text": "tuned to target: incomplete; withheld: fig 2; withdrawn"}
    ]
    assert not {"incomplete", "withheld", "withdrawn"} & {f["code"] for f in row["flags"]}
