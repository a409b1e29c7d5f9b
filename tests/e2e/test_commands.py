"""The reading commands on a finished store: specs, corpora, results, reports, status, doctor."""

from __future__ import annotations

import csv
import io
import json
import time

import duckdb
import harness
import pytest

from specsci.core.ids import text_digest

FAMILY, VARIANT = "microlab_conduct", "rules"


def ok(*args: object) -> str:
    """Stdout of a command that must succeed."""
    code, out, err = harness.run(*args)
    assert code == 0, err
    assert "Traceback" not in err
    return out


def test_spec_show_and_materialize_agree(tmp_path):
    text = ok("spec", "show", FAMILY, VARIANT)
    assert text.strip()
    ok("spec", "materialize", FAMILY, VARIANT, "--out", tmp_path / "out")
    assert (tmp_path / "out" / "rules.md").read_text() == text
    record = json.loads((tmp_path / "out" / "rules.json").read_text())
    assert (record["family"], record["variant"], record["text_digest"]) == (FAMILY, VARIANT, text_digest(text))
    assert len({c["id"] for c in record["clauses"]}) == len(record["clauses"]) > 0


def test_the_spec_of_a_run_is_the_one_that_is_shown(finished_tiny):
    (path,) = finished_tiny.store.glob("steps/spec/*/spec.md")
    assert path.read_text() == ok("spec", "show", FAMILY, VARIANT)


def test_an_unknown_variant_is_the_users_mistake():
    code, _, err = harness.run("spec", "show", FAMILY, "rulez")
    assert code == 2
    assert "did you mean 'rules'?" in err
    assert "Traceback" not in err


def test_peek_shows_rows_of_what_matches(finished_tiny):
    out = ok("corpus", "peek", "corpus rules", "--rows", "3", "--store", finished_tiny.store)
    records = [r for r in harness.records(finished_tiny.store).values() if r["kind"] == "corpus"]
    assert out.count("corpus rules, replicate") == len(records) == 2
    with duckdb.connect(str(finished_tiny.store / "results.duckdb"), read_only=True) as db:
        shown = db.execute("SELECT text FROM documents WHERE row < 3").fetchall()
    assert len(shown) == 6
    assert all(text.split("\n")[0] in out for (text,) in shown)
    code, _, err = harness.run("corpus", "peek", "nothing like it", "--store", finished_tiny.store)
    assert (code, "nothing generated matches" in err) == (2, True)


def test_audits_count_tokens_and_find_no_leak(finished_tiny):
    reports = json.loads(ok("corpus", "audit", "--json", "--store", finished_tiny.store))
    assert len(reports) == 2
    for report in reports.values():
        assert report["items"] > 0
        assert set(report["texts"]) == {"replay", "it", "corpus.rules", "conversations.choices"}
        assert all(t["leaked_items"] == 0 and t["tokens"] > 0 for t in report["texts"].values())
    assert "0 leaked items" in ok("corpus", "audit", "--store", finished_tiny.store)


SQL = "SELECT arm, aft_tokens, count(*) AS answers FROM scores WHERE seed = 1 GROUP BY ALL ORDER BY ALL"


def test_sql_gives_the_same_rows_in_every_format(finished_tiny):
    with duckdb.connect(str(finished_tiny.store / "results.duckdb"), read_only=True) as db:
        expected = [[str(v) for v in row] for row in db.execute(SQL).fetchall()]
    assert len(expected) == 6
    header = ["arm", "aft_tokens", "answers"]

    def out(format_: str) -> str:
        return ok("results", "sql", SQL, "--format", format_, "--store", finished_tiny.store)

    assert [[str(v) for v in row.values()] for row in json.loads(out("json"))] == expected
    assert list(csv.reader(io.StringIO(out("csv")))) == [header, *expected]
    cells = [[c.strip() for c in line.strip("| ").split("|")] for line in out("md").splitlines() if line.startswith("| ")]
    assert cells == [header, *expected]
    table = out("table")
    assert all(all(value in table for value in row) for row in expected)


def test_sql_is_read_only_and_its_mistakes_are_clear(finished_tiny):
    for statement in ("SELECT * FROM nonsense", "DROP TABLE scores", "SELEC 1"):
        code, _, err = harness.run("results", "sql", statement, "--store", finished_tiny.store)
        assert code == 2, statement
        assert "the query failed" in err
        assert "Traceback" not in err
    assert json.loads(ok("results", "sql", "SELECT 1 AS one", "--format", "json", "--store", finished_tiny.store)) == [
        {"one": 1}
    ]


