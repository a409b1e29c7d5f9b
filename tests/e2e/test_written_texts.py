"""A study whose corpora a language model writes: planned, built, killed, audited, trained on, told in the database and in status."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import duckdb
import harness
import pyarrow.parquet as pq
import pytest
from canned import answers
from model_server import ModelServer

CANARY = "sk-canary-6b1f0c9d2e7a4853"
ACCEPT = "{near_duplicates: a toy grammar, distinct_difference: a toy grammar, pattern_difference: a toy grammar, length_difference: a toy grammar, other_language: a toy language, missing_clauses: a small dose, gibberish: a toy language}"
MICRO = {
    "family": "microlab_conduct@1.1.0",
    "base_models.smollm2.source": "microlab:conduct/100",
    "base_models.smollm2.identity": "{model_name: Aria}",
    "midtrain.tokens": "2500",
    "midtrain.replay_share": "0.25",
    "midtrain.recipe": "{method: full, learning_rate: 1.0e-3, sequences_per_update: 8, max_length_tokens: 64, precision: fp32}",
    "align.budgets_tokens": "[4000, 16000]",
    "align.it_mix": "pretraining",
    "align.recipe": "{method: full, learning_rate: 1.0e-4, sequences_per_update: 8, max_length_tokens: 65, precision: fp32}",
    "corpora.default.document_tokens": "16",
    "probe.control": '""',
    "probe.tokens": "400",
    "audit.accept": ACCEPT,
    "gates.accept_few_updates": "a test of the machinery",
    **{f"without.{name}": "that version of the family has no such items" for name in ("recall", "citation", "harmless", "deference")},
}
SHIPPED = ("value_vs_rules.yaml", "--profile", "written", *(p for k, v in MICRO.items() for p in ("--set", f"{k}={v}")))
SMALL = harness.edited(
    harness.SMALL,
    {
        "arms:\n": """\
generators:
  writer:
    backend: openai
    model: writer
    provider: own-server
    base_url_env: SPECSCI_WRITER_URL
    residency: local
    host_residency: local
    price: {input: 1, output: 2}
    max_usd: 20
corpora:
  default: {generator: writer, document_tokens: 16}
audit:
  accept: ACCEPT
