"""Numbers and words that once misled, read as a user reads them: by the command line, plain duckdb and plain statistics."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import harness
import numpy as np
import pandas as pd
import pytest
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multitest import multipletests

HEADER = "arm,seed,eval,aligned,decided,asked,item_id"
ANSWERS = """
SELECT arm, seed, item_id, cluster_id, variant, avg(aligned::INTEGER) AS aligned
FROM scores WHERE study = 'tiny' AND eval = 'held_out' AND arm IN ('rules', 'aft') AND aft_tokens = 300 GROUP BY ALL
"""


def query(store: Path, sql: str) -> pd.DataFrame:
    with duckdb.connect(str(store / "results.duckdb"), read_only=True) as db:
        return db.execute(sql).df()


@pytest.fixture(scope="module")
def noise(finished_tiny: harness.Finished) -> dict[str, Any]:
    """The noise budget of the tiny study's contrast, one row."""
    (row,) = query(finished_tiny.store, "SELECT * FROM noise_budget").to_dict("records")
    return {str(k): v for k, v in row.items()}


@pytest.fixture(scope="module")
def answers(finished_tiny: harness.Finished) -> pd.DataFrame:
    """The contrast's value of each replicate, item and option order."""
    wide = query(finished_tiny.store, ANSWERS).pivot_table(
        index=["seed", "cluster_id", "item_id", "variant"], columns="arm", values="aligned"
    )
    return (wide["rules"] - wide["aft"]).rename("y").reset_index().dropna()


def mean_squares(answers: pd.DataFrame, formula: str) -> pd.Series:
    found = anova_lm(ols(formula, answers).fit())
    return found["sum_sq"] / found["df"]


def test_the_order_of_the_options_is_not_counted_as_noise(noise: dict[str, Any], answers: pd.DataFrame) -> None:
    """What is left between two orders of an item once what an order does to all, to an item and to a replicate is taken out."""
    assert answers["variant"].nunique() == 2 and len(answers) == 2 * 2 * noise["items"]
    squares = mean_squares(answers, "y ~ (C(seed) + C(item_id) + C(variant)) ** 2")
    assert noise["repeat_sd"] ** 2 == pytest.approx(squares["Residual"], abs=1e-9)


def test_items_of_a_cluster_are_not_counted_as_independent(noise: dict[str, Any], answers: pd.DataFrame) -> None:
    """The item component is that within clusters: statsmodels' mean squares of items nested in clusters."""
    cells = answers.groupby(["seed", "cluster_id", "item_id"], as_index=False)["y"].mean()
    assert 1 < cells["cluster_id"].nunique() < cells["item_id"].nunique()
    within = {"items": 0.0, "both": 0.0, "df": 0.0}
    for _, cluster in cells.groupby("cluster_id"):
        if cluster["item_id"].nunique() > 1:
            of = anova_lm(ols("y ~ C(seed) + C(item_id)", cluster).fit())
            within["items"] += of["sum_sq"]["C(item_id)"]
            within["both"] += of["sum_sq"]["Residual"]
            within["df"] += of["df"]["C(item_id)"]
    replicates = cells["seed"].nunique()
    item = (within["items"] / within["df"] - within["both"] / (within["df"] * (replicates - 1))) / replicates
    assert noise["item_sd"] ** 2 == pytest.approx(max(0.0, item), abs=1e-9)


def test_what_there_are_two_of_is_not_doubled(noise: dict[str, Any]) -> None:
    """An item is asked once in each of its two option orders: no study can ask it in four."""
    assert np.isnan(noise["half_width_twice_repeats"]) and noise["half_width_twice_items"] > 0


FAMILY = """\
study: mine
correction: holm
contrasts:
  - {name: moved, eval: q, weights: {a: 1, b: -1}}
  - {name: still, eval: q, weights: {c: 1, d: -1}}
"""


