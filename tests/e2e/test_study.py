"""The tiny study from its file to its database: runs, re-runs, explanations, and what the database holds."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import harness
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from specsci.core.ids import file_sha256

TABLES = {
    "scores": "study arm base_model msm_spec aft_spec aft_tokens midtrain_tokens seed eval item_id cluster_id readout "
    "variant sample state aligned value step_digest",
    "arms": "study arm",
    "steps": "study step_digest kind",
    "documents": "spec_digest clause_id cell backend prompt_digest",
    "training": "step tokens loss lr",
    "contrasts": "estimate ci_low ci_high p p_adj family method confounds",
    "studies": "study",
    "rates": "study arm aft_tokens seed eval readout aligned valid attempted rate_valid rate_attempted",
}
"""The fixed names of results.duckdb."""
STEPS = {
    "tokenizer": 1,
    "base": 1,
    "spec": 1,
    "items": 2,
    "pool": 4,
    "corpus": 2,
    "conversations": 2,
    "audit": 2,
    "midtrain": 2,
    "align": 8,
    "score": 22,
    "heldout": 2,
    "control": 2,
    "probe": 8,
}
"""22 scores: the two replicates share a base, so that its two readings are one step each."""


def query(store: Path, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(store / "results.duckdb"), read_only=True) as db:
        return db.execute(sql, list(values)).fetchall()


def all_rows(store: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every table and view but provenance, as sorted texts."""
    out = {}
    for table in (
        "scores",
        "rates",
        "arms",
        "cells",
        "training",
        "documents",
        "contrasts",
        "token_efficiency",
        "absorption",
        "probe_rows",
        "steps",
    ):
        out[table] = sorted(query(store, f"SELECT * FROM {table}"), key=repr)
    return out


def test_a_run_reports_its_steps_in_one_json_document(finished_tiny):
    report = finished_tiny.report
    assert report["study"] == "tiny"
    assert (report["executed"], report["reused"], report["failed"], report["blocked"]) == (sum(STEPS.values()), 0, 0, 0)
    kinds = [name.split("/")[0] for name in harness.digests(finished_tiny.store)]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == STEPS
    assert list((finished_tiny.store / "stage").iterdir()) == []


def cpu_s(*args: str | Path) -> tuple[float, str]:
    """CPU seconds of a command in a process of its own, the least of two runs, and its output: the first may compile modules."""
    found = []
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([*harness.COMMAND, *args], capture_output=True, text=True, timeout=60, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found), done.stdout


def test_a_second_run_executes_nothing_and_costs_little_more_than_a_check(finished_tiny):
    """Measured against the check of the same study in the same minute: absolute times mean nothing on shared cores."""
    check, _ = cpu_s("study", "check", finished_tiny.study)
    again, out = cpu_s("study", "run", finished_tiny.study, "--store", finished_tiny.store, "--json")
    report = json.loads(out)
    assert (report["executed"], report["reused"]) == (0, sum(STEPS.values()))
    assert again < 3 * check, f"{again:.2f} s of CPU, where a check takes {check:.2f} s"


def test_a_deleted_artefact_is_made_again_and_nothing_else(finished_tiny, tiny_copy):
    """A score and the model of another arm: neither what they are made from nor what was made from them runs."""
    store = tiny_copy.store
    score = harness.artifact(store, "score", "score msm_rules at 0 tokens on held_out, replicate 2")
    align = harness.artifact(store, "align", "align rules at 150 tokens, replicate 1")
    for folder in (score, align):
        shutil.rmtree(folder)
    before = harness.made_at(store)
    report = harness.run_study(tiny_copy.study, store, workers=1)
    assert (report["executed"], report["reused"]) == (2, sum(STEPS.values()) - 2)
    assert harness.made_anew(before, store) == {f"score/{score.name}", f"align/{align.name}"}
    ours, theirs = harness.records(store), harness.records(finished_tiny.store)
    assert {n: r["files"] for n, r in ours.items()} == {n: r["files"] for n, r in theirs.items()}
    assert all_rows(store)["scores"] == all_rows(finished_tiny.store)["scores"]


def test_a_plain_run_says_what_it_does_after_the_last_step(tiny_copy):
    shutil.rmtree(harness.artifact(tiny_copy.store, "score", "score msm_rules at 0 tokens on held_out, replicate 2"))
    (tiny_copy.store / "results.duckdb").unlink()
    code, out, err = harness.run("study", "run", tiny_copy.study, "--store", tiny_copy.store, "--plain")
    assert code == 0, err
    said = [err.index(words) for words in ("loading torch", "59/59 steps", "building results.duckdb", "writing tables")]
    assert said == sorted(said) and "Misaligned rate" in out