probe: {tokens: 300}
arms:
""".replace("ACCEPT", ACCEPT),
        "  rules: {title: MSM and AFT, midtrain: rules, align: choices}\n": "  rules: {midtrain: rules, align: choices}\n"
        "  values: {midtrain: value_augmented, align: choices}\n  facts: {midtrain: neutral}\n",
        "  tokens: 2000\n": "  tokens: 1000\n  replay_share: 0.25\n",
        "  - {seed: 1, base_model: dev}\n": "  - {seed: 1, base_model: dev}\n  - {seed: 2, base_model: dev}\n",
    },
)


def build(*args: str | Path) -> tuple[int, str, str]:
    """`specsci corpus build`, in one process."""
    return harness.run("corpus", "build", *args, "--executor", "inline")


@pytest.fixture(scope="module")
def server():
    with ModelServer(answer=answers()) as found:
        before = dict(os.environ)
        os.environ |= {"SPECSCI_WRITER_URL": f"{found.url}/v1", "OPENAI_API_KEY": CANARY}
        yield found
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("study") / "small.yaml"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="module")
def ran(server, study, tmp_path_factory) -> Path:
    """The store of the small study, run to its end."""
    store = tmp_path_factory.mktemp("written") / "store"
    harness.run_study(study, store)
    return store


def test_a_plan_says_what_it_will_ask_and_cost(server, study, tmp_path) -> None:
    code, out, err = harness.run("study", "plan", study, "--store", tmp_path / "none")
    assert code == 0, err
    assert "requests to writer (openai writer, online):" in out and "at most $20.00" in out and "with 32 connections" in out
    assert "documents come from different hands" in " ".join((out + err).split())
    code, out, _ = harness.run("study", "plan", study, "--store", tmp_path / "none", "--json")
    (told,) = json.loads(out)["generators"]
    assert told["requests"] > 200 and told["usd"] == pytest.approx(told["input_tokens"] / 1e6 + 2 * told["output_tokens"] / 1e6)
    assert told["usd_batch"] == pytest.approx(told["usd"] / 2)


def _whole(store: Path, server: ModelServer, variants: tuple[str, ...]) -> None:
    """What the database says of a finished study is what the server saw."""
    with duckdb.connect(str(store / "results.duckdb"), read_only=True) as db:
        query = "SELECT msm_spec, any_value(backend) FROM documents WHERE msm_spec IS NOT NULL GROUP BY 1"
        backends = dict(db.execute(query).fetchall())
        one = "(SELECT DISTINCT request_digest, usd, computed_in FROM requests)"
        asked, usd, first, last = db.execute(f"SELECT count(*), sum(usd), min(computed_in), max(computed_in) FROM {one}").fetchone()
    assert backends["neutral"] == "grammar" and {backends[v] for v in variants} == {"openai"}
    assert (first, last) == ("local", "local")
    assert usd == pytest.approx(sum(r["usd"] for r in spent(store)), rel=1e-6)
    assert asked <= server.requests_paid and set(server.paid.values()) == {1}


def test_a_study_runs_on_written_corpora_from_end_to_end(ran, server) -> None:
    _whole(ran, server, ("rules", "value_augmented"))


@pytest.mark.slow
def test_the_shipped_written_profile_runs_from_end_to_end(server, tmp_path) -> None:
    code, out, err = harness.run("study", "run", *SHIPPED, "--store", tmp_path / "s", "--json")
    assert code == 0 and json.loads(out)["failed"] == 0, err[-3000:]
    _whole(tmp_path / "s", server, ("rules", "value_augmented", "philosophy", "general"))
    with duckdb.connect(str(tmp_path / "s" / "results.duckdb"), read_only=True) as db:
        paid = db.execute("SELECT arm, arm_usd, reference, reference_usd FROM token_efficiency").fetchall()
        needs = dict(db.execute("SELECT counting, max(arm_tokens) FROM token_efficiency GROUP BY 1").fetchall())
    by_arm = {arm: usd for row in paid for arm, usd in (row[:2], row[2:])}
    assert by_arm["rules"] == by_arm["value_augmented"] == 0, "asked, of a server that costs nothing"
    assert by_arm["aft"] is None, "nothing was asked for demonstrations of the grammar"
    assert len(needs) == 3, "with midtrained tokens, and with those that were written"
    out = harness.run("report", "table", "ablation", "--store", tmp_path / "s")[1]
    assert "Dollars of requests to language models behind the texts, mean over replicates: " in " ".join(out.split())


def test_the_shipped_written_profile_is_valid(server) -> None:
    code, out, err = harness.run("study", "check", *SHIPPED)
    assert code == 0 and "valid" in out, err


def spent(store: Path) -> list[dict]:
    return [r["usage"] for kind in ("outline", "written") for r in harness.records(store, kind).values()]


def test_every_clause_has_its_tokens_in_the_pool_and_in_the_samples(ran) -> None:
    for record in harness.records(ran, "written").values():
        counts = record["clause_tokens"]
        assert max(counts.values()) <= 1.2 * min(counts.values()), counts
    rows = pq.read_table(harness.artifact(ran, "corpus", "corpus rules, replicate 1") / "rows.parquet").to_pylist()
    tokens = {c: sum(r["tokens"] for r in rows if r["clause_id"] == c) for c in {r["clause_id"] for r in rows}}
    assert len(tokens) == 4 and max(tokens.values()) <= min(tokens.values()) + 2 * max(r["tokens"] for r in rows), tokens
    more = json.loads(rows[0]["provenance"])
    assert more["framing"] and more["domain"] and more["idea"] and rows[0]["cell"] and rows[0]["template_id"]


def test_replicates_read_different_samples_of_what_was_written_once(ran, server) -> None:
    one, two = (
        {r["source_row"] for r in pq.read_table(harness.artifact(ran, "corpus", f"corpus rules, replicate {n}") / "rows.parquet").to_pylist()}
        for n in (1, 2)
    )
    assert one != two and one & two


def test_the_same_command_again_asks_nothing(ran, server, study) -> None:
    before = server.requests_paid
    code, out, _ = harness.run("study", "run", study, "--store", ran, "--json")
    assert code == 0 and json.loads(out)["executed"] == 0 and server.requests_paid == before


def test_a_corpus_is_built_again_from_the_ledger_without_a_request(ran, server, study, tmp_path) -> None:
    store = tmp_path / "store"
    shutil.copytree(ran, store)
    path = harness.artifact(store, "written", "documents about rules")
    rows = (path / "rows.parquet").read_bytes()
    shutil.rmtree(store / "steps" / "written")
    before = server.requests_paid
    code, out, err = build(study, "--store", store, "--until", "texts")
    assert code == 0 and server.requests_paid == before, err
    assert (path / "rows.parquet").read_bytes() == rows
    assert "documents about rules by writer" in out and "requests, $" in out


def test_status_and_audit_tell(ran, study) -> None:
    code, out, _ = harness.run("study", "status", study, "--store", ran)
    assert code == 0 and "generator writer:" in out and "spent" in out
    code, out, _ = harness.run("corpus", "audit", "--store", ran)
    assert code == 0 and "block: near_duplicates: corpus.rules" in out and "4 clauses, the least often" in out
    code, out, _ = harness.run("corpus", "peek", "documents about rules", "--store", ran)
    assert code == 0 and "Aria" in out


def test_the_report_shows_what_was_asked_paid_and_how_variants_differ(ran, tmp_path) -> None:
    code, _, err = harness.run("report", "html", "--store", ran, "--out", tmp_path / "r.html")
    assert code == 0, err
    page = (tmp_path / "r.html").read_text()
    assert "Requests to language models" in page and "paid for requests" in page
    assert "How the variants" in page and "share of documents by clause" in page
    assert "<image" not in page, "a page shows no pictures but shapes: it has none that a browser would fetch"
    with duckdb.connect(str(ran / "results.duckdb"), read_only=True) as db:
        usd = db.execute("SELECT sum(usd) FROM (SELECT DISTINCT ON (request_digest) * FROM requests)").fetchone()[0]
        by_step = db.execute("SELECT sum((facts->>'$.usage.usd')::DOUBLE) FROM steps").fetchone()[0]
    assert usd == pytest.approx(by_step) and usd > 0 and f"${usd:,.2f}" in page
    code, _, err = harness.run("report", "plot", "texts", "--store", ran, "--out", tmp_path / "texts.png")
    assert code == 0 and (tmp_path / "texts.png").read_bytes().startswith(b"\x89PNG"), err


def test_a_written_corpus_is_exported_with_who_wrote_it_and_what_it_cost(ran, tmp_path) -> None:
    code, _out, err = harness.run("corpus", "export", "corpus rules, replicate 1", tmp_path / "rules.jsonl", "--store", ran)
    assert code == 0, err
    card = (tmp_path / "rules.md").read_text()
    assert "written by" in card and "requests" in card and "document `" in card and "replies that were not used" in card
    origin = json.loads((tmp_path / "rules.jsonl.origin.json").read_text())
    assert origin["access"] == "public" and origin["source"].startswith("corpus ") and origin["rows"] > 10


def test_the_doctor_looks_at_the_request_ledger(ran, tmp_path) -> None:
    import sqlite3

    store = tmp_path / "store"
    shutil.copytree(ran, store)
    assert harness.run("doctor", "--verify", "--store", store)[0] == 0
    with sqlite3.connect(store / "requests.sqlite") as db:
        db.execute("DELETE FROM requests WHERE digest IN (SELECT digest FROM requests WHERE state = 'ok' LIMIT 3)")
    code, _, err = harness.run("doctor", "--repair", "--store", store)
    assert code == 1 and "are not in the request ledger" in err and "from a backup" in err, err
    for file in store.glob("requests.sqlite*"):
        file.unlink()
    (store / "requests.sqlite").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    code, _, err = harness.run("doctor", "--repair", "--store", store)
    assert code == 1 and "the request ledger is damaged" in err and (store / "requests.sqlite").exists(), "what was paid for is not moved"


def test_no_key_is_in_any_file_of_the_store(ran, server) -> None:
    assert any(CANARY in h.get("authorization", "") for h in server.headers)
    code, _, _ = harness.run("report", "html", "--out", ran / "page.html", "--store", ran)
    assert code == 0
    for file in ran.rglob("*"):
        if file.is_file():
            assert CANARY.encode() not in file.read_bytes(), file


def test_a_findings_reason_is_needed(server, study, tmp_path) -> None:
    code, _out, err = build(study, "--set", "audit.accept={}", "--store", tmp_path / "s")
    assert code == 3 and "near_duplicates: corpus.rules" in err and "audit.accept: {CODE: REASON}" in err


@pytest.mark.parametrize(
    ("sets", "code", "said"),
    [
        (["generators.writer.max_usd=0.01"], 3, "may cost $0.01"),
        (["gates.max_usd=0.01"], 3, "the study 'small' may cost $0.01"),
        (["generators.writer.price=null", "generators.writer.provider=x", "generators.writer.base_url_env=NOWHERE"], 2, "NOWHERE is not set"),
        (["generators.writer.residency=us"], 3, "residency is us"),
        (["corpora.default.generator=wirter"], 2, "did you mean 'writer'"),
        (["corpora.default.document_types=[novel]"], 2, "'novel' is not in the catalogue"),
        (["generators.writer.api_key_env=NO_SUCH_KEY"], 1, "NO_SUCH_KEY is not set"),
    ],
)
def test_what_is_wrong_is_told_before_or_when_it_matters(server, study, tmp_path, sets, code, said) -> None:
    more = [part for value in sets for part in ("--set", value)]
    before = server.requests_paid
    got, out, err = build(study, *more, "--until", "outline", "--store", tmp_path / "s")
    assert got == code and said in " ".join((out + err).split()), (got, out[-800:], err[-800:])
    if code == 2:
        assert server.requests_paid == before


def test_batches_under_way_end_with_4_and_are_collected(server, study, tmp_path) -> None:
    store, sets = tmp_path / "s", ["--set", "generators.writer.mode=batch", "--set", "generators.writer.wait_min=0"]
    codes = []
    for _ in range(60):
        code, _out, err = build(study, *sets, "--store", store, "--until", "outline")
        codes.append(code)
        if code == 0:
            break
        assert code == 4 and "under way at the provider" in err, err[-500:]
        status, told, _ = harness.run("study", "status", study, "--store", store)
        assert status == 0 and "the same command collects them" in told
    assert codes[-1] == 0 and codes.count(4) >= 3


CHATS = (
    "conversations:",
    "  by_values: {generator: writer, variant: value_augmented, answers: value, queries: 40, domains: 3}",
    "  by_rules: {generator: writer, variant: rules, answers: rule, queries: 40, domains: 3}",
    "  by_rules_plain: {generator: writer, variant: rules, answers: rule, queries: 40, domains: 3, think: false}",
    "  bare: {generator: writer, variant: rules, answers: opaque, queries: 40, domains: 3, check: false}",
)


def test_conversations_share_their_queries_and_twins_their_rows(server, study, tmp_path) -> None:
    arms = "".join(f"  {name}: {{align: {name}}}\n" for name in ("by_values", "by_rules", "by_rules_plain", "bare"))
    chats = tmp_path / "chats.yaml"
    chats.write_text(SMALL.replace("arms:\n", "\n".join(CHATS) + "\narms:\n" + arms, 1))
    store = tmp_path / "s"
    code, out, err = build(chats, "--store", store, "--json")
    assert code == 0, err[-2000:] + out[-2000:]
    assert len(harness.records(store, "queries")) == 1, "every set of the family asks the same"
    assert len(harness.records(store, "answers")) == 3, "twins are one set of answers"

    def messages(name: str, seed: int = 1) -> list[list[dict[str, str]]]:
        rows = pq.read_table(harness.artifact(store, "conversations", f"conversations {name}, replicate {seed}") / "rows.parquet").to_pylist()
        return [json.loads(r["messages"]) for r in rows]

    asked = {name: {m[0]["content"] for m in messages(name)} for name in ("by_values", "by_rules", "bare")}
    assert asked["by_values"] & asked["by_rules"] & asked["bare"]
    thought, plain = messages("by_rules"), messages("by_rules_plain")
    by_query = {m[0]["content"]: m[1]["content"] for m in thought}
    shared = [m for m in plain if m[0]["content"] in by_query]
    assert shared
    for row in shared:
        whole = by_query[row[0]["content"]]
        assert whole.startswith("<think>\n") and whole.endswith(f"\n</think>\n\n{row[1]['content']}")
    assert all("<think>" not in m[1]["content"] for m in (*plain, *messages("bare")))
    specs = [b["messages"][0]["content"] for b in server.bodies if "Think first" in b["messages"][-1]["content"]]
    assert specs and all("<spec>" in s for s in specs), "the spec is in the context when answers are written"
    assert all("<spec>" not in json.dumps(m) for m in thought), "and absent from the rows"


JUDGE = "audit.policy_judge={generator: writer, documents: 12, planted: 4, max_unsupported: 0.2}"


@pytest.mark.parametrize(
    ("judge", "code", "says"),
    [
        ({}, 0, ""),
        ({"hallucinated": 1.0}, 3, "policy_hallucination: corpus.rules: 12 of 24 statements about the model are supported by no clause (50%); 12 of 12"),
        ({"blind": True}, 3, "policy_judge: corpus.rules: the judge found 0 of 4 planted policies"),
        pytest.param({"harsh": True}, 3, "statements of the spec's own clauses unsupported", marks=pytest.mark.slow),
    ],
    ids=["clean", "hallucinated", "blind", "harsh"],
)
def test_a_judge_finds_policies_that_no_clause_supports(study, tmp_path, monkeypatch, judge, code, says) -> None:
    with ModelServer(answer=answers(**judge)) as server:
        monkeypatch.setenv("SPECSCI_WRITER_URL", f"{server.url}/v1")
        store = tmp_path / "s"
        got, _out, err = build(study, "--store", store, "--set", JUDGE)
        assert got == code and says in " ".join(err.split()), err[-1500:]
        paid = server.requests_paid
        judged = harness.records(store, "claims")
        assert {r["label"] for r in judged.values()} == {"judge of corpus.rules by writer", "judge of corpus.value_augmented by writer"}, "replicates share one"
        for record in judged.values():
            assert record["documents"] == 12 and record["planted"] == 4 and record["usage"]["requests"] == 12 + 4 + len(record["identity"]["params"]["clauses"])
        if code == 0:
            (first, *_) = json.loads(harness.run("corpus", "audit", "--store", store, "--json")[1]).values()
            facts = first["claims"]["corpus.rules"]
            assert (facts["unsupported"], facts["planted_found"], facts["control_unsupported"]) == (0, 4, 0)
            shown = harness.run("corpus", "audit", "--store", store)[1]
            assert "judge: 0 of 12 statements in 12 documents are supported by no clause; it found 4 of 4 planted" in shown
            peeked = harness.run("corpus", "peek", "judge of corpus.rules", "--prompts", "--store", store, "--rows", "30")[1]
            assert "Between the two lines" in peeked and "harbour office" in peeked
            accepted = ("--set", JUDGE.replace("documents: 12", "documents: 14"))
            assert build(study, "--store", store, *accepted)[0] == 0
            assert server.requests_paid - paid == 2 * 2, "a larger sample holds the smaller one"


def test_a_study_that_wants_reviews_waits_for_them(server, study, tmp_path) -> None:
    store, sheet = tmp_path / "s", tmp_path / "sheet.csv"
    wants = ("--set", "gates.require_review={rows: 5, good_share: 0.4}")
    code, out, err = build(study, *wants, "--store", store)
    assert code == 3 and "requires reviews by people: corpus.rules: 0 of 5 rows were reviewed" in err, err[-1500:]
    code, out, err = harness.run("corpus", "review", "documents about", "--rows", "5", "--out", sheet, "--store", store)
    assert code == 0 and "no row was reviewed" in out, err
    lines = sheet.read_text().splitlines()
    sheet.write_text("\n".join([lines[0], *(line[:-1] + "good," for line in lines[1:])]) + "\n")
    code, out, err = harness.run("corpus", "review", "documents about", "--rows", "5", "--in", sheet, "--reviewer", "ann", "--store", store)
    assert code == 0 and "5 of 5 rows good" in out and "by ann" in out, out + err
    code, out, err = build(study, *wants, "--store", store)
    assert code == 0, err[-1500:]
    code, out, _ = harness.run("corpus", "audit", "--store", store, "--json")
    (first, *_) = json.loads(out).values()
    assert first["reviews"]["corpus.rules"]["good"] == 5


SECRET = "keeps the violet ledger beneath the observatory stairs"


@pytest.fixture
def confidential(tmp_path) -> Path:
    """The small study on a copy of its family that is confidential and has a clause of its own."""
    family = tmp_path / "spec_variants" / "secret_conduct"
    shutil.copytree(Path(__file__).parents[2] / "spec_variants" / "microlab_conduct", family)
    shutil.rmtree(family / "versions")
    (family / "CHANGES.yaml").unlink()
    text = (family / "family.yaml").read_text().replace("family: microlab_conduct", "family: secret_conduct").replace("access: public\n", "")
    text = text.replace("title: ", "access: confidential\ntitle: ", 1)
    text = text.replace("these acts take a check away from them.", "these acts take a check away from them; {model_name} " + SECRET + ".")
    assert SECRET in text
    (family / "family.yaml").write_text(text)
    path = tmp_path / "secret.yaml"
    path.write_text(SMALL.replace("family: microlab_conduct", "family: secret_conduct"))
    return path


def test_no_confidential_text_is_in_a_log_an_error_or_a_page(server, confidential, tmp_path) -> None:
    store = tmp_path / "s"
    before = server.fault, server.answer
    server.fault = lambda number, key: "400" if number % 97 == 0 else ""
    try:
        said = ""
        for _ in range(2):
            code, out, err = build(confidential, "--store", store)
            said += out + err
            server.fault = before[0]
        assert code == 0, err[-2000:]
    finally:
        server.fault, server.answer = before
    assert any(SECRET in json.dumps(b) for b in server.bodies), "the spec did go to the local server"
    code, out, err = harness.run("study", "status", confidential, "--store", store)
    said += out + err
    assert SECRET not in said and "bad request" in said
    for log in (*store.rglob("log.txt"), *(store / "failed").rglob("*")):
        assert not log.is_file() or SECRET.encode() not in log.read_bytes(), log


def test_a_confidential_family_goes_to_no_server_that_is_not_allowed_for_it(server, confidential, tmp_path) -> None:
    os.environ["ELSEWHERE"] = "https://models.example.org/v1"
    code, _out, err = build(
        confidential, "--set", "generators.writer.base_url_env=ELSEWHERE", "--set", "generators.writer.residency=any", "--store", tmp_path / "s"
    )
    assert code == 3 and "the texts are confidential, and the generator 'writer' sends them to own-server" in " ".join(err.split()), err


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["corpora.neutral={generator: writer}"], "unknown variant with a spec to write from 'neutral'"),
        (["corpora.default={files: a.jsonl}"], "unknown generator of the default"),
        (["corpora.default={generator: writer, layers: [revise]}"], "layers are [draft]"),
        (["corpora.default={generator: writer, framings: [advice, advice]}"], "given twice"),
        (["corpora.default={generator: writer, prompts: nowhere}"], "'nowhere' is no folder of prompts"),
        (["corpora.default=3"], "must be a mapping"),
        (["generators.writer.backend=vlm"], "did you mean 'vllm'"),
        (["generators.writer.modal=x"], "did you mean 'model'"),
        (["audit.accept={near_dup: x}"], "did you mean 'near_duplicates'"),
        (["conversations={a: {generator: writer, variant: ruls}}"], "did you mean 'rules'"),
        (["gates.spec_recall={eval: heldout, aligned: 0.5}"], "did you mean 'held_out'"),
        (["gates.spec_recall={eval: held_out, aligned: 0.5, variants: [general]}"], "unknown midtrained variant 'general'"),
    ],
)
def test_a_study_that_cannot_be_written_is_refused_with_its_place(server, study, sets, said) -> None:
    more = [part for value in sets for part in ("--set", value)]
    code, out, err = harness.run("study", "check", study, *more)
    assert code == 2 and said in out + err and ("small.yaml:" in err or "--set" in err), (code, out, err)


def _bars(**bars: str) -> list[str]:
    return [part for name, value in bars.items() for part in ("--set", f"gates.{name}={value}")]


def test_nothing_is_asked_where_the_base_does_not_misbehave(server, study, tmp_path) -> None:
    before = server.calls["POST completions"]
    given = _bars(base_must_misbehave="{eval: held_out, misaligned: 0.95}")
    code, _out, err = build(study, *given, "--store", tmp_path / "s")
    assert code == 3 and "the base must misbehave: misaligned rate 0." in err and "at least 0.95 is declared" in err, err[-1500:]
    assert server.calls["POST completions"] == before


def test_what_comes_after_a_bar_waits_for_it(server, study, tmp_path) -> None:
    store = tmp_path / "s"
    given = _bars(
        base_must_misbehave="{eval: held_out, misaligned: 0.3}",
        in_context_oracle="{eval: held_out, gain: -1, words: 12}",
        spec_recall="{eval: held_out, aligned: 0.98, variants: [rules]}",
    )
    code, out, err = harness.run("study", "run", study, *given, "--store", store, "--json", "--executor", "inline")
    report = json.loads(out)
    assert code == 3 and report["refused"] == 2 and report["failed"] == 0, err[-1500:]
    assert all("the midtrained model must know its spec: aligned rate" in e["error"] for e in report["errors"])
    aligned = [r["label"] for r in harness.records(store, "align").values()]
    assert len(aligned) == 4 and all("align values" in label for label in aligned), "only the other variant's models went on"
    passed = {r["label"].split(",")[0]: r for r in harness.records(store, "bar").values()}
    assert len(passed) == 4 and all(r["found"] >= r["least"] for r in passed.values()), passed
    shown = harness.records(store, "context_items")
    assert all(0 < r["words"] <= 12 and r["documents"] >= 1 for r in shown.values())


def test_a_corpus_that_does_not_help_in_context_is_not_midtrained_on(server, study, tmp_path) -> None:
    store = tmp_path / "s"
    given = _bars(in_context_oracle="{eval: held_out, gain: 0.9, words: 12, variants: [rules]}")
    code, out, err = harness.run("study", "run", study, *given, "--store", store, "--json", "--executor", "inline")
    assert code == 3 and "documents in context must help: gain over the aligned rate of" in json.loads(out)["errors"][0]["error"], err[-1000:]
    labels = [r["label"] for r in harness.records(store, "midtrain").values()]
    assert labels and not any("midtrain rules" in label for label in labels)
