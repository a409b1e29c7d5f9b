"""Files outside a store are verified at the moment a step reads them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tiny import llama, word_tokenizer

from specsci.core.context import StepContext
from specsci.core.errors import StepFailed, UserError
from specsci.core.ids import file_sha256
from specsci.core.outside import listed
from specsci.core.step import Step
from specsci.corpus.pools import run_pool
from specsci.execute.worker import Job, run_job
from specsci.models.steps import run_base, run_tokenizer
from specsci.sources.identity import base_identity, text_identity
from specsci.store.artifact import Store

TEXTS = "".join(json.dumps({"text": f"line {n} of a text ."}) + "\n" for n in range(40))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small model directory, with a sub-folder and a hidden one."""
    folder = tmp_path / "model"
    llama().save_pretrained(folder, safe_serialization=True)
    word_tokenizer().save_pretrained(folder)
    for name in ("extra/heads.json", ".git/index"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    return folder


def context(kind: str, params: dict[str, Any], outside: Path, tmp_path: Path) -> StepContext:
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    out.mkdir(exist_ok=True)
    scratch.mkdir(exist_ok=True)
    return StepContext(kind, "d", params, {}, {}, {}, out, scratch, outside=str(outside))


def test_a_base_takes_what_the_plan_saw_its_sub_folders_with_it(model: Path, tmp_path: Path) -> None:
    identity = base_identity("model", tmp_path)
    assert set(identity.base["files"]) >= {"config.json", "model.safetensors", "tokenizer.json", "extra/heads.json"}
    assert not any(name.startswith(".git") for name in identity.base["files"])
    made = context("base", identity.base, model, tmp_path)
    (model / "left_here_later.bin").write_text("not in the plan")
    run_base(made)
    copied = {p.relative_to(made.out / "model").as_posix() for p in (made.out / "model").rglob("*") if p.is_file()}
    assert copied == set(identity.base["files"])


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "extra/heads.json"])
@pytest.mark.parametrize("change", ["edited", "gone"])
def test_a_base_edited_between_plan_and_step_is_refused(name: str, change: str, model: Path, tmp_path: Path) -> None:
    made = context("base", base_identity("model", tmp_path).base, model, tmp_path)
    (model / name).write_text("[]") if change == "edited" else (model / name).unlink()
    with pytest.raises(StepFailed, match=f"'{name}' (changed after|is gone since) the plan was made"):
        run_base(made)


def test_a_tokenizer_edited_between_plan_and_step_is_refused(model: Path, tmp_path: Path) -> None:
    made = context("tokenizer", base_identity("model", tmp_path).tokenizer, model, tmp_path)
    (model / "tokenizer.json").write_text("[]")
    with pytest.raises(StepFailed, match=r"'tokenizer\.json' changed after the plan was made"):
        run_tokenizer(made)


def test_a_text_file_edited_between_plan_and_step_is_refused_and_nothing_published(tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text(TEXTS)
    store = Store(tmp_path / "store").open()
    tokenizer = Step("tokenizer", {"microlab": "conduct", "digest": "x"})
    stage = store.stage(tokenizer, "me")
    from specsci.microlab.base import write_tokenizer

    write_tokenizer("conduct", stage / "tokenizer")
    store.publish(tokenizer, stage, {})
    params = {**text_identity("texts.jsonl", tmp_path), "what": "documents", "tokens": 50, "seed": 1}
    step = Step("pool", params, {"tokenizer": tokenizer.digest}, runtime={"outside": str(tmp_path)})
    job = Job(step, {"tokenizer": ("tokenizer", tokenizer.digest)}, "me")
    (tmp_path / "texts.jsonl").write_text(TEXTS.replace("line 3 ", "line X "))
    outcome = run_job(store, job, None, set())
    assert outcome.state == "failed"
    assert "'texts.jsonl' changed after the plan was made" in outcome.error
    assert not store.has(step)
    assert not list((store.root / "stage").iterdir())
    (tmp_path / "texts.jsonl").write_text(TEXTS)
    assert run_job(store, job, None, set()).state == "done"


def test_what_is_read_is_the_copy_that_was_verified(tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text(TEXTS)
    made = context("pool", {"source": "texts.jsonl", "sha256": file_sha256(tmp_path / "texts.jsonl")}, tmp_path, tmp_path)
    copy = made.external("texts.jsonl")
    (tmp_path / "texts.jsonl").write_text("other")
    assert copy.read_text() == TEXTS
    with pytest.raises(KeyError):
        made.external("not_declared.jsonl")


def test_an_action_does_not_get_the_folder_of_outside_files_but_through_its_context() -> None:
    """So that a new kind of step cannot read a file unverified and pass its tests."""
    for file in (
        "corpus/steps.py",
        "models/steps.py",
        "evals/steps.py",
        "evals/probe.py",
        "train/steps.py",
        "corpus/audit/step.py",
    ):
        text = (Path(run_pool.__code__.co_filename).parents[1] / file).read_text()
        assert ".outside" not in text, file


def test_a_link_that_leads_out_of_a_model_is_refused(model: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("x")
    (model / "extra" / "link").symlink_to(tmp_path / "secret" / "key")
    with pytest.raises(UserError, match=r"'extra/link' of base model 'model' is a link that leads out of its folder"):
        base_identity("model", tmp_path)
    (model / "extra" / "link").unlink()
    (model / "data").symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match="'data' of base model"):
        base_identity("model", tmp_path)


def test_links_within_a_model_and_of_a_hub_cache_are_what_they_point_to(tmp_path: Path) -> None:
    cache = tmp_path / "models--a--b"
    (cache / "blobs").mkdir(parents=True)
    (cache / "blobs" / "abc").write_text("weights")
    snapshot = cache / "snapshots" / "rev"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to("../../blobs/abc")
    (snapshot / "same.safetensors").symlink_to("model.safetensors")
    sha = file_sha256(cache / "blobs" / "abc")
    assert listed(snapshot, "it") == {"model.safetensors": sha, "same.safetensors": sha}


def test_a_pipe_in_a_model_folder_is_passed_over(model: Path, tmp_path: Path) -> None:
    os.mkfifo(model / "pipe")
    assert "pipe" not in base_identity("model", tmp_path).base["files"]


def test_hidden_files_are_no_part_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("model.safetensors", "sub/a.py"):
        (tmp_path / name).write_bytes(b"x")
    before = listed(tmp_path, "the base")
    for name in ("._model.safetensors", ".DS_Store", ".gitattributes", "sub/._a.py"):
        (tmp_path / name).write_bytes(b"y")
    assert listed(tmp_path, "the base") == before and len(before) == 2
