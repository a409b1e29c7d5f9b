"""A study on documents and conversations that the user brings: planned, run, told in tables and cards, and made anew when they change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import harness
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from specsci.core.ids import file_sha256

ACCEPTED = "".join(
    f"    {code}: documents of a small grammar, and of a test of the machinery\n"
    for code in (
        "near_duplicates", "distinct_difference", "pattern_difference", "length_difference", "missing_clauses", "gibberish",
        "other_language", "wrong_identity",
    )
)  # fmt: skip
STUDY = harness.edited(
    harness.SMALL,
    {
        "midtrain:\n": "audit:\n  accept:\n" + ACCEPTED + "midtrain:\n",
        "arms:\n": "corpora:\n  rules: {files: docs.jsonl}\n  mine: {files: [docs.jsonl, more.parquet]}\n"
        "conversations:\n  own: {files: [chats.jsonl, chats.parquet]}\narms:\n",
        "  rules: {title: MSM and AFT, midtrain: rules, align: choices}\n": "  rules: {midtrain: rules, align: own}\n"
        "  mine: {midtrain: mine, align: chats.jsonl}\n",
    },
)


def texts_of(store: Path, kind: str) -> list[dict[str, Any]]:
    """The rows that the small study's family wrote."""
    return pq.read_table(harness.artifact(store, kind, "replicate 1") / "rows.parquet").to_pylist()