def explain(study: Path, store: Path) -> list[dict[str, Any]]:
    code, out, err = harness.run("study", "explain", study, "--store", store, "--json")
    assert code == 0, err
    return json.loads(out)


def test_explain_names_the_field_that_was_edited_and_what_follows_from_it(finished_tiny, tmp_path):
    assert explain(finished_tiny.study, finished_tiny.store) == []
    edited = tmp_path / "tiny.yaml"
    edited.write_text(finished_tiny.study.read_text().replace("learning_rate: 1.0e-4", "learning_rate: 2.0e-4"))
    reasons = explain(edited, finished_tiny.store)
    assert {r["kind"] for r in reasons} == {"align", "score"}
    aligns = [r for r in reasons if r["kind"] == "align"]
    assert len(aligns) == STEPS["align"]
    for reason in aligns:
        (because,) = reason["because"]
        assert because.startswith("params.recipe.learning_rate: ")
        assert because.endswith(" -> 0.0002")
    scores = [r for r in reasons if r["kind"] == "score"]
    assert all(b.startswith("its input is to be made: align") for r in scores for b in r["because"])
    code, out, _ = harness.run("study", "explain", edited, "--store", finished_tiny.store, "--limit", "2")
    assert code == 0
    assert f"{len(reasons)} of {sum(STEPS.values())} steps would run" in out
    assert "params.recipe.learning_rate" in out
    assert f"... and {len(reasons) - 2} more" in out


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("threads_per_worker: 1", "threads_per_worker: 2"),
        ("title: A tiny study", "title: Another title"),
        ("title: MSM and AFT,", "title: Both,"),
        ("hypothesis: Rules help.", "hypothesis: Rules hurt."),
    ],
)
def test_what_is_no_identity_re_runs_nothing(old, new, finished_tiny, tmp_path):
    edited = tmp_path / "tiny.yaml"
    text = finished_tiny.study.read_text()
    assert old in text
    edited.write_text(text.replace(old, new))
    assert explain(edited, finished_tiny.store) == []


def test_the_database_has_the_fixed_tables_and_columns(finished_tiny):
    for table, names in TABLES.items():
        columns = {r[0] for r in query(finished_tiny.store, f"DESCRIBE {table}")}
        assert set(names.split()) <= columns, table
        assert query(finished_tiny.store, f"SELECT count(*) > 0 FROM {table}") == [(True,)], f"{table} is empty"
    types = {r[0]: r[1] for r in query(finished_tiny.store, "DESCRIBE scores")}
    assert (types["aligned"], types["value"]) == ("BOOLEAN", "DOUBLE")


def test_rates_agree_with_counts_from_the_files(finished_tiny):
    """The view against a count in Python over the score files and the plan's cells, nothing of the database used."""
    manifest = json.loads((finished_tiny.store / "studies" / "tiny.json").read_text())
    rows = harness.score_rows(finished_tiny.store)
    expected = set()
    for cell in manifest["cells"]:
        answers = rows[cell["step_digest"]]
        ok = [r for r in answers if r["state"] == "ok"]
        aligned = sum(r["aligned"] for r in ok)
        key = (cell["arm"], cell["aft_tokens"], cell["seed"], cell["eval"], "logprob")
        expected.add((*key, aligned, len(ok), len(answers), aligned / len(ok), aligned / len(answers)))
    sql = "SELECT arm, aft_tokens, seed, eval, readout, aligned, valid, attempted, rate_valid, rate_attempted FROM rates"
    assert set(query(finished_tiny.store, sql)) == expected
    assert len(expected) == 24
    assert 0 < sum(r[5] for r in expected) < sum(r[7] for r in expected)


def test_scores_say_whether_the_aligned_option_was_more_likely(finished_tiny):
    for rows in harness.score_rows(finished_tiny.store).values():
        for row in rows:
            assert row["state"] == "ok"
            assert row["value"] == row["logprob_aligned"] - row["logprob_misaligned"]
            assert row["aligned"] == (row["value"] > 0)
            assert row["logprob_aligned"] < 0


