"""A study whose models answer in words: sampled once, read as often as parsers change, in the database with what was said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import duckdb
import harness
import pytest

STUDY = harness.edited(
    harness.TINY,
    {
        "  held_out: {items: held_out}": "  held_out: {items: held_out}\n"
        "  in_words: {kind: generated_choice, items: held_out, max_tokens: 6, readout: lenient}",
        "  competence: {items: competence, role: competence}": "  competence: {items: competence, role: competence}\n"
        "  competence_in_words: {kind: generated_choice, items: competence, role: competence, max_tokens: 6, readout: lenient}",
    },
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words")
    (folder / "s.yaml").write_text(STUDY)
    harness.run_study(folder / "s.yaml", folder / "store")
    return folder


def sql(store: Path, query: str) -> list[tuple]:
    with duckdb.connect(str(store / "results.duckdb"), read_only=True) as db:
        return db.execute(query).fetchall()


def test_every_answer_is_kept_with_its_prompt_and_has_a_state_in_either_reading(ran: Path) -> None:
    store = ran / "store"
    ((asked, said, empty),) = sql(store, "SELECT count(*), count(reply), count(*) FILTER (prompt = '') FROM transcripts WHERE eval = 'in_words'")
    ((rows, readouts),) = sql(store, "SELECT count(*), count(DISTINCT readout) FROM scores WHERE eval = 'in_words'")
    assert asked == said > 500 and empty == 0 and rows == 2 * asked and readouts == 2
    ((wrong,),) = sql(
        store,
        """SELECT count(*) FROM transcripts t JOIN scores s USING (study, arm, aft_tokens, seed, eval, item_id, variant, sample)
           WHERE t.state = 'truncated' AND s.state <> 'truncated'""",
    )
    assert wrong == 0, "what was cut off is no answer"
    states = dict(sql(store, "SELECT state, count(*) FROM scores WHERE eval = 'in_words' AND readout = 'lenient' GROUP BY 1"))
    assert set(states) <= {"ok", "unparsed", "truncated"} and states["ok"] > 100, states


def test_a_strict_answer_is_the_option_itself(ran: Path) -> None:
    found = sql(
        ran / "store",
        """SELECT t.reply, i.aligned, i.misaligned, s.aligned FROM transcripts t
           JOIN scores s USING (study, arm, aft_tokens, seed, eval, item_id, variant, sample)
           JOIN items i USING (study, eval, item_id)
           WHERE s.readout = 'strict' AND s.state = 'ok' AND t.eval = 'in_words'""",
    )
    assert found
    for reply, aligned, misaligned, took in found:
        assert reply.lower().strip(" .") == (aligned if took else misaligned).lower().strip(" .")


def test_reading_the_answers_anew_asks_no_model(ran: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(ran / "store", store)
    shutil.rmtree(store / "steps" / "score")
    report = harness.run_study(ran / "s.yaml", store)
    kinds = report["busy_by_kind_s"]
    assert report["failed"] == 0 and "sample" not in kinds and "score" in kinds
    same = "SELECT arm, seed, item_id, variant, readout, state FROM scores WHERE eval = 'in_words' ORDER BY ALL"
    assert sql(store, same) == sql(ran / "store", same)


def test_longer_answers_are_other_answers_and_the_other_evals_stay(ran: Path) -> None:
    counts = []
    for extra in ((), ("--set", "evals.in_words.max_tokens=7"), ("--set", "evals.in_words.readout=strict")):
        code, out, err = harness.run("study", "plan", ran / "s.yaml", "--store", ran / "store", *extra, "--json")
        assert code == 0, err
        counts.append(json.loads(out)["to_run"])
    ((models,),) = sql(ran / "store", "SELECT count(DISTINCT samples_digest) FROM cells WHERE eval = 'in_words'")
    assert counts == [0, 2 * models, 0], "answers and their scores; another reading is there already"


def test_the_page_and_the_contrasts_take_the_reading_that_is_named(ran: Path, tmp_path: Path) -> None:
    code, _, err = harness.run("report", "html", "--store", ran / "store", "--out", tmp_path / "r.html")
    assert code == 0, err
    page = (tmp_path / "r.html").read_text()
    assert "generated_choice" in page and "lenient (taken)" in page and "in_words" in page


@pytest.mark.parametrize(
    ("settings", "says"),
    [("max_tokens: 0", "max_tokens"), ("temperature: -1", "temperature"), ("samples: 0", "samples"), ("readout: logprob", "valid names: lenient, strict")],
)
def test_settings_that_are_none_are_named(tmp_path: Path, settings: str, says: str) -> None:
    study = tmp_path / "s.yaml"
    study.write_text(STUDY.replace("items: held_out, max_tokens: 6, readout: lenient", f"items: held_out, {settings}"))
    code, _, err = harness.run("study", "check", study)
    assert code == 2 and says in err and "Traceback" not in err, err


def test_answers_that_do_not_fit_are_refused_before_the_run(tmp_path: Path) -> None:
    study = tmp_path / "s.yaml"
    study.write_text(STUDY.replace("items: held_out, max_tokens: 6", "items: held_out, max_tokens: 30000"))
    code, out, err = harness.run("study", "run", study, "--store", tmp_path / "store")
    assert code != 0 and "positions" in out + err and "Traceback" not in out + err, (out + err)[-800:]
