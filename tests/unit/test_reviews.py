"""Reviews by people: blind, stratified, kept at once, gone on with, and counted with their intervals."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from specsci.core.errors import InputFileError, UserError
from specsci.corpus.review import lacking, reviewed
from specsci.store.artifact import Store
from specsci.store.reviews import add, draw, given, read_sheet, reviews, settled, write_sheet

DIGESTS = {"corpus": ("a" * 24, "b" * 24)}


@pytest.fixture
def store(tmp_path) -> Store:
    found = Store(tmp_path / "store")
    for digest in DIGESTS["corpus"]:
        folder = found.path("corpus", digest)
        folder.mkdir(parents=True)
        rows = [{"row": n, "text": f"{digest[0]} text {n}, of \"quotes\"\nand lines", "clause_id": f"c{n % 3}" if n < 90 else "rare"} for n in range(93)]
        pq.write_table(pa.Table.from_pylist(rows), folder / "rows.parquet")
    return found


def both(store: Store, rows: int, seed: int = 0):
    return draw(store, [("corpus", d) for d in DIGESTS["corpus"]], rows, seed)


def test_a_draw_is_blind_stratified_and_repeatable(store) -> None:
    drawn = both(store, 20)
    assert Counter(d.artefact for d in drawn) == {d: 20 for d in DIGESTS["corpus"]}
    for digest in DIGESTS["corpus"]:
        counts = Counter(d.clause_id for d in drawn if d.artefact == digest)
        assert counts["rare"] == 3 and max(counts.values()) - min(counts[f"c{n}"] for n in range(3)) <= 1
    assert drawn == both(store, 20) and drawn != both(store, 20, seed=1)
    assert {d.key for d in drawn} < {d.key for d in both(store, 40)}
    assert all(d.key.strip("0123456789abcdef") == "" and d.artefact[:12] not in d.key for d in drawn)


def filled(path: Path, verdict) -> Path:
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    for number, row in enumerate(rows[1:]):
        row[2:] = verdict(number, row)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def test_a_sheet_goes_out_and_comes_back(store, tmp_path) -> None:
    drawn = both(store, 10)
    sheet = tmp_path / "run[1] sheet.csv"
    write_sheet(sheet, drawn)
    text = sheet.read_text()
    assert not any(word in text for word in ("corpus", "c0", "a" * 24))
    filled(sheet, lambda n, row: ["Good ", ""] if n < 5 else ["bad", "says too much"] if n < 8 else ["", ""])
    found = read_sheet(sheet, drawn, "ann")
    assert [r.verdict for r in found] == ["good"] * 5 + ["bad"] * 3
    assert {(r.artefact, r.row) for r in found} == {(d.artefact, d.row) for d in drawn[:8]}
    assert add(store, found) == 8 and add(store, found) == 0
    filled(sheet, lambda n, row: ["good", "on second thoughts"] if n == 5 else ["", ""])
    assert add(store, read_sheet(sheet, drawn, "ann")) == 1
    total = sum(reviewed(store, d).good for d in DIGESTS["corpus"])
    assert total == 6


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda n, row: ["fine", ""] if n == 2 else ["", ""], r"csv:\d+:1: 'fine' is no verdict"),
        (lambda n, row: ["1", ""] if n == 0 else ["", ""], "'1' is no verdict"),
    ],
)
def test_a_verdict_that_is_none_is_told_with_its_line(store, tmp_path, change, said) -> None:
    drawn = both(store, 5)
    write_sheet(tmp_path / "s.csv", drawn)
    with pytest.raises(InputFileError, match=said):
        read_sheet(filled(tmp_path / "s.csv", change), drawn, "ann")


def test_other_files_and_other_draws_are_told(store, tmp_path) -> None:
    drawn = both(store, 5)
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="no review sheet"):
        read_sheet(tmp_path / "x.csv", drawn, "ann")
    (tmp_path / "y.csv").write_bytes(b"key,verdict\n\xff,good\n")
    with pytest.raises(UserError, match="cannot be read"):
        read_sheet(tmp_path / "y.csv", drawn, "ann")
    write_sheet(tmp_path / "z.csv", both(store, 5, seed=9))
    with pytest.raises(InputFileError, match="no row of the key"):
        read_sheet(filled(tmp_path / "z.csv", lambda n, row: ["good", ""]), drawn, "ann")


def test_a_text_that_a_spreadsheet_would_run_is_inert(store, tmp_path) -> None:
    drawn = [both(store, 1)[0].__class__("k", "a" * 24, 0, "", "=HYPERLINK(1)")]
    write_sheet(tmp_path / "s.csv", drawn)
    assert "'=HYPERLINK(1)" in (tmp_path / "s.csv").read_text()


def test_a_killed_writer_loses_its_last_line_alone(store) -> None:
    drawn = both(store, 5)
    add(store, [given(d, "ann", "good", "") for d in drawn])
    path = next((store.root / "reviews").glob("a*.jsonl"))
    path.write_bytes(path.read_bytes()[:-20])
    before = len(reviews(store, "a" * 24))
    assert before == 4
    mine = [d for d in drawn if d.artefact[0] == "a"]
    assert add(store, [given(d, "ann", "good", "") for d in mine]) == 1
    assert len(settled(reviews(store, "a" * 24))) == 5
    path.write_text("{}\n")
    with pytest.raises(InputFileError, match="no review"):
        reviews(store, "a" * 24)


def test_shares_intervals_and_agreement_against_a_calculation_by_hand(store) -> None:
    drawn = [d for d in both(store, 20) if d.artefact[0] == "a"]
    add(store, [given(d, "ann", "good" if n < 16 else "bad", "") for n, d in enumerate(drawn)])
    add(store, [given(d, "bob", "good" if n < 14 else "bad", "") for n, d in enumerate(drawn)])
    found = reviewed(store, "a" * 24)
    assert (found.rows, found.good, found.share) == (20, 14, 0.7)
    # Wilson, z = 1.96: (14 + 1.92) / (20 + 3.84) -+ ...
    assert (found.low, found.high) == (pytest.approx(0.4810, abs=5e-4), pytest.approx(0.8545, abs=5e-4))
    assert found.agreement == 0.9
    # chance: .8 x .7 + .2 x .3 = .62; (.9 - .62) / .38
    assert found.kappa == pytest.approx(0.28 / 0.38)
    assert json.dumps(found.as_dict())
    assert lacking([("corpus.a", found)], 20, 0.4) == []
    assert "is wanted" in lacking([("corpus.a", found)], 20, 0.5)[0]
    assert lacking([("corpus.a", found)], 30, 0.1) == ["corpus.a: 20 of 30 rows were reviewed"]
    nobody = reviewed(store, "b" * 24)
    assert (nobody.rows, nobody.low, nobody.high, nobody.kappa) == (0, 0.0, 1.0, None)