def test_a_contrast_without_spread_keeps_its_place_in_the_family(tmp_path: Path) -> None:
    """Two arms of the same answers differ nowhere; the other contrast is corrected for two all the same."""
    rng = np.random.default_rng(5)
    rows = []
    for seed in range(4):
        shared = rng.integers(0, 2, 30)
        for arm, chance in (("a", 0.7), ("b", 0.45), ("c", None), ("d", None)):
            drawn = shared if chance is None else rng.random(30) < chance
            rows += [f"{arm},{seed},q,{int(y)},1,1,i{n}" for n, y in enumerate(drawn)]
    (tmp_path / "rows.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    (tmp_path / "family.yaml").write_text(FAMILY)
    store = ("--store", tmp_path / "store")
    assert harness.run("results", "import", tmp_path / "rows.csv", "--study", "mine", *store)[0] == 0
    code, out, err = harness.run("results", "contrast", "--family", tmp_path / "family.yaml", "--format", "json", *store)
    assert code == 0, err
    found = {row["name"]: row for row in rows_of(json.loads(out))}
    assert found["still"]["estimate"] == 0 and found["still"]["p"] in (None, 1.0)
    expected = multipletests([found["moved"]["p"], 1.0], method="holm")[1][0]
    assert found["moved"]["p_adj"] == pytest.approx(expected, abs=1e-12)


def rows_of(document: Any) -> list[dict[str, Any]]:
    """The rows of contrasts in a JSON document, wherever they stand in it."""
    if isinstance(document, dict):
        return [document] if "p_adj" in document else [r for part in document.values() for r in rows_of(part)]
    return [r for part in document for r in rows_of(part)] if isinstance(document, list) else []


def claim_on(finished: harness.Finished) -> dict[str, Any]:
    """How a claim on the tiny study's contrast stands."""
    store = ("--store", finished.store)
    made = ("results", "claim", "mine", "--study", "tiny", "--contrast", "rules_over_aft", "--text", "Rules help.")
    code, _, err = harness.run(*made, "--by", "me", *store)
    assert code == 0, err
    assert harness.run("results", "rebuild", *store)[0] == 0
    (row,) = query(finished.store, "SELECT * FROM claims").to_dict("records")
    return {str(k): v for k, v in row.items()}


def test_a_claim_on_a_contrast_that_was_never_locked_says_so(tiny_copy: harness.Finished) -> None:
    assert "unregistered" in str(claim_on(tiny_copy)["why"])


def test_an_authors_words_do_not_decide_how_a_claim_stands(tiny_copy: harness.Finished) -> None:
    """Words that name another flag stay the words of one reason, and make no draft of what is complete."""
    words = "figure 7, incomplete at the time; withheld: by us"
    tiny_copy.study.write_text(f"{tiny_copy.study.read_text()}tuned_to_target: '{words}'\n")
    code, _, err = harness.run("study", "run", tiny_copy.study, "--store", tiny_copy.store)
    assert code == 0, err
    found = claim_on(tiny_copy)
    assert found["status"] != "draft" and words in str(found["why"]), found
    flags = query(tiny_copy.store, "SELECT flags FROM contrasts")["flags"][0]
    texts = [f["text"] if isinstance(f, dict) else f for f in (flags if not isinstance(flags, str) else flags.split("; "))]
    assert [t for t in texts if words in t], "the words are one flag's"


def test_an_import_that_fails_leaves_the_store_to_others(tmp_path: Path) -> None:
    store = ("--store", tmp_path / "store")
    for name, seed in (("bad", 2**64), ("large", 2**31), ("good", 1)):
        (tmp_path / f"{name}.csv").write_text(f"{HEADER}\na,{seed},q,1,1,1,i1\na,{seed},q,0,1,1,i2\n")
        code, _, err = harness.run("results", "import", tmp_path / f"{name}.csv", "--study", name, *store)
        assert "Traceback" not in err and code == (2 if name == "bad" else 0), err
    assert sorted(query(tmp_path / "store", "SELECT DISTINCT study FROM scores")["study"]) == ["good", "large"]


def test_a_list_of_families_has_the_users_own_and_names_a_broken_one(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[2] / "spec_variants" / "microlab_conduct"
    own = tmp_path / "spec_variants" / "own_one"
    shutil.copytree(shipped, own)
    manifest = own / "family.yaml"
    manifest.write_text(manifest.read_text().replace("family: microlab_conduct", "family: own_one", 1))
    (tmp_path / "spec_variants" / "broken").mkdir()
    (tmp_path / "spec_variants" / "broken" / "family.yaml").write_text("family: [")
    assert harness.run("spec", "show", "own_one", "rules", cwd=tmp_path)[0] == 0
    code, out, err = harness.run("spec", "list", cwd=tmp_path)
    assert code == 0 and "own_one" in out and "broken" in err
