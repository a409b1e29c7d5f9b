"""Sentence embeddings in the audit: nearest texts against numpy written out, planted items, an audit step with a model beside the study."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from specsci.core.errors import StepFailed
from specsci.corpus.audit.semantic import Embedder, Semantic, diversity, examine_meaning, nearest_earlier, passages_of
from specsci.specs.items import Item
from specsci.study.audit import Embeddings

pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")
WORDS = ["alder", "oak", *(f"word{n}" for n in range(400))]


def text(seed: int, words: int = 40) -> str:
    return " ".join(np.random.RandomState(seed).choice(WORDS, words))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small BERT with random weights: it does not know what words mean, but the same words have the same vectors."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    torch.manual_seed(2)
    path = tmp_path_factory.mktemp("study") / "embedder [1]"
    vocabulary = {w: n for n, w in enumerate(["[PAD]", "[UNK]", *WORDS, "Where", "is", "the", "?"])}
    inner = Tokenizer(models.WordLevel(vocabulary, "[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    sizes = {"hidden_size": 128, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=len(vocabulary), **sizes, max_position_embeddings=128, initializer_range=1.0)).save_pretrained(path)
    PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]", model_max_length=128).save_pretrained(path)
    return path


def items() -> list[Item]:
    return [Item(f"i{n}", "c", text(100 + n, 30), "yes", "no") for n in range(6)]


def semantic(folder: Path, **settings: float) -> Semantic:
    return Semantic.of(folder, Embeddings(model="m", **{"passage_words": 40, "item_similarity": 0.98, **settings}), items())


def test_a_text_is_cut_into_passages_and_nothing_is_lost() -> None:
    for size in (1, 7, 8, 11, 12, 13, 40):
        said = text(1, size)
        cut = passages_of(said, 8)
        assert " ".join(cut) == said and all(4 < len(p.split()) < 13 or len(cut) == 1 for p in cut)
    assert passages_of("", 8) == [""]


def test_nearest_and_diversity_are_those_of_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("specsci.corpus.audit.semantic.BLOCK", 7)
    vectors = np.random.RandomState(3).normal(size=(40, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similar = vectors @ vectors.T
    expected = [-1.0, *(max(similar[i, j] for j in range(i)) for i in range(1, 40))]
    assert nearest_earlier(vectors) == pytest.approx(np.array(expected), abs=1e-5)
    mean = np.mean([similar[i, j] for i in range(40) for j in range(40) if i != j])
    assert diversity(vectors) == pytest.approx(1 - mean, abs=1e-3)
    assert diversity(vectors[:1]) is None and nearest_earlier(vectors[:0]).shape == (0,)
    assert diversity(np.ones((3, 1), dtype=np.float32)) == 0


def test_copies_and_passages_of_items_are_found_and_a_clean_control_has_none(folder: Path) -> None:
    clean = [text(n, 80) for n in range(30)]
    model = semantic(folder, duplicate_similarity=0.995)
    facts, found = examine_meaning("corpus.a", clean, model)
    assert found == [] and facts["semantic_duplicates"] == facts["close_to_items"] == 0
    assert facts["nearest_similarity"]["p99"] < 0.995 and 0 < facts["semantic_diversity"] < 1
    copies = [" ".join([*clean[n].split()[:-1], "oak"]) for n in range(5)]
    leaked = f"{text(50)} {items()[3].prompt} {text(51, 10)}"
    facts, found = examine_meaning("corpus.a", [*clean, *copies, leaked], semantic(folder, duplicate_similarity=0.995, passage_words=40))
    assert facts["semantic_duplicates"] == 5
    assert {f.code for f in found} >= {"semantic_duplicates"} and found[0].rows == (30, 31, 32, 33, 34)
    whole = f"{text(50)} {items()[3].prompt}"
    facts, found = examine_meaning("corpus.a", [*clean, whole], semantic(folder, duplicate_similarity=0.995, passage_words=40))
    (leak,) = [f for f in found if f.code == "semantic_leaks"]
    assert leak.rows == (30,) and leak.text.endswith(": i3")


def test_a_model_that_does_not_find_what_is_planted_is_refused(folder: Path) -> None:
    with pytest.raises(StepFailed, match="does not find planted items"):
        semantic(folder, item_similarity=1.0)
    assert semantic(folder).item_vectors.shape == (6, 128)
    assert Semantic.of(folder, Embeddings(model="m"), []).item_ids == ()


def test_vectors_are_unit_vectors_whatever_the_text(folder: Path) -> None:
    vectors = Embedder(folder).of(["alder", "nothing of this is known", text(1, 400), ""])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.array([1, 1, 1, 0]), abs=1e-4), "no words are like nothing"


def study_with(tmp_path: Path, folder: Path, tiny_text: str, model: str) -> Path:
    import shutil

    path = tmp_path / "study" / "s.yaml"
    path.parent.mkdir()
    if folder is not None:
        shutil.copytree(folder, path.parent / folder.name)
    rows = [{"text": text(n, 60), "clause_id": "honesty"} for n in range(120)]
    (path.parent / "docs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    more = f"corpora:\n  rules: {{files: docs.jsonl}}\naudit:\n  embeddings: {{model: '{model}'}}\n"
    path.write_text(tiny_text.replace("arms:\n", f"{more}arms:\n", 1))
    return path


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("elsewhere", "the folder 'elsewhere' is not there"),
        ("../embedder", "is no folder below that of the study"),
        ("/tmp", "is no folder below that of the study"),
        ("hub:lab/embedder", "is not pinned to a commit"),
        ("hub:embedder", "names no model on the hub"),
    ],
)
def test_a_model_that_is_none_is_named_with_its_line(tmp_path: Path, folder: Path, tiny_text: str, model: str, says: str) -> None:
    from specsci.core.errors import InputFileError
    from specsci.plan.build import build_plan
    from specsci.study.load import load_study

    path = study_with(tmp_path, folder, tiny_text, model)
    with pytest.raises(InputFileError, match=says) as caught:
        build_plan(load_study(str(path)))
    (problem,) = caught.value.problems
    assert "model" in path.read_text().splitlines()[problem.line - 1]


def test_the_audits_identity_is_the_models_content_and_not_its_place(tmp_path: Path, folder: Path, tiny_text: str) -> None:
    from specsci.plan.build import build_plan
    from specsci.study.load import load_study

    path = study_with(tmp_path, folder, tiny_text, folder.name)
    (step, *_) = build_plan(load_study(str(path))).of_kind("audit")
    assert "config.json" in step.params["files"] and str(tmp_path) not in json.dumps(step.params)
    (path.parent / folder.name / "notes.bin").write_bytes(b"not read")
    assert build_plan(load_study(str(path))).of_kind("audit")[0].digest == step.digest
    (path.parent / folder.name / "vocab.txt").write_text("other")
    assert build_plan(load_study(str(path))).of_kind("audit")[0].digest != step.digest
