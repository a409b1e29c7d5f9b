"""Sentences with numbers: each of the file stands in the README once, and a number that is not the store's is found and corrected."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import duckdb
import pytest
from scipy import stats

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("readme_numbers", ROOT / "analysis" / "readme_numbers.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["readme_numbers"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def db() -> duckdb.DuckDBPyConnection:
    found = duckdb.connect()
    found.execute("CREATE TABLE noise (share DOUBLE, values DOUBLE[])")
    found.execute("INSERT INTO noise VALUES (0.627, [0.1, 0.3, 0.2, 0.4]), (0.968, NULL)")
    return found


def sentence(script: ModuleType, text: str = "in it {a} to {b} % come from them") -> object:
    values = {
        "a": {"sql": "SELECT min(share) FROM noise", "write": "percent"},
        "b": {"sql": "SELECT max(share) FROM noise", "write": "percent"},
    }
    return script.Sentence(text, values)


def test_every_sentence_stands_in_the_readme_once(script) -> None:
    text = (ROOT / "README.md").read_text()
    for listed in script.sentences():
        assert len(listed.pattern.findall(text)) == 1, listed.text
        assert all(how["write"] in script.WRITE for how in listed.values.values())


def test_a_number_that_is_not_the_stores_is_found_and_corrected(script, db) -> None:
    readme = "Before.\nIndeed, in it 77 to\n97 % come from them, so.\n"
    after, differ = script.compared(db, readme, [sentence(script)])
    assert differ == [("in it 77 to 97 % come from them", "in it 63 to 97 % come from them")]
    assert after == "Before.\nIndeed, in it 63 to\n97 % come from them, so.\n", "line breaks stay"
    assert script.compared(db, after, [sentence(script)]) == (after, [])


@pytest.mark.parametrize(
    ("readme", "said"), [("nothing", "0 times"), ("in it 1 to 2 % come from them. in it 1 to 2 % come from them", "2 times")]
)
def test_a_sentence_that_is_not_there_once_is_an_error(script, db, readme, said) -> None:
    with pytest.raises(ValueError, match=said):
        script.compared(db, readme, [sentence(script)])


def test_a_query_without_a_number_is_an_error(script, db) -> None:
    empty = script.Sentence("x {a}", {"a": {"sql": "SELECT share FROM noise WHERE share > 1", "write": "percent"}})
    with pytest.raises(ValueError, match="0 rows"):
        script.compared(db, "x 3", [empty])


def test_numbers_are_written_as_the_readme_writes_them(script) -> None:
    wanted = {
        "share": (0.09, ".090"), "hundredths": (0.052, ".05"), "signed": (-0.0051, "-.005"), "percent": (0.627, "63"),
        "tokens": (8423.1, "8,420"), "ratio": (3.519, "3.5"), "digits": (1.2912, "1.29"),
    }  # fmt: skip
    assert {k: script.WRITE[k](v) for k, (v, _) in wanted.items()} == {k: text for k, (_, text) in wanted.items()}
    values = [0.1, 0.3, 0.2, 0.4]
    found = float(script.WRITE["detects"](values))
    t, shift = stats.t.ppf(0.975, 3), found / (0.1291 / 2)
    assert stats.nct.sf(t, 3, shift) + stats.nct.cdf(-t, 3, shift) == pytest.approx(0.8, abs=0.02)


def test_the_notebooks_rates_keep_evals_and_bases_apart() -> None:
    """The polars cell, executed: it pooled evals, and printed .490 where held_out is .149."""
    pytest.importorskip("polars")
    db = duckdb.connect()
    db.execute(
        "CREATE TABLE scores AS SELECT 's' AS study, eval, 'a' AS arm, 4000 AS aft_tokens, base AS base_model, 1 AS seed, "
        "i::VARCHAR AS item_id, 'x' AS variant, i % 10 < right_of_ten AS aligned, 'ok' AS state "
        "FROM range(20) r(i), (VALUES ('held_out', 'p', 1), ('held_out', 'q', 3), ('trained', 'p', 9), ('trained', 'q', 9)) "
        "e(eval, base, right_of_ten)"
    )
    cells = json.loads((ROOT / "analysis" / "analyst.ipynb").read_text())["cells"]
    (code,) = ["".join(c["source"]) for c in cells if c["cell_type"] == "code" and "polars" in "".join(c["source"])]
    names: dict[str, object] = {"db": db}
    exec(code.replace("\n(\n", "\nfound = (\n", 1), names)
    found = {row["eval"]: row for row in names["found"].to_dicts()}  # type: ignore[attr-defined]
    assert found["held_out"]["rate"] == pytest.approx(0.2) and found["trained"]["rate"] == pytest.approx(0.9)
    assert found["held_out"]["replicates"] == 2, "two bases of one seed are two replicates"