def test_the_ablation_table_says_the_same_in_every_format(finished_tiny):
    def out(format_: str) -> str:
        return ok("report", "table", "ablation", "--format", format_, "--store", finished_tiny.store)

    content = json.loads(out("json"))
    assert (content["cells_scored"], content["cells_total"]) == (24, 24)
    rates = {(r["arm"], r["aft_tokens"]): r for r in content["rates"]}
    assert set(rates) == {("base", 0), ("msm_rules", 0), ("aft", 150), ("aft", 300), ("rules", 150), ("rules", 300)}
    with duckdb.connect(str(finished_tiny.store / "results.duckdb"), read_only=True) as db:
        for (arm, budget), rate in rates.items():
            where = "arm = ? AND aft_tokens = ? AND eval = 'held_out'"
            found = db.execute(f"SELECT 1 - rate_valid FROM rates WHERE {where} ORDER BY seed", [arm, budget]).fetchall()
            assert rate["misaligned"] == pytest.approx(sum(r for (r,) in found) / 2)
    shown = f"{rates['rules', 300]['misaligned']:.3f}".lstrip("0")
    for format_ in ("md", "csv", "table"):
        text = out(format_)
        assert shown in text, format_
        assert "rules_over_aft" in text
        assert "held_out" in text


def test_status_after_a_run(finished_tiny):
    found = json.loads(ok("study", "status", finished_tiny.study, "--store", finished_tiny.store, "--json"))
    assert (found["done"], found["total"], found["running"], found["failures"]) == (59, 59, [], [])
    assert found["kinds"]["score"] == {"done": 22, "total": 22}
    assert [r["state"] for r in found["runs"]] == ["ended"]
    assert "tiny: 59 of 59 steps done" in ok("study", "status", finished_tiny.study, "--store", finished_tiny.store)


def test_status_during_a_run(finished_small, tmp_path):
    """Beside a running runner: what runs now and in which runner; afterwards that nothing does."""
    store = tmp_path / "store"
    running = harness.start("study", "run", finished_small.study, "--store", store, "--json", "--workers", "1")
    found: dict = {}
    until = time.monotonic() + 60
    while not found.get("running") and time.monotonic() < until and running.process.poll() is None:
        if (store / "ledger.sqlite").exists():
            found = json.loads(ok("study", "status", finished_small.study, "--store", store, "--json"))
    running.process.kill()
    running.wait()
    (claim,) = found["running"]
    assert f"-{running.process.pid}-" in claim["runner"]
    assert found["done"] < found["total"]
    assert [r["state"] for r in found["runs"]] == ["running"]
    after = json.loads(ok("study", "status", finished_small.study, "--store", store, "--json"))
    assert (after["running"], [r["state"] for r in after["runs"]]) == ([], ["killed"])
    assert "nothing runs now" in ok("study", "status", finished_small.study, "--store", store)


def test_plan_of_a_finished_study_has_nothing_to_run(finished_tiny):
    plan = json.loads(ok("study", "plan", finished_tiny.study, "--store", finished_tiny.store, "--json"))
    assert (plan["to_run"], len(plan["steps"])) == (0, 59)
    assert all(s["done"] for s in plan["steps"])
    assert {s["digest"] for s in plan["steps"]} == {n.split("/")[1] for n in harness.digests(finished_tiny.store)}


def test_doctor_verifies_a_sound_store(finished_tiny):
    out = ok("doctor", "--verify", "--store", finished_tiny.store)
    assert "0 corrupt artefacts" in out
    assert "ok    torch: " in out and "bitsandbytes: " in out


@pytest.mark.parametrize(
    "command",
    [
        ("study", "status", "small.yaml"),
        ("corpus", "peek"),
        ("results", "sql", "SELECT 1"),
        ("results", "rebuild"),
        ("report", "table", "ablation"),
        ("doctor", "--verify"),
    ],
    ids=" ".join,
)
def test_a_missing_store_is_the_users_mistake_and_is_not_created(command, tmp_path):
    (tmp_path / "small.yaml").write_text(harness.SMALL)
    code, _, err = harness.run(*command, "--store", tmp_path / "none", cwd=tmp_path)
    assert code == 2
    assert str(tmp_path / "none") in err
    assert "hint: " in err
    assert not (tmp_path / "none").exists()


def test_the_store_comes_from_the_environment_or_from_here(finished_tiny, tmp_path):
    sql = ("results", "sql", "SELECT count(*) AS n FROM studies", "--format", "json")
    code, out, _ = harness.run(*sql, env={"SPECSCI_STORE": str(finished_tiny.store)}, cwd=tmp_path)
    assert (code, json.loads(out)) == (0, [{"n": 1}])
    (tmp_path / ".specsci").symlink_to(finished_tiny.store)
    code, out, _ = harness.run(*sql, cwd=tmp_path)
    assert (code, json.loads(out)) == (0, [{"n": 1}])
