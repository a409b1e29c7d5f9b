"""Distinct documents: counted from the texts themselves, and said beside a contrast whose sides repeat them unequally often."""

from __future__ import annotations

import duckdb
import harness
import pytest

from specsci.inference.corpora import add_corpus_counts, distinct_shares
from specsci.plan.distinct import distinct_findings, distinct_flags

ARMS = {"values": "values", "rules": "rules", "facts": "facts", "aft": None}


@pytest.fixture
def db() -> duckdb.DuckDBPyConnection:
    """Two corpora of a spec: rules repeat 3 texts in 100 documents, values 16; facts almost as values."""
    found = duckdb.connect()
    found.execute("CREATE TABLE documents (step_digest VARCHAR, msm_spec VARCHAR, text VARCHAR)")
    found.execute("CREATE TABLE steps (study VARCHAR, step_digest VARCHAR, kind VARCHAR)")
    found.execute(
        "CREATE TABLE corpus_counts (study VARCHAR, msm_spec VARCHAR, corpora BIGINT, documents DOUBLE, distinct_documents DOUBLE, "
        "distinct_share DOUBLE, repetitions DOUBLE)"
    )
    for spec, distinct in (("rules", 3), ("values", 16), ("facts", 12)):
        for corpus in range(2):
            step = f"{spec}{corpus}"
            found.execute("INSERT INTO steps VALUES ('s', ?, 'corpus')", [step])
            found.execute(f"INSERT INTO documents SELECT ?, ?, 't' || (i % {distinct}) FROM range(100) r(i)", [step, spec])
    found.execute("INSERT INTO documents SELECT 'held', 'rules', 'x' || i FROM range(500) r(i)")
    found.execute("INSERT INTO steps VALUES ('s', 'held', 'heldout')")
    add_corpus_counts(found)
    return found


def test_documents_are_counted_by_their_texts_over_the_corpora_of_a_spec(db: duckdb.DuckDBPyConnection) -> None:
    row = db.execute("SELECT * FROM corpus_counts WHERE msm_spec = 'rules'").fetchall()
    assert row == [("s", "rules", 2, 100.0, 3.0, 0.03, pytest.approx(100 / 3))]
    assert distinct_shares(db, "s") == {"rules": (3, 0.03), "values": (16, 0.16), "facts": (12, 0.12)}
    assert distinct_shares(db, "other") == {}


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"values": 1, "rules": -1}, "distinct documents differ: values 16 (16% of all), rules 3 (3% of all)"),
        ({"rules": 1, "values": -1}, "distinct documents differ: rules 3 (3% of all), values 16 (16% of all)"),
        ({"values": 1, "facts": -1}, None),
        ({"values": 1, "aft": -1}, None),
        ({"values": 0.5, "facts": 0.5, "rules": -1}, "facts 12 (12% of all), values 16 (16% of all), rules 3 (3% of all)"),
        ({"rules": 1}, None),
    ],
)
def test_sides_that_repeat_unequally_often_are_flagged(db: duckdb.DuckDBPyConnection, weights, said) -> None:
    found = distinct_flags(ARMS, weights, distinct_shares(db, "s"))
    assert [(f.code, f.severity) for f in found] == [("distinct_documents_differ", "warning")] * bool(said)
    assert not said or found[0].text.endswith(said)


def test_a_plan_says_it_as_far_as_its_corpora_are_there(plan_of) -> None:
    other = ("  aft: {title: AFT, align: choices}", "  aft: {title: AFT, midtrain: value_augmented, align: choices}")
    plan = plan_of(other)
    corpora = [s for s in plan.steps.values() if s.kind == "corpus"]
    assert {s.params["variant"] for s in corpora} == {"rules", "value_augmented"}
    distinct = {"rules": 3, "value_augmented": 16}
    records = {s.digest: harness.record("corpus", documents=100, distinct=distinct[s.params["variant"]]) for s in corpora}
    (found,) = distinct_findings(plan, records)
    assert (found.level, found.gate) == ("warn", "distinct documents")
    assert found.text == (
        "contrast rules_over_aft: distinct documents differ: rules 3 (3% of all), value_augmented 16 (16% of all)"
    )
    assert distinct_findings(plan, {}) == []
