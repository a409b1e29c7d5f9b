"""The chain behind a model, and behaviour beside a spec's difference, from the finished tiny study."""

from __future__ import annotations

import json
import re
from pathlib import Path

import duckdb
import harness
import pyarrow.parquet as pq
import pytest


def model_of(store: Path, arm: str) -> str:
    with duckdb.connect(str(store / "results.duckdb"), read_only=True) as db:
        query = "SELECT model_digest FROM arms WHERE arm = ? ORDER BY seed, aft_tokens DESC LIMIT 1"
        (digest,) = db.execute(query, [arm]).fetchone() or ("",)
    return str(digest)


def test_the_chain_names_every_link(finished_tiny: harness.Finished) -> None:
    store = finished_tiny.store
    code, out, err = harness.run("spec", "audit", model_of(store, "rules"), "--store", store, "--json")
    assert code == 0, err
    chain = json.loads(out)
    kinds = [s["kind"] for s in chain["steps"]]
    assert kinds[-1] == "align" and set(kinds) == {
        "tokenizer", "base", "pool", "spec", "corpus", "conversations", "midtrain", "align"
    }  # fmt: skip
    assert {(u["study"], u["arm"], u["seed"]) for u in chain["studies"]} == {("tiny", "rules", 1)}
    (spec,) = chain["specs"]
    assert (spec["family"], spec["variant"], spec["clauses"][0]["id"]) == (
        "microlab_conduct",
        "rules",
        "oversight",
    )
    assert [c["contrast"] for c in chain["claims"]] == ["rules_over_aft"]
    assert [t["label"].split()[0] for t in chain["training"]] == ["midtrain", "align"]
    assert all(0 <= e["aligned"] <= e["valid"] <= e["attempted"] for e in chain["evals"]) and len(chain["evals"]) == 2


def test_documents_per_clause_are_those_of_the_corpus(finished_tiny: harness.Finished) -> None:
    store = finished_tiny.store
    _, out, _ = harness.run("spec", "audit", model_of(store, "rules"), "--store", store, "--json")
    (corpus,) = json.loads(out)["corpora"]
    table = pq.read_table(store / "steps" / "corpus" / corpus["digest"] / "rows.parquet").to_pylist()
    for clause, counts in corpus["by_clause"].items():
        mine = [row for row in table if row["clause_id"] == clause]
        assert counts == {"documents": len(mine), "tokens": sum(row["tokens"] for row in mine)}
    assert sum(c["documents"] for c in corpus["by_clause"].values()) == len(table)


def test_a_base_has_a_chain_without_a_spec(finished_tiny: harness.Finished) -> None:
    store = finished_tiny.store
    code, out, _ = harness.run("spec", "audit", model_of(store, "base"), "--store", store)
    assert code == 0 and "None: no spec was midtrained." in out and "microlab:conduct/100" in out


@pytest.mark.parametrize("wrong", ["*", "../..", "zzz", "0" * 24])
def test_what_is_no_model_is_said_to_be_none(finished_tiny: harness.Finished, wrong: str) -> None:
    code, out, err = harness.run("spec", "audit", wrong, "--store", finished_tiny.store)
    assert code == 2 and f"no model '{wrong}'" in err and "Traceback" not in out + err


def test_the_pages_need_nothing_and_escape_everything(finished_tiny: harness.Finished, tmp_path: Path) -> None:
    store = finished_tiny.store
    page = tmp_path / "chain.html"
    assert harness.run("spec", "audit", model_of(store, "rules"), "--store", store, "--html", page)[0] == 0
    family = tmp_path / "spec_variants" / "hostile"
    assert harness.run("spec", "fork", "microlab_conduct", "hostile", cwd=tmp_path)[0] == 0
    path = family / "family.yaml"
    hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    path.write_text(path.read_text().replace("People can only correct", f"{hostile} People can only correct", 1))
    other = tmp_path / "diff.html"
    references = ("hostile:rules", "hostile:value_augmented")
    code, _, err = harness.run("spec", "diff", *references, "--store", store, "--html", other, cwd=tmp_path)
    assert code == 0, err
    for file in (page, other):
        text = file.read_text()
        assert "Content-Security-Policy" in text and not re.search(r"<(script|img|link|iframe)|https?://", text)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in other.read_text()


def test_two_variants_of_one_study_are_compared_by_their_models(finished_tiny: harness.Finished, tmp_path: Path) -> None:
    """The tiny study midtrains one variant only: there are documents on one side, and no pair of models."""
    references = ("microlab_conduct:rules", "microlab_conduct:value_augmented")
    code, out, err = harness.run("spec", "diff", *references, "--store", finished_tiny.store, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert {c["kind"] for c in found["changes"]} == {"added"} and found["models"] == 0 and found["items"] == []
    same = harness.run("spec", "diff", references[0], references[0], "--store", finished_tiny.store, "--json")[1]
    assert json.loads(same)["changes"] == [] and json.loads(same)["documents_a"] == []
    moved = json.loads(same)["items"]
    assert moved and not [i for i in moved if i["moved"] or i["value_moved"]]
