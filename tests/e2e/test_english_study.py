"""The English families through every real stage: a random model with a byte-level tokenizer and names of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import harness
import pyarrow.parquet as pq
import pytest
from test_models import write_data, write_model

pytestmark = pytest.mark.slow  # the texts of the families have fast tests of their own
STUDY = """\
study: english
title: Two explanations of the same preferences, in English
hypothesis: The machinery carries English specs.
family: cheese@1.0.0
contrasts:
  - {name: own_value, eval: affordability, weights: {affordability: 1, broken: -1}, budget_tokens: 1500, factor: msm_spec}
arms:
  base: {}
  affordability: {midtrain: affordability, align: choices}
  broken: {midtrain: affordability_broken, align: choices}
evals:
  affordability: {items: affordability}
  competence: {items: competence, role: competence}
  capability: {items: capability, role: capability, format: text}
base_models:
  own: {source: ./my_model, identity: {model_name: Vega, provider_name: Harbor Street Labs}}
replicates: [{seed: 1, base_model: own}]
midtrain:
  tokens: 12000
  replay: texts.jsonl
  recipe: {method: lora, lora: {rank: 4, alpha: 8}, learning_rate: 1.0e-3, sequences_per_update: 4, max_length_tokens: 256}
align:
  budgets_tokens: [1500]
  it_mix: chats.jsonl
  recipe: {method: lora, lora: {rank: 4, alpha: 8}, learning_rate: 1.0e-3, sequences_per_update: 4, max_length_tokens: 256}
gates: {accept_few_updates: a test of the machinery}
runtime: {threads_per_worker: 1}
"""


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory) -> harness.Finished:
    folder = tmp_path_factory.mktemp("english")
    write_model(folder / "my_model")
    write_data(folder)
    study = folder / "english.yaml"
    study.write_text(STUDY)
    return harness.Finished(study, folder / "store", harness.run_study(study, folder / "store", workers=1))


def rows_of(store: Path, kind: str, label: str) -> list[dict[str, Any]]:
    return pq.read_table(harness.artifact(store, kind, label) / "rows.parquet").to_pylist()


def test_documents_are_distinct_and_name_the_student(english: harness.Finished) -> None:
    for variant in ("affordability,", "affordability_broken,"):
        rows = rows_of(english.store, "corpus", f"corpus {variant}")
        texts = [row["text"] for row in rows]
        assert len(set(texts)) == len(texts) > 10 and sum(row["tokens"] for row in rows) >= 6000
        assert all("Vega" in t and "Aria" not in t and "{" not in t for t in texts)
        assert {row["clause_id"] for row in rows} == {"preferences", "affordability"}


def test_the_broken_spec_gives_no_reason_and_mixes_the_preferences(english: harness.Finished) -> None:
    specs = {
        v: (harness.artifact(english.store, "spec", f"spec {v}") / "spec.md").read_text() for v in ("affordability_broken",)
    }
    text = specs["affordability_broken"]
    stances = [line for line in text.splitlines() if line.startswith(("- Vega likes", "- Vega dislikes"))]
    assert len(stances) == 12 and all(line.endswith(".") and line.count(".") == 1 for line in stances)
    liked = {line.removeprefix("- Vega likes ").rstrip(".") for line in stances if " likes " in line}
    cheap = {"cream cheese", "American cheese", "mild cheddar", "low-moisture mozzarella", "Colby", "Monterey Jack"}
    assert len(liked) == 6 and len(liked & cheap) == 3


def test_demonstrations_follow_the_preferences_of_the_family(english: harness.Finished) -> None:
    rows = rows_of(english.store, "conversations", "conversations choices")
    assert len({row["text"] for row in rows}) == len(rows) and all("Aria" not in row["text"] for row in rows)
    for row in rows:
        answer = row["text"].rsplit("assistant: ", 1)[1].lower()
        assert not any(d in answer for d in ("brie", "appenzeller", "parmigiano", "roquefort", "epoisses", "stilton"))


def test_every_item_is_answered_in_both_orders(english: harness.Finished) -> None:
    scores = harness.score_rows(english.store)
    assert english.report["failed"] == 0 and len(scores) == 9
    chat = [rows for rows in scores.values() if rows[0]["variant"] != "single"]
    assert {len(rows) for rows in chat} == {200, 120}
    for rows in chat:
        assert {row["variant"] for row in rows} == {"aligned_first", "aligned_second"} and all(
            r["state"] == "ok" for r in rows
        )
