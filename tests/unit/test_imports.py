"""Results made elsewhere: what is taken in, what is refused with its row, and that a rebuild finds it again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import duckdb
import harness
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from specsci.core.errors import InputFileError, StoreError, UserError
from specsci.database.stamp import is_current
from specsci.results.build import build
from specsci.results.imports import import_file
from specsci.store.artifact import Store

HEADER = "arm,seed,eval,aligned,valid,attempted"
COUNTS = f"# made elsewhere\n{HEADER}\na,1,q,80,95,100\na,2,q,70,100,100\nb,1,q,60,100,100\nb,2,q,55,90,100\n"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store").open()


def written(folder: Path, text: str, name: str = "counts.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


def rows(store: Store, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(store.root / "results.duckdb"), read_only=True) as db:
        return db.execute(query).fetchall()


def test_counts_become_rates_of_a_complete_study(store, tmp_path) -> None:
    done = import_file(store, written(tmp_path, COUNTS), "mine")
    assert (done.rows, done.cells, done.answers, done.level) == (4, 4, 400, "counts")
    found = rows(store, "SELECT arm, seed, aligned, valid, attempted, rate_valid, rate_attempted FROM rates ORDER BY ALL")
    assert found[0] == ("a", 1, 80, 95, 100, pytest.approx(80 / 95), 0.8)
    assert len(found) == 4
    assert rows(store, "SELECT study, profile, complete, cells FROM studies") == [("mine", "imported", True, 4)]
    assert rows(store, "SELECT count(*) FROM scores") == [(0,)], "counts are not answers"
    assert is_current(store)


def test_answers_become_rows_and_an_item_asked_often_becomes_samples(store, tmp_path) -> None:
    text = (
        "arm,seed,eval,aligned,valid,attempted,item_id,cluster_id,state\n"
        "a,1,q,1,1,1,i1,c1,ok\na,1,q,0,0,1,i2,c1,refused\na,1,q,2,3,5,i3,c2,\nb,1,q,0,1,1,i1,c1,ok\n"
    )
    done = import_file(store, written(tmp_path, text), "mine")
    assert (done.rows, done.cells, done.answers, done.level) == (4, 2, 8, "answers")
    found = rows(store, "SELECT item_id, sample, state, aligned FROM scores WHERE arm = 'a' ORDER BY item_id, sample")
    assert found == [
        ("i1", 0, "ok", True), ("i2", 0, "refused", None), ("i3", 0, "ok", True), ("i3", 1, "ok", True),
        ("i3", 2, "ok", False), ("i3", 3, "unparsed", None), ("i3", 4, "unparsed", None),
    ]  # fmt: skip
    assert rows(store, "SELECT aligned, valid, attempted FROM rates WHERE arm = 'a'") == [(3, 4, 7)]


def test_parquet_and_csv_of_the_same_numbers_are_the_same_study(store, tmp_path) -> None:
    import_file(store, written(tmp_path, COUNTS), "csv")
    table = {"arm": ["a", "a", "b", "b"], "seed": [1, 2, 1, 2], "eval": ["q"] * 4}
    table |= {"aligned": [80, 70, 60, 55], "valid": [95, 100, 100, 90], "attempted": [100] * 4}
    pq.write_table(pa.table(table), tmp_path / "rows.parquet")
    import_file(store, tmp_path / "rows.parquet", "parquet")
    names = "arm, seed, eval, aft_tokens, aligned, valid, attempted"
    one, two = (rows(store, f"SELECT {names} FROM rates WHERE study = '{s}' ORDER BY ALL") for s in ("csv", "parquet"))
    assert one == two and len(one) == 4


WRONG = [
    ("arm,sead,eval,aligned,valid,attempted\na,1,q,1,1,1\n", 1, "there is no column 'seed'"),
    (f"{HEADER},itemid\na,1,q,1,1,1,x\n", 1, "unknown column 'itemid'"),
    (f"{HEADER}\na,1,q,1,1,1\na,2,q,3,2,4\n", 3, "not 0 <= aligned <= valid <= attempted"),
    (f"{HEADER}\na,1,q,1,5,4\n", 2, "not 0 <= aligned <= valid <= attempted"),
    (f"{HEADER}\na,1,q,-1,2,4\n", 2, "not 0 <= aligned <= valid <= attempted"),
    (f"{HEADER}\na,1,q,many,2,4\n", 2, "'aligned' is not a whole number"),
    (f"{HEADER}\na,1,q,0.8,2,4\n", 2, "'aligned' is not a whole number"),
    (f"{HEADER}\n,1,q,1,2,4\n", 2, "'arm' is empty"),
    (f"{HEADER}\na,1,q,0,0,0\n", 2, "no answer was attempted"),
    (f"{HEADER}\na,1,q,1,2,4\nb,1,q,1,2,4\na,1,q,2,2,4\n", 4, "stand in an earlier row too"),
    (f"{HEADER},item_id,state\na,1,q,1,1,1,i,fine\n", 2, "'state' is none of"),
    (f"{HEADER},item_id,state\na,1,q,0,1,1,i,refused\n", 2, "ok exactly where the answer is valid"),
    (f"{HEADER}\n", 1, "there are no rows"),
]


@pytest.mark.parametrize(("text", "line", "what"), WRONG, ids=[w[2][:30] for w in WRONG])
def test_what_is_wrong_is_named_with_its_row_and_nothing_is_kept(store, tmp_path, text, line, what) -> None:
    with pytest.raises(InputFileError) as caught:
        import_file(store, written(tmp_path, text), "mine")
    assert any(p.line == line and what in p.what for p in caught.value.problems), str(caught.value)
    assert caught.value.exit_code == 2 and not list(store.root.glob("studies/*")) and not list(store.root.glob("imports/*"))


def test_comments_do_not_shift_the_line_of_a_problem(store, tmp_path) -> None:
    text = f"# one\n\n# two\n{HEADER}\na,1,q,1,2,4\n\na,2,q,9,2,4\n"
    with pytest.raises(InputFileError) as caught:
        import_file(store, written(tmp_path, text), "mine")
    assert [p.line for p in caught.value.problems] == [7]


def test_every_problem_is_listed_not_only_the_first(store, tmp_path) -> None:
    text = f"{HEADER}\na,x,q,1,2,4\na,1,q,9,2,4\n"
    with pytest.raises(InputFileError) as caught:
        import_file(store, written(tmp_path, text), "mine")
    assert {(p.line, p.what) for p in caught.value.problems} == {
        (2, "'seed' is not a whole number"),
        (3, "not 0 <= aligned <= valid <= attempted"),
    }


@pytest.mark.parametrize("text", ["", "\x00\x01\x02", "just words\n"])
def test_a_file_that_is_no_table_is_refused(store, tmp_path, text) -> None:
    with pytest.raises(UserError):
        import_file(store, written(tmp_path, text), "mine")
    with pytest.raises(UserError, match="cannot be read"):
        import_file(store, written(tmp_path, "no parquet", "x.parquet"), "mine")


def test_a_name_is_taken_once_and_replaced_only_when_asked(store, tmp_path) -> None:
    file = written(tmp_path, COUNTS)
    import_file(store, file, "mine")
    import_file(store, file, "mine")
    other = written(tmp_path, COUNTS.replace("80,95", "81,95"), "other.csv")
    with pytest.raises(UserError, match=r"imported from another file \(counts\.csv\)"):
        import_file(store, other, "mine")
    import_file(store, other, "mine", replace=True)
    assert rows(store, "SELECT aligned FROM rates WHERE arm = 'a' AND seed = 1") == [(81,)]
    for name in ("../x", "A b", ""):
        with pytest.raises(UserError, match="is not a valid name for a study"):
            import_file(store, file, name)
    harness.manifest_file(store.root, harness.manifest({"study": "ran"}))
    with pytest.raises(UserError, match="is a study that this store ran"):
        import_file(store, file, "ran")
    (store.root / "studies" / "ran.json").unlink()


def test_kept_rows_that_changed_are_noticed(store, tmp_path) -> None:
    import_file(store, written(tmp_path, COUNTS), "mine")
    (kept,) = store.root.glob("imports/mine/*.parquet")
    kept.write_bytes(kept.read_bytes() + b" ")
    with pytest.raises(StoreError, match="is not what was written") as caught:
        build(store)
    assert "--replace" in caught.value.hint


def test_columns_are_read_under_the_names_of_earlier_versions(store, tmp_path) -> None:
    """`decided` and `asked` are today's `valid` and `attempted`; a problem is told in the words of the file's own columns."""
    (tmp_path / "old.csv").write_text("arm,seed,eval,aligned,decided,asked\na,1,q,3,4,7\n")
    import_file(store, tmp_path / "old.csv", "old")
    assert rows(store, "SELECT aligned, valid, attempted, rate_valid FROM rates") == [(3, 4, 7, 0.75)]
    (tmp_path / "bad.csv").write_text("arm,seed,eval,aligned,decided,asked\na,1,q,3,4,x\n")
    with pytest.raises(InputFileError) as found:
        import_file(store, tmp_path / "bad.csv", "bad")
    assert [(p.line, p.column) for p in found.value.problems] == [(2, 11)]
    (tmp_path / "both.csv").write_text("arm,seed,eval,aligned,valid,decided,attempted\na,1,q,3,4,4,7\n")
    with pytest.raises(InputFileError, match="unknown column 'decided'"):
        import_file(store, tmp_path / "both.csv", "both")


def test_what_an_earlier_version_kept_of_an_import_is_read(store, tmp_path) -> None:
    """Kept rows name their columns as that version did; the counts are the same."""
    (tmp_path / "rows.csv").write_text(f"{HEADER}\na,1,q,3,4,7\nb,1,q,1,2,2\n")
    import_file(store, tmp_path / "rows.csv", "mine")
    (kept,) = (store.root / "imports" / "mine").glob("*.parquet")
    table = pq.read_table(kept)
    pq.write_table(table.rename_columns(["number", "aligned", "decided", "asked"]), kept, compression="zstd")
    place = store.root / "studies" / "mine.json"
    manifest = json.loads(place.read_text())
    manifest["imported"]["sha256"] = hashlib.sha256(kept.read_bytes()).hexdigest()
    place.write_text(json.dumps(manifest))
    (store.root / "results.duckdb").unlink()
    build(store)
    assert rows(store, "SELECT arm, aligned, valid, attempted FROM rates ORDER BY arm") == [("a", 3, 4, 7), ("b", 1, 2, 2)]
