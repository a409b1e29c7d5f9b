"""What would be counted twice is refused with both lines, defaults filled in first; what only looks alike is not."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from specsci.core.errors import InputFileError
from specsci.results.imports import import_file, read_given
from specsci.store.artifact import Store

HEADER = "arm,seed,eval,aligned,valid,attempted"

TWICE = {
    "an empty budget and 0": ("aft_tokens", ["a,1,q,50,100,100,", "a,1,q,50,100,100,0"], "stand in an earlier row too (line 2)"),
    "NA and 0.0": ("aft_tokens", ["a,1,q,50,100,100,NA", "a,1,q,50,100,100,0.0"], "(line 2)"),
    "an empty base and its default": ("base_model", ["a,1,q,50,100,100,", "a,1,q,50,100,100,imported"], "(line 2)"),
    "two MSM specs in a cell": ("msm_spec", ["a,1,q,10,20,20,x", "a,1,q,9,10,10,y"], "(line 2)"),
    "two MSM specs of an arm": ("msm_spec", ["a,1,q,10,20,20,x", "a,2,q,9,10,10,y"], "'msm_spec' of arm 'a' is y here and x on line 2"),
    "an MSM spec and none": ("msm_spec", ["a,1,q,10,20,20,x", "a,2,q,9,10,10,"], "is empty here and x on line 2"),
    "two AFT specs of an arm": ("aft_spec", ["a,1,q,10,20,20,x", "a,2,q,9,10,10,y"], "'aft_spec' of arm 'a' is y here and x on line 2"),
    "seeds 1 and 01": ("aft_tokens", ["a,1,q,5,10,10,4000", "a,01,q,6,10,10,4e3"], "(line 2)"),
    "blanks around the arm": ("aft_tokens", ["a,1,q,5,10,10,0", " a ,1,q,5,10,10,0"], "(line 2)"),
    "forms of a letter": ("aft_tokens", ["caf\u00e9,1,q,5,10,10,0", "cafe\u0301,1,q,5,10,10,0"], "(line 2)"),
    "an answer twice": ("item_id", ["a,1,q,1,1,1,i", "a,1,q,1,1,1,i"], "this answer stands in an earlier row too (line 2)"),
    "an answer twice, its state said": (
        "item_id,state", ["a,1,q,1,1,1,i,", "a,1,q,1,1,1,i,ok"], "(line 2)"),
    "an answer that is not valid, twice": ("item_id,state", ["a,1,q,0,0,1,i,NA", "a,1,q,0,0,1,i,unparsed"], "(line 2)"),
    "a sample twice": ("item_id,sample", ["a,1,q,1,1,1,i,0", "a,1,q,0,1,1,i,0"], "this sample of the item stands in an earlier row too (line 2)"),
    "an item in two clusters": ("item_id,cluster_id", ["a,1,q,1,1,1,i,c", "b,1,q,1,1,1,i,d"], "'cluster_id' of item 'i' is d here and c on line 2"),
    "an item in a cluster and in none": ("item_id,cluster_id", ["a,1,q,1,1,1,i,c", "b,1,q,1,1,1,i,"], "is empty here and c on line 2"),
}  # fmt: skip


@pytest.mark.parametrize(("columns", "rows", "what"), TWICE.values(), ids=TWICE)
@pytest.mark.parametrize("between", [0, 3])
def test_one_thing_given_twice_is_refused_with_both_lines(tmp_path: Path, columns, rows, what, between) -> None:
    more = [f"z{n},1,p,1,1,1,{',' * columns.count(',')}" for n in range(between)] if "item" not in columns else []
    (tmp_path / "x.csv").write_text("\n".join([f"{HEADER},{columns}", rows[0], *more, rows[1]]))
    with pytest.raises(InputFileError) as caught:
        read_given(tmp_path / "x.csv")
    assert {p.line for p in caught.value.problems} == {3 + len(more)}
    assert any(what in p.what for p in caught.value.problems)


APART = {
    "budgets": ("aft_tokens", ["a,1,q,5,10,10,0", "a,1,q,5,10,10,4000"]),
    "bases": ("base_model", ["a,1,q,5,10,10,x", "a,1,q,5,10,10,y"]),
    "seeds": ("aft_tokens", ["a,1,q,5,10,10,0", "a,10,q,5,10,10,0"]),
    "evals": ("aft_tokens", ["a,1,q,5,10,10,0", "a,1,r,5,10,10,0"]),
    "no AFT spec before AFT": ("aft_spec,aft_tokens", ["a,1,q,5,10,10,,0", "a,1,q,5,10,10,x,4000"]),
    "samples": ("item_id,sample", ["a,1,q,1,1,1,i,0", "a,1,q,1,1,1,i,1"]),
    "samples that differ": ("item_id", ["a,1,q,1,1,1,i", "a,1,q,0,1,1,i"]),
    "an item of two evals": ("item_id,cluster_id", ["a,1,q,1,1,1,i,c", "a,1,r,1,1,1,i,d"]),
    "item and cluster of one name": ("item_id,cluster_id", ["a,1,q,1,1,1,i,i", "a,1,q,1,1,1,j,i"]),
}


@pytest.mark.parametrize(("columns", "rows"), APART.values(), ids=APART)
def test_what_is_apart_is_taken_in(tmp_path: Path, columns, rows) -> None:
    (tmp_path / "x.csv").write_text("\n".join([f"{HEADER},{columns}", *rows]))
    assert read_given(tmp_path / "x.csv").rows == 2


def totals(store: Store, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(store.root / "results.duckdb"), read_only=True) as db:
        return db.execute(query).fetchall()


@pytest.mark.parametrize("folder", ["plain", "seed=7/aligned=true", "run[1]", "a*", "number=9", "it's 100%"])
def test_every_seed_keeps_its_own_counts_wherever_the_store_lies(tmp_path: Path, folder) -> None:
    """Seeds of their own, unequal numbers of seeds, unequal denominators: what is in the file is in the database."""
    rows = ["a,0,q,300,400,400", "a,1,q,180,390,400", "a,2,q,4,25,497", "b,10,q,200,400,400", f"b,{2**40},q,497,497,497"]
    (tmp_path / "x.csv").write_text("\n".join([HEADER, *rows]))
    (tmp_path / "run1" / "imports").mkdir(parents=True)
    store = Store(tmp_path / folder / "store").open()
    import_file(store, tmp_path / "x.csv", "mine")
    found = totals(store, "SELECT arm, seed, eval, aligned, valid, attempted FROM rates ORDER BY arm, seed")
    assert [",".join(map(str, row)) for row in found] == rows
    assert totals(store, "SELECT DISTINCT seed FROM arms ORDER BY 1")[-1] == (2**40,)


def test_samples_keep_their_numbers_and_seeds_beyond_32_bits_are_in_every_table(tmp_path: Path) -> None:
    seed = 2**63 - 1
    rows = [f"a,{seed},q,1,1,1,i,3", f"a,{seed},q,0,1,1,i,1", f"a,{seed},q,0,0,1,j,1"]
    (tmp_path / "x.csv").write_text("\n".join([f"{HEADER},item_id,sample", *rows]))
    store = Store(tmp_path / "store").open()
    import_file(store, tmp_path / "x.csv", "mine")
    found = totals(store, "SELECT seed, item_id, sample, state, aligned FROM scores ORDER BY item_id, sample")
    assert found == [(seed, "i", 1, "ok", False), (seed, "i", 3, "ok", True), (seed, "j", 1, "unparsed", None)]
    for table in ("cells", "arms", "voided", "probes", "absorption"):
        ((kind,),) = totals(
            store, f"SELECT data_type FROM duckdb_columns() WHERE table_name = '{table}' AND column_name = 'seed'"
        )
        assert kind == "BIGINT", table