def test_an_undecided_answer_has_no_verdict_and_lowers_no_rate(finished_tiny, tiny_copy):
    """Answers in an error state, written by hand with a record to match: NULL, attempted but not valid."""
    folder = harness.artifact(tiny_copy.store, "score", "score rules at 300 tokens on held_out, replicate 1")
    path = folder / "scores.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    for row in rows[:10]:
        row.update(state="error", aligned=None, value=None)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    record = json.loads((folder / "record.json").read_text())
    record["files"]["scores.parquet"] = {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
    (folder / "record.json").write_text(json.dumps(record))
    code, _, err = harness.run("results", "rebuild", "--store", tiny_copy.store)
    assert code == 0, err
    assert query(tiny_copy.store, "SELECT count(*) FROM scores WHERE (aligned IS NULL) <> (state <> 'ok')") == [(0,)]
    assert query(tiny_copy.store, "SELECT count(*) FROM scores WHERE aligned IS NULL") == [(10,)]
    where = "FROM rates WHERE arm = 'rules' AND aft_tokens = 300 AND seed = 1 AND eval = 'held_out'"
    ((aligned, valid, attempted, rate_valid, rate_attempted),) = query(
        tiny_copy.store, f"SELECT aligned, valid, attempted, rate_valid, rate_attempted {where}"
    )
    assert (valid, attempted) == (len(rows) - 10, len(rows))
    assert aligned == sum(r["aligned"] for r in rows[10:])
    assert (rate_valid, rate_attempted) == (aligned / valid, aligned / attempted)


def test_contrasts_agree_with_the_rates(finished_tiny):
    ((estimate, n, each),) = query(finished_tiny.store, "SELECT estimate, n, per_replicate FROM contrasts")
    sql = "SELECT rate_valid FROM rates WHERE arm = ? AND eval = 'held_out' AND aft_tokens = 300 ORDER BY seed"
    rules, aft = (query(finished_tiny.store, sql, arm) for arm in ("rules", "aft"))
    differences = [r[0] - a[0] for r, a in zip(rules, aft, strict=True)]
    assert n == 2
    assert each == pytest.approx(differences)
    assert estimate == pytest.approx(sum(differences) / 2)


def test_documents_know_what_they_came_from(finished_tiny):
    rows = query(finished_tiny.store, "SELECT step_digest, spec_digest, clause_id, tokens, text FROM documents")
    records = harness.records(finished_tiny.store)
    (spec,) = [r["digest"] for r in records.values() if r["kind"] == "spec"]
    assert {r[1] for r in rows} == {spec}
    for digest in {r[0] for r in rows}:
        own = [r for r in rows if r[0] == digest]
        assert len(own) == records[f"corpus/{digest}"]["documents"]
        assert sum(r[3] for r in own) == records[f"corpus/{digest}"]["tokens"] >= 1000
    clauses = json.loads((finished_tiny.store / "steps" / "spec" / spec / "spec.json").read_text())["clauses"]
    assert {r[2] for r in rows} <= {c["id"] for c in clauses}


def test_training_is_token_exact_and_the_same_weights_go_on(finished_tiny):
    """Midtraining takes its tokens exactly; alignment at most its budget, and from the midtrained weights."""
    records = harness.records(finished_tiny.store)
    mid = [r for r in records.values() if r["kind"] == "midtrain"]
    assert {r["tokens"] for r in mid} == {2000}
    for record in records.values():
        if record["kind"] != "align":
            continue
        budget = record["identity"]["params"]["tokens"]
        assert budget * 0.6 < record["tokens"] <= budget
        assert 0 < record["supervised_tokens"] < record["tokens"]
        assert ("model" in record["identity"]["inputs"]) == ("rules" in record["label"])
        if "rules" in record["label"]:
            assert record["identity"]["inputs"]["model"] in {r["digest"] for r in mid}
    losses = query(finished_tiny.store, "SELECT first(loss ORDER BY step), last(loss ORDER BY step) "
                   "FROM training WHERE kind = 'midtrain' GROUP BY step_digest")  # fmt: skip
    assert len(losses) == 2
    assert all(0 < last < first for first, last in losses)


def test_results_and_ledger_can_be_deleted_and_come_back_equal(finished_tiny, tiny_copy):
    store = tiny_copy.store
    for path in [*store.glob("ledger.sqlite*"), *store.glob("results.*")]:
        path.unlink()
    report = harness.run_study(tiny_copy.study, store)
    assert (report["executed"], report["reused"]) == (0, sum(STEPS.values()))
    assert all_rows(store) == all_rows(finished_tiny.store)


def test_the_results_are_rebuilt_while_another_process_reads_them(tiny_copy):
    """The reader keeps its rows; whoever opens the file next sees the new one."""
    reader = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import duckdb, sys\n"
            "db = duckdb.connect(sys.argv[1], read_only=True)\n"
            "print(db.execute('SELECT count(*) FROM scores').fetchone()[0], flush=True)\n"
            "sys.stdin.readline()\n"
            "print(db.execute('SELECT count(*) FROM scores').fetchone()[0], flush=True)\n",
            str(tiny_copy.store / "results.duckdb"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdin and reader.stdout
    first = reader.stdout.readline()
    old = (tiny_copy.store / "results.duckdb").stat().st_ino
    code, _, err = harness.run("results", "rebuild", "--store", tiny_copy.store)
    assert code == 0, err
    assert (tiny_copy.store / "results.duckdb").stat().st_ino != old
    assert query(tiny_copy.store, "SELECT count(*) FROM scores") == [(int(first),)]
    out, _ = reader.communicate("go on\n", timeout=30)
    assert out == first
    left = {p.name for p in tiny_copy.store.glob(".results*")}
    assert left <= {".results.lock"}, "builders' lock stays, a temporary database does not"


def test_equal_steps_give_equal_rows_in_another_store(finished_tiny, finished_small):
    """Another store, one worker instead of two, a study of another name: the shared steps' rows are identical."""
    ours, theirs = harness.score_rows(finished_small.store), harness.score_rows(finished_tiny.store)
    assert set(ours) <= set(theirs)
    assert len(ours) == 3
    for digest, rows in ours.items():
        assert rows == theirs[digest]
    a, b = harness.records(finished_small.store), harness.records(finished_tiny.store)
    assert {n: r["files"] for n, r in a.items()} == {n: b[n]["files"] for n in a}


@pytest.mark.slow
def test_the_whole_study_again_gives_identical_files(finished_tiny, tmp_path):
    harness.run_study(finished_tiny.study, tmp_path / "store", workers=1)
    ours, theirs = harness.records(tmp_path / "store"), harness.records(finished_tiny.store)
    assert {n: r["files"] for n, r in ours.items()} == {n: r["files"] for n, r in theirs.items()}
    assert all_rows(tmp_path / "store")["scores"] == all_rows(finished_tiny.store)["scores"]


def test_two_studies_share_a_store_and_its_steps(finished_tiny, tiny_copy, tmp_path):
    """A second study with the same steps runs nothing, and the database then holds both."""
    (tmp_path / "small.yaml").write_text(harness.SMALL)
    report = harness.run_study(tmp_path / "small.yaml", tiny_copy.store)
    assert report["executed"] == 0
    assert query(tiny_copy.store, "SELECT study, complete FROM studies ORDER BY study") == [("small", True), ("tiny", True)]
    held_out = harness.artifact(tiny_copy.store, "score", "base at 0 tokens on held_out").name
    counts = dict(query(tiny_copy.store, "SELECT study, count(*) FROM scores GROUP BY study"))
    assert counts["tiny"] == query(finished_tiny.store, "SELECT count(*) FROM scores")[0][0]
    assert counts["small"] == 3 * len(harness.score_rows(tiny_copy.store)[held_out])


def test_every_midtrained_model_is_probed_before_and_after(finished_tiny: harness.Finished) -> None:
    """Losses in the database are those of the probe's files; midtraining makes its own documents easier."""
    with duckdb.connect(str(finished_tiny.store / "results.duckdb"), read_only=True) as db:
        rows = db.execute(
            "SELECT msm_spec, seed, own_before, own_after, texts, installed FROM absorption ORDER BY seed"
        ).fetchall()
        assert [(r[0], r[1]) for r in rows] == [("rules", 1), ("rules", 2)]
        for _, _, before, after, texts, installed in rows:
            assert before > after > 0 and texts > 20 and installed is not None
        per_token = db.execute(
            "SELECT p.step_digest, sum(r.nll) / sum(r.tokens) FROM probes p JOIN probe_rows r USING (step_digest) GROUP BY 1"
        ).fetchall()
        corpora = db.execute("SELECT count(DISTINCT step_digest) FROM documents").fetchone()
    records = harness.records(finished_tiny.store)
    assert len(per_token) == 8
    assert all(records[f"probe/{digest}"]["nll_per_token"] == pytest.approx(value) for digest, value in per_token)
    assert corpora == (2,), "held-out documents are not part of any corpus"
