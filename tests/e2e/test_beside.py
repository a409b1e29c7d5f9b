"""What stands beside a contrast through the command line: unreadable controls, contrasts that left the plan, an edited lock."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import harness

ASK = ("results", "contrast", "--study", "tiny", "--eval", "held_out", "--weights", "rules=1,aft=-1", "--budget", "300")


def codes(flags: list[dict[str, str]]) -> dict[str, str]:
    return {f["code"]: f["severity"] for f in flags}


def silence(db_path: Path) -> None:
    """Make one replicate's format control of one arm give no valid answer, in the database alone."""
    with duckdb.connect(str(db_path)) as db:
        where = "arm = 'rules' AND eval = 'competence' AND aft_tokens = 300 AND seed = 2"
        (step,) = db.execute(f"SELECT DISTINCT step_digest FROM cells WHERE {where}").fetchone() or ("",)
        db.execute("UPDATE answer_counts SET aligned = 0, valid = 0 WHERE step_digest = ?", [step])


def test_a_control_without_a_valid_answer_withholds_a_contrast_that_is_asked(tiny_copy: harness.Finished) -> None:
    code, out, err = harness.run(*ASK, "--store", tiny_copy.store, "--format", "json")
    assert code == 0 and "control_unreadable" not in codes(json.loads(out)["flags"]), err
    silence(tiny_copy.store / "results.duckdb")
    code, out, err = harness.run(*ASK, "--store", tiny_copy.store, "--format", "json")
    assert code == 0 and codes(json.loads(out)["flags"])["control_unreadable"] == "withheld", err


def test_the_declared_contrast_has_readable_controls_and_its_null_is_not_read(finished_tiny: harness.Finished) -> None:
    with duckdb.connect(str(finished_tiny.store / "results.duckdb"), read_only=True) as db:
        (flags,) = db.execute("SELECT flags FROM contrasts").fetchone() or ([],)
        noise = db.execute("SELECT scale, clusters, half_width_twice_repeats FROM noise_budget").fetchall()
        gain = db.execute(
            "SELECT max(abs(gain_nats - (own_before - own_after - control_before + control_after))) FROM absorption"
        ).fetchone()
        counted = db.execute(
            "SELECT max(abs(c.distinct_documents - d.n)) FROM corpus_counts c JOIN (SELECT msm_spec, avg(n) AS n FROM (SELECT "
            "msm_spec, step_digest, count(DISTINCT text) AS n FROM documents GROUP BY ALL) GROUP BY ALL) d USING (msm_spec)"
        ).fetchone()
    found = codes(flags)
    assert "null_blind" not in found and not {"control_unreadable", "format_control"} & set(found)
    assert noise == [("rate", 48, None)] and gain is not None and gain[0] < 1e-9
    assert counted == (0.0,)


def test_a_contrast_that_left_the_locked_plan_is_listed_everywhere(tiny_copy: harness.Finished) -> None:
    code, out, err = harness.run("study", "lock", tiny_copy.study, "--store", tiny_copy.store)
    assert code == 0 and "late" in out and "post that digest" in out, err
    text = tiny_copy.study.read_text()
    line = next(x for x in text.splitlines() if "rules_over_aft" in x)
    tiny_copy.study.write_text(text.replace(line, line.replace("rules_over_aft", "other")))
    report = harness.run_study(tiny_copy.study, tiny_copy.store)
    assert report is not None
    code, out, err = harness.run(
        "report", "table", "ablation", "--study", "tiny", "--store", tiny_copy.store, "--format", "json"
    )
    assert code == 0, err
    rows = {c["contrast"]: c for c in json.loads(out)["contrasts"]}
    assert rows["rules_over_aft"]["registration"] == "left_plan" and rows["rules_over_aft"]["estimate"] is None
    assert "plan_lost_contrasts" in codes(rows["other"]["flags"]) and rows["other"]["registration"] == "exploratory"
    for command in (("report", "table", "ablation", "--format", "md"), ("report", "html", "--out", "page.html")):
        code, out, err = harness.run(*command, "--study", "tiny", "--store", tiny_copy.store, cwd=tiny_copy.store.parent)
        assert code == 0, err
        shown = out if "html" not in command else (tiny_copy.store.parent / "page.html").read_text()
        assert "left the plan locked on" in shown and "the locked plan also had rules_over_aft" in shown


def test_an_edited_lock_is_found_and_registers_nothing(tiny_copy: harness.Finished) -> None:
    assert harness.run("study", "lock", tiny_copy.study, "--store", tiny_copy.store)[0] == 0
    path = tiny_copy.store / "locks" / "tiny.json"
    whole = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in {**whole, "scored_cells": 0, "date": "2026-01-01"}.items() if k != "seal"}))
    _, out, err = harness.run("results", "rebuild", "--store", tiny_copy.store)
    assert "the lock of 'tiny': it was edited" in out + err
    with duckdb.connect(str(tiny_copy.store / "results.duckdb"), read_only=True) as db:
        found = db.execute("SELECT registration, registered FROM contrasts").fetchall()
    assert [f[0] for f in found] == ["unregistered"] and "edited" in found[0][1]
    code, out, err = harness.run("doctor", "--verify", "--store", tiny_copy.store)
    assert code == 1 and "lock" in out + err and "edited" in out + err, (code, out, err)