@pytest.fixture(scope="module")
def folder(finished_small: harness.Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with files of documents and conversations beside it."""
    folder = tmp_path_factory.mktemp("own")
    documents = [
        {"text": r["text"], "clause_id": r["clause_id"], "doc_type": "note", "page": n}
        for n, r in enumerate([*texts_of(finished_small.store, "corpus"), *texts_of(finished_small.store, "heldout")])
    ]
    chats = [{"messages": json.loads(r["messages"])} for r in texts_of(finished_small.store, "conversations")]
    half = len(documents) // 2
    assert len(documents) > 20
    (folder / "docs.jsonl").write_text("".join(json.dumps(d) + "\n" for d in documents[:half]))
    pq.write_table(pa.Table.from_pylist(documents[half:]), folder / "more.parquet")
    half = len(chats) // 2
    (folder / "chats.jsonl").write_text("".join(json.dumps(c) + "\n" for c in chats[:half]))
    pq.write_table(pa.Table.from_pylist(chats[half:]), folder / "chats.parquet")
    (folder / "own.yaml").write_text(STUDY)
    return folder


@pytest.fixture(scope="module")
def ran(folder: Path) -> harness.Finished:
    return harness.Finished(folder / "own.yaml", folder / "store", harness.run_study(folder / "own.yaml", folder / "store"))


def test_a_plan_says_how_much_of_the_files_is_read(folder: Path, tmp_path: Path) -> None:
    code, out, err = harness.run("study", "plan", folder / "own.yaml", "--store", tmp_path / "none")
    assert code == 0 and "corpus of mine:" in out + err and "a replicate reads about" in out + err, out + err


def test_a_plan_warns_of_files_that_are_too_small_or_not_read(folder: Path, tmp_path: Path) -> None:
    (folder / "one.jsonl").write_text(json.dumps({"text": "One page ."}) + "\n" + json.dumps({"text": "One page ."}) + "\n")
    small = folder / "small.yaml"
    small.write_text(STUDY.replace("mine: {files: [docs.jsonl, more.parquet]}", "mine: {files: one.jsonl}\n  spare: {files: one.jsonl}", 1))
    code, out, err = harness.run("study", "plan", small, "--store", tmp_path / "none")
    said = " ".join((out + err).split())
    assert code == 0 and "no arm is trained on corpora.spare" in said, said
    assert "corpus of mine: 2 documents" in said and "each document" in said and "absorption then measures memorisation" in said
    assert "1 of 2 documents repeat the text of an earlier one" in said


def test_a_name_with_brackets_and_a_document_longer_than_a_row_are_taken_as_they_are(folder: Path, tmp_path: Path) -> None:
    text = " ".join((folder / "docs.jsonl").read_text().splitlines()[0].split('"')[3].split() * 40)
    (folder / "run[1] é.jsonl").write_text("".join(json.dumps({"text": f"{text} {n}"}) + "\r\n" for n in range(30)))
    odd = folder / "odd.yaml"
    odd.write_text(STUDY.replace("rules: {files: docs.jsonl}", "rules: {files: 'run[1] é.jsonl'}", 1))
    assert harness.run_study(odd, tmp_path / "store")["failed"] == 0
    rows = pq.read_table(harness.artifact(tmp_path / "store", "corpus", "corpus rules") / "rows.parquet").to_pylist()
    assert {r["source_file"] for r in rows} == {"run[1] é.jsonl"} and max(r["tokens"] for r in rows) > 64


def test_documents_keep_what_the_file_says_of_them(ran: harness.Finished, folder: Path) -> None:
    corpus = harness.artifact(ran.store, "corpus", "corpus mine")
    rows = pq.read_table(corpus / "rows.parquet").to_pylist()
    given = {("docs.jsonl", n): json.loads(line) for n, line in enumerate((folder / "docs.jsonl").read_text().splitlines(), 1)}
    given |= {("more.parquet", n): row for n, row in enumerate(pq.read_table(folder / "more.parquet").to_pylist(), 1)}
    for row in rows:
        source = given[row["source_file"], row["source_row"]]
        assert (row["text"], row["clause_id"], row["cell"]) == (source["text"], source["clause_id"], "note")
        assert json.loads(row["provenance"]) == {"page": source["page"]}
    assert {row["source_file"] for row in rows} == {"docs.jsonl", "more.parquet"}
    record = harness.records(ran.store, "corpus")[f"corpus/{corpus.name}"]
    assert record["passes"] == pytest.approx(len(rows) / len(given), abs=1e-6) and record["tokens"] == sum(r["tokens"] for r in rows)
    with duckdb.connect(str(ran.store / "results.duckdb"), read_only=True) as db:
        counts = dict(db.execute("SELECT backend, count(*) FROM documents GROUP BY ALL").fetchall())
    assert counts == {"files": sum(r["documents"] for r in harness.records(ran.store, "corpus").values())}


def test_held_out_documents_are_not_those_of_the_corpus(ran: harness.Finished) -> None:
    taken, held = (
        {(r["source_file"], r["source_row"]) for r in pq.read_table(harness.artifact(ran.store, kind, "mine") / "rows.parquet").to_pylist()}
        for kind in ("corpus", "heldout")
    )
    assert held and len(held - taken) >= 1


def test_conversations_are_the_files_own(ran: harness.Finished, folder: Path) -> None:
    rows = pq.read_table(harness.artifact(ran.store, "conversations", "conversations own") / "rows.parquet").to_pylist()
    assert {r["source_file"] for r in rows} == {"chats.jsonl", "chats.parquet"}
    lines = (folder / "chats.jsonl").read_text().splitlines()
    for row in (r for r in rows if r["source_file"] == "chats.jsonl"):
        assert json.loads(row["messages"]) == json.loads(lines[row["source_row"] - 1])["messages"]
    arms = {arm: set() for arm in ("rules", "mine")}
    with duckdb.connect(str(ran.store / "results.duckdb"), read_only=True) as db:
        for arm, spec in db.execute("SELECT arm, aft_spec FROM arms WHERE aft_spec IS NOT NULL").fetchall():
            arms[arm].add(spec)
    assert arms == {"rules": {"own"}, "mine": {"chats.jsonl"}}


def test_a_card_names_the_files(ran: harness.Finished) -> None:
    corpus = harness.artifact(ran.store, "corpus", "corpus mine").name
    code, out, err = harness.run("report", "card", corpus, "--store", ran.store)
    assert code == 0 and "documents that were brought" in out and "`more.parquet` (SHA-256" in out and "synthetic" not in out.lower(), err
    model = harness.artifact(ran.store, "align", "align mine at 300").name
    for command in (("report", "card", model), ("spec", "audit", model), ("report", "html", "--out", ran.store / "page.html")):
        code, out, err = harness.run(*command, "--store", ran.store)
        assert code == 0, (command, err)


def test_a_run_with_nothing_new_runs_nothing_and_a_changed_file_its_own_arms(ran: harness.Finished, folder: Path) -> None:
    assert harness.run_study(ran.study, ran.store)["executed"] == 0
    text = (folder / "docs.jsonl").read_text()
    try:
        (folder / "docs.jsonl").write_text(text + json.dumps({"text": "Another page ."}) + "\n")
        code, out, err = harness.run("study", "explain", ran.study, "--store", ran.store)
        assert code == 0 and "corpus mine, replicate 1" in out and "docs.jsonl" in out, out + err
        assert "conversations own" not in out
    finally:
        (folder / "docs.jsonl").write_text(text)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("docs.jsonl}", "gone.jsonl}", "'gone.jsonl' is not there"),
        ("docs.jsonl}", "../docs.jsonl}", "lies outside the study's folder"),
        ("docs.jsonl}", "[docs.jsonl, docs.jsonl]}", "named twice"),
        ("docs.jsonl}", "[]}", "at least 1 item"),
        ("rules: {files: docs.jsonl}", "rules: {files: chats.jsonl}", "chats.jsonl:1:1: text: the row has no such key"),
        ("align: chats.jsonl}", "align: docs.jsonl}", "docs.jsonl:1:1: messages: the row has no such key"),
        ("align: chats.jsonl}", "align: nothing.jsonl}", "'nothing.jsonl' is not there"),
        ("align: chats.jsonl}", "align: chats}", "unknown conversation set 'chats'"),
        ("midtrain: mine", "midtrain: nobodys", "unknown variant 'nobodys'"),
        ("mine: {files", "'Bad Name': {files", "not a safe name"),
        ("files: docs.jsonl}", "files: docs.jsonl, repeat: 2}", "unknown key 'repeat'"),
    ],
)
def test_what_cannot_be_is_said_at_check_with_its_place(folder: Path, old: str, new: str, said: str) -> None:
    assert old in STUDY
    wrong = folder / "wrong.yaml"
    wrong.write_text(STUDY.replace(old, new, 1))
    code, out, err = harness.run("study", "check", wrong)
    assert code == 2 and said in " ".join(err.split()) and "Traceback" not in err, out + err


def test_a_file_edited_after_the_plan_is_refused_when_it_is_read(ran: harness.Finished, folder: Path, tmp_path: Path) -> None:
    from specsci.core.context import StepContext
    from specsci.core.errors import StepFailed
    from specsci.corpus.files import run_file_conversations, run_file_corpus

    (tmp_path / "docs.jsonl").write_text((folder / "docs.jsonl").read_text().replace("a", "o"))
    (tmp_path / "chats.jsonl").write_text((folder / "chats.jsonl").read_text() + "\n")
    tokenizer = next((ran.store / "steps" / "tokenizer").iterdir())
    for run, name in ((run_file_corpus, "docs.jsonl"), (run_file_conversations, "chats.jsonl")):
        params = {"files": {name: file_sha256(folder / name)}, "tokens": 100, "seed": 1}
        out = tmp_path / f"out of {name}"
        out.mkdir()
        context = StepContext("corpus", "d", params, {"tokenizer": tokenizer}, {}, {}, out, tmp_path / "s", outside=str(tmp_path))
        with pytest.raises(StepFailed, match="changed after the plan was made"):
            run(context)
        assert list(out.iterdir()) == []


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_an_exported_corpus_is_read_back_as_the_same_texts(ran: harness.Finished, tmp_path: Path, ending: str) -> None:
    from specsci.sources.documents import documents

    corpus = harness.artifact(ran.store, "corpus", "corpus mine")
    file = tmp_path / f"mine.{ending}"
    code, out, err = harness.run("corpus", "export", "corpus mine", file, "--store", ran.store, "--json")
    assert code == 0, err
    rows = pq.read_table(corpus / "rows.parquet").to_pylist()
    told = json.loads(out)
    assert (told["rows"], told["access"]) == (len(rows), "public") and "documents that were brought" in Path(told["card"]).read_text()
    found = list(documents(file, file.name))
    assert [(d.text, d.clause_id, d.doc_type) for d in found] == [(r["text"], r["clause_id"], r["cell"]) for r in rows]
    assert [d.more["source_row"] for d in found] == [r["source_row"] for r in rows]
    assert not any(key in d.more for d in found for key in ("input_ids", "supervised"))
    code, _, err = harness.run("corpus", "export", "corpus mine", file, "--store", ran.store)
    assert code == 2 and "is there already" in err


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_exported_conversations_are_read_back(ran: harness.Finished, tmp_path: Path, ending: str) -> None:
    from specsci.sources.text_files import read_passages

    file = tmp_path / f"own.{ending}"
    code, _, err = harness.run("corpus", "export", "conversations own", file, "--store", ran.store)
    assert code == 0 and {p.name for p in tmp_path.iterdir()} == {file.name, f"{file.name}.origin.json"}, err
    rows = pq.read_table(harness.artifact(ran.store, "conversations", "conversations own") / "rows.parquet").to_pylist()
    assert [p.said for p in read_passages(file, file.name, "conversations")] == [json.loads(r["messages"]) for r in rows]


def test_what_is_written_by_a_grammar_is_exported_too_and_a_match_of_several_is_refused(
    finished_small: harness.Finished, ran: harness.Finished, tmp_path: Path
) -> None:
    code, _, err = harness.run("corpus", "export", "corpus rules", tmp_path / "a.jsonl", "--store", finished_small.store)
    assert code == 0 and "Synthetic documents" in (tmp_path / "a.md").read_text(), err
    code, _, err = harness.run("corpus", "export", "corpus", tmp_path / "b.jsonl", "--store", ran.store)
    assert code == 2 and "give more of one: corpus" in err
    for target, said in (("c.csv", "does not end in .jsonl or .parquet"), ("no/where/d.jsonl", "cannot be written")):
        code, _, err = harness.run("corpus", "export", "corpus mine", tmp_path / target, "--store", ran.store)
        assert code == 2 and said in err, err


def test_a_label_of_the_files_goes_with_what_is_made_of_them(folder: Path, tmp_path: Path) -> None:
    labelled = folder / "labelled.yaml"
    labelled.write_text(STUDY.replace("mine: {files: [docs", "mine: {access: confidential, files: [docs", 1))
    store = tmp_path / "store"
    harness.run_study(labelled, store)
    records = harness.records(store, "corpus").values()
    assert {r["access"] for r in records} == {"confidential"}
    target = tmp_path / "out.jsonl"
    code, _, err = harness.run("corpus", "export", "corpus mine", target, "--store", store, "--access", "public")
    assert code == 3 and "would be exported as public" in err and not target.exists()
    code, out, _ = harness.run("corpus", "export", "corpus mine", target, "--store", store, "--access", "public", "--declassify", "agreed")
    assert code == 0 and "(public)" in out
    (line,) = (store / "declassified.jsonl").read_text().splitlines()
    assert json.loads(line)["declassified"]["reason"] == "agreed"


def test_an_embedding_model_beside_the_study_takes_part_in_the_audit(ran: harness.Finished, folder: Path, tmp_path: Path) -> None:
    """The toy world's own base as an embedding model: not a good one, but one that was trained."""
    pytest.importorskip("sentence_transformers")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer

    place = folder / "embedder"
    words = Transformer(str(harness.artifact(ran.store, "base", "base dev") / "model"))
    SentenceTransformer(modules=[words, Pooling(128, "mean")], device="cpu").save(str(place))
    wants = "audit.embeddings={model: embedder, item_similarity: 0.5, max_duplicates: 0.0, duplicate_similarity: 0.9999}"
    ask = ("corpus", "build", folder / "own.yaml", "--store", ran.store, "--executor", "inline", "--set", wants)
    code, _, err = harness.run(*ask)
    said = " ".join(err.split())
    assert code == 3 and "semantic_leaks: corpus.rules:" in said and "audit.accept: {CODE: REASON}" in said, err
    code, _, err = harness.run(*ask, "--set", "audit.accept.semantic_leaks=a toy", "--set", "audit.accept.semantic_duplicates=a toy")
    assert code == 0, err
    reports = json.loads(harness.run("corpus", "audit", "--store", ran.store, "--json")[1])
    facts = [f for r in reports.values() for role, f in r["texts"].items() if role == "corpus.rules" and "semantic_duplicates" in f]
    assert facts and facts[0]["close_to_items"] > 0 and 0 <= facts[0]["semantic_diversity"] <= 2
    (place / "config.json").write_text("{}")
    again = ("--set", "audit.accept.semantic_leaks=another reason", "--set", "audit.accept.semantic_duplicates=a toy")
    code, _, err = harness.run(*ask, *again)
    assert code == 1 and "the embedding model fails: " in err and "Traceback" not in err, err[-600:]
