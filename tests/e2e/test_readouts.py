"""A study whose evals are read in several ways: what each says is kept, one is taken, and none changes another."""

from __future__ import annotations

from pathlib import Path

import duckdb
import harness
import pytest

MORE = "more_readouts: [debiased, length_normalised, prior_corrected, statement]"
STUDY = harness.edited(
    harness.TINY,
    {
        "  held_out: {items: held_out}": f"  held_out: {{items: held_out, {MORE}, readout: debiased}}",
        "  competence: {items: competence, role: competence}": "  competence: {items: competence, role: competence, "
        "more_readouts: [debiased, length_normalised], readout: debiased}",
    },
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readouts")
    (folder / "s.yaml").write_text(STUDY)
    harness.run_study(folder / "s.yaml", folder / "store")
    return folder


def sql(store: Path, query: str) -> list[tuple]:
    with duckdb.connect(str(store / "results.duckdb"), read_only=True) as db:
        return db.execute(query).fetchall()


def test_the_choice_in_each_order_is_what_it_is_without_the_others(ran: Path, finished_tiny: harness.Finished) -> None:
    query = """SELECT arm, aft_tokens, seed, eval, item_id, variant, round(value, 5) FROM scores
      WHERE readout = 'logprob' ORDER BY ALL"""
    assert sql(ran / "store", query) == sql(finished_tiny.store, query)


def test_both_orders_together_are_the_mean_of_their_margins(ran: Path) -> None:
    (wrong, rows) = sql(
        ran / "store",
        """WITH orders AS (SELECT step_digest, item_id, avg(value) AS mean, count(*) AS n FROM score_rows WHERE readout = 'logprob' GROUP BY ALL)
           SELECT count(*) FILTER (abs(s.value - o.mean) > 1e-6 OR (s.value > 0) <> s.aligned OR o.n <> 2), count(*)
           FROM score_rows s JOIN orders o USING (step_digest, item_id) WHERE s.readout = 'debiased' AND s.state = 'ok'""",
    )[0]
    assert wrong == 0 and rows > 500


def test_contrasts_and_rates_take_the_one_that_is_named(ran: Path) -> None:
    store = ran / "store"
    taken = dict(sql(store, "SELECT eval, readout FROM evals"))
    assert taken == {"held_out": "debiased", "competence": "debiased"}
    ((estimate,),) = sql(store, "SELECT estimate FROM contrasts")
    by_hand = sql(
        store,
        """SELECT avg(r) FILTER (arm = 'rules') - avg(r) FILTER (arm = 'aft') FROM (
             SELECT arm, seed, avg(aligned::INT) AS r FROM scores
             WHERE eval = 'held_out' AND readout = 'debiased' AND aft_tokens = 300 GROUP BY ALL)""",
    )
    assert estimate == pytest.approx(by_hand[0][0])
    ((attempted, items),) = sql(store, "SELECT max(attempted), max(items) FROM rates WHERE eval = 'held_out' AND chosen")
    assert attempted == items, "an item has one answer"


def test_the_page_shows_all_of_them_side_by_side(ran: Path, tmp_path: Path) -> None:
    code, _, err = harness.run("report", "html", "--store", ran / "store", "--out", tmp_path / "r.html")
    assert code == 0, err
    page = (tmp_path / "r.html").read_text()
    for said in ("Readouts", "debiased (taken)", "length_normalised", "prior_corrected", "withheld: competence has no such readout"):
        assert said in page, said
    counts = dict(sql(ran / "store", "SELECT state, count(*) FROM scores WHERE readout = 'statement' GROUP BY 1"))
    assert set(counts) == {"ok"}


def test_a_control_that_is_read_otherwise_is_told_before_the_run(tmp_path: Path) -> None:
    study = tmp_path / "s.yaml"
    study.write_text(STUDY.replace("more_readouts: [debiased, length_normalised], readout: debiased}", "more_readouts: [debiased]}"))
    code, out, err = harness.run("study", "plan", study, "--store", tmp_path / "none")
    assert code == 0 and "'held_out' is read by debiased, and its format control by another readout: 'competence' (logprob)" in out + err


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("more_readouts: [debiased, debiased]", "a readout is named twice"),
        ("more_readouts: [loud]", "more_readouts"),
        ("readout: debiased", "has no readout 'debiased'; valid names: logprob"),
        ("more_readouts: debiased", "more_readouts"),
    ],
)
def test_readouts_that_are_none_are_named(tmp_path: Path, settings: str, says: str) -> None:
    study = tmp_path / "s.yaml"
    study.write_text(harness.TINY.replace("held_out: {items: held_out}", f"held_out: {{items: held_out, {settings}}}"))
    code, _, err = harness.run("study", "check", study)
    assert code == 2 and says in err and "Traceback" not in err, err
