"""`results sql`: every answer has a form in every format, and a query reaches nothing but the tables."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from specsci.cli.results import results
from specsci.core.errors import SpecsciError, UserError
from specsci.database.connection import connect
from specsci.database.stamp import DATABASE, say


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with duckdb.connect(str(tmp_path / DATABASE)) as db:
        db.execute("CREATE TABLE scores AS SELECT 1 AS item_id, 'ok' AS state")
        say(db, "stamp", [])
    return tmp_path


def sql(root: Path, *args: str) -> str:
    found = CliRunner().invoke(results, ["sql", *args, "--store", str(root)], catch_exceptions=True)
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.output


def rows(root: Path, query: str) -> list[dict[str, object]]:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not valid JSON")

    return json.loads(sql(root, query, "--format", "json"), parse_constant=refuse)


def test_a_time_with_a_zone_is_shown(root) -> None:
    query = "SELECT TIMESTAMPTZ '2026-01-02 03:04:05+00' AS t, 5 AS n, [now()] AS times -- and a comment"
    (row,) = rows(root, query)
    assert str(row["t"]).startswith("2026-01-0")
    assert row["n"] == 5
    assert "2026" in sql(root, "SELECT now() AS t;")


def test_columns_of_one_name_are_all_there(root) -> None:
    assert rows(root, "SELECT 1 AS a, 2 AS b, 3 AS a, 4 AS a, 5 AS a_1") == [{"a": 1, "b": 2, "a_2": 3, "a_3": 4, "a_1": 5}]
    assert rows(root, "SELECT 1 AS a, 2 AS b, 3 AS a") == [{"a": 1, "b": 2, "a_1": 3}]
    assert rows(root, "SELECT * FROM scores s JOIN scores t USING (item_id)") == [
        {"item_id": 1, "state": "ok", "state_1": "ok"}
    ]


def test_numbers_that_are_not_finite_are_null_and_decimals_are_numbers(root) -> None:
    query = "SELECT 'nan'::DOUBLE AS n, 'inf'::FLOAT AS i, ['-inf'::DOUBLE, 1] AS l, {'x': 'nan'::DOUBLE} AS s, MAP {2: 'inf'::DOUBLE} AS m"
    assert rows(root, query) == [{"n": None, "i": None, "l": [None, 1.0], "s": {"x": None}, "m": {"2": None}}]
    assert rows(root, "SELECT 1.5 AS d, sum(3) AS h, 2.00::DECIMAL(9, 2) AS w") == [{"d": 1.5, "h": 3, "w": 2}]


@pytest.mark.parametrize("query", [";", "-- nothing", "/* nothing */ ;;", " "])
def test_a_text_without_a_query_says_so(query, root) -> None:
    with pytest.raises(UserError, match="there is no query"):
        sql(root, query)


@pytest.mark.parametrize(
    "query",
    [
        "COPY (SELECT 1) TO '{root}/new.csv'", "COPY scores TO '{root}/results.stamp'", "EXPORT DATABASE '{root}/out'", "ATTACH '{root}/other.db'",
        "SELECT * FROM read_text('/etc/passwd')", "SELECT * FROM read_blob('/etc/passwd')", "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'", "SELECT * FROM glob('/*')", "FROM read_parquet('http://127.0.0.1:9/x.parquet')", "INSTALL httpfs", "LOAD httpfs",
        "SET enable_external_access = true", "RESET enable_external_access", "SET lock_configuration = false", "SET temp_directory = '/tmp/x'",
        "PRAGMA enable_profiling", "INSERT INTO scores VALUES (2, 'x')", "DROP TABLE scores", "CREATE TABLE t (x INT)", "CHECKPOINT foo",
        "CREATE SECRET s (TYPE s3)", "SELECT * FROM duckdb_secrets()", "IMPORT DATABASE '{root}'", "SELECT * FROM results", "SELECT * FROM rows",
        "SELECT * FROM nosuch", "SELEC 1",
    ],
)  # fmt: skip
def test_a_query_reaches_no_file_no_network_no_setting_and_no_object_of_the_program(query, root) -> None:
    before = {p.name: p.read_bytes() for p in root.iterdir()}
    with pytest.raises(SpecsciError, match=r"the query failed|there is no") as error:
        sql(root, query.replace("{root}", str(root)))
    assert error.value.exit_code == 2
    assert {p.name: p.read_bytes() for p in root.iterdir()} == before


def test_a_file_that_is_no_utf_8_is_refused_with_its_place(root, tmp_path) -> None:
    (tmp_path / "q.sql").write_bytes(b"SELECT 1\n-- caf\xe9\n")
    with pytest.raises(UserError, match=r"q\.sql:2:7: is not UTF-8"):
        sql(root, "--file", str(tmp_path / "q.sql"))
    (tmp_path / "q.sql").write_bytes("\ufeffSELECT 'ü' AS a".encode())
    assert "ü" in sql(root, "--file", str(tmp_path / "q.sql"))


def test_a_database_that_another_program_holds_says_so(root) -> None:
    program = (
        f"import duckdb, sys; c = duckdb.connect({str(root / DATABASE)!r}); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(UserError, match="another program has it open") as error:
            sql(root, "SELECT 1")
        assert "close that, or open it read-only" in error.value.hint
        holder.communicate("")
    assert "1" in sql(root, "SELECT 1")


def test_a_large_query_may_spill_and_its_files_are_gone(root) -> None:
    with connect(root) as db:
        found = db.execute("SELECT count(*) FROM (SELECT i, hash(i) h FROM range(3000000) t(i) ORDER BY h)").fetchall()
    assert found == [(3_000_000,)]
