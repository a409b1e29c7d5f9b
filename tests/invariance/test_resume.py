"""A stage that is interrupted and goes on is the stage that was never interrupted; a full device is tried once more."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import beside, chats, documents, llama, lora, recipe, train
from transformers import TrainerCallback

from specsci.core.errors import MissingDependencyError
from specsci.recipe.recipe import Runtime
from specsci.train import stage as stage_module
from specsci.train.adapters import with_adapter
from specsci.train.checkpoints import latest

EVERY_UPDATE = Runtime(checkpoint_every_s=1e-9)


class Stop(Exception):
    """The kill."""


def stop_at(update: int) -> Any:
    """A progress function that dies at an update."""

    def progress(done: int, total: int) -> None:
        if done == update:
            raise Stop

    return progress


@pytest.mark.parametrize("method", ["full", "lora", "beside"])
@pytest.mark.parametrize("epochs", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_resumed_is_straight(method, epochs, tokenizer, tmp_path):
    """Weights, losses, learning rates and the counts; also across the end of an epoch, and beside a frozen adapter."""
    start_of = {"beside": lambda: beside(tmp_path)}.get(method, llama)
    with_ = recipe(epochs=epochs, warmup_share=0.2) if method == "full" else lora(epochs=epochs, warmup_share=0.2)
    rows, ends, reports = [*documents(60), *chats(24, tokenizer)], [], []
    for interrupted in (False, True):
        torch.manual_seed(5)
        model, folder = with_adapter(start_of(), with_), tmp_path / "checkpoints"
        if interrupted:
            start = {k: v.clone() for k, v in model.state_dict().items()}
            for update in (3, 5):
                model.load_state_dict(start)  # a new process begins with the untrained model
                with pytest.raises(Stop):
                    train(
                        model, rows, tokenizer, tmp_path, with_,
                        checkpoints=str(folder), runtime=EVERY_UPDATE, progress=stop_at(update),
                    )  # fmt: skip
            model.load_state_dict(start)
            found = latest(folder)
            assert found is not None and found.name == "checkpoint-4", "saved after the update before the kill"
            reports.append(train(model, rows, tokenizer, tmp_path, with_, checkpoints=str(folder), runtime=EVERY_UPDATE))
        else:
            reports.append(train(model, rows, tokenizer, tmp_path, with_))
        ends.append({n: p.detach().clone() for n, p in model.named_parameters()})
    straight, resumed = reports
    assert straight.updates > 5 and (straight.resumed_at_update, resumed.resumed_at_update) == (0, 4)
    for name in ends[0]:
        torch.testing.assert_close(ends[1][name], ends[0][name], atol=1e-6, rtol=0)
    assert [p["update"] for p in resumed.curve] == [p["update"] for p in straight.curve]
    for a, b in zip(straight.curve, resumed.curve, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], abs=1e-5) and b["learning_rate"] == pytest.approx(a["learning_rate"])
    assert (resumed.tokens, resumed.supervised_tokens) == (straight.tokens, straight.supervised_tokens)


def test_checkpoints_are_chosen_by_number_and_broken_ones_are_removed(tokenizer, tmp_path):
    folder = tmp_path / "checkpoints"
    with pytest.raises(Stop):
        train(
            llama(), documents(60), tokenizer, tmp_path, recipe(sequences_per_update=1),
            checkpoints=str(folder), runtime=EVERY_UPDATE, progress=stop_at(11),
        )  # fmt: skip
    assert sorted(p.name for p in folder.glob("checkpoint-*")) == ["checkpoint-10", "checkpoint-9"], (
        "9 sorts after 10 as a word"
    )
    assert latest(folder) == folder / "checkpoint-10"
    shutil.copytree(folder / "checkpoint-10", folder / "checkpoint-12")
    assert latest(folder) == folder / "checkpoint-10", "its state names another step"
    assert not (folder / "checkpoint-12").exists()
    weights = folder / "checkpoint-10" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert latest(folder) == folder / "checkpoint-9"
    optimizer = folder / "checkpoint-9" / "optimizer.pt"
    optimizer.write_bytes(optimizer.read_bytes()[: optimizer.stat().st_size // 2])
    assert latest(folder) is None and not list(folder.glob("checkpoint-*"))


def test_checkpoints_come_by_the_clock(tokenizer, tmp_path):
    saves: list[int] = []

    class Spy(TrainerCallback):
        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            saves.append(state.global_step)

    class Trainer(stage_module.StageTrainer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "callbacks": [*kwargs["callbacks"], Spy()]})

    before, stage_module.StageTrainer = stage_module.StageTrainer, Trainer
    try:
        folder = tmp_path / "c"
        report = train(llama(), documents(60), tokenizer, tmp_path, recipe(), checkpoints=str(folder))
        assert report.updates > 2 and saves == [], "ten minutes have not passed"
        train(llama(), documents(60), tokenizer, tmp_path, recipe(), checkpoints=str(folder), runtime=EVERY_UPDATE)
    finally:
        stage_module.StageTrainer = before
    assert saves == list(range(1, report.updates)), "none after the last update"


def test_a_checkpoint_without_its_state_is_no_checkpoint(tmp_path):
    folder = Path(tmp_path) / "checkpoint-3"
    folder.mkdir()
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": 3}))
    assert latest(tmp_path) is None, "no weights"


def test_a_tracker_that_is_not_installed_is_named(monkeypatch, tokenizer, tmp_path):
    monkeypatch.setattr(stage_module, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="report_to names mlflow, which is not installed") as caught:
        train(llama(), documents(9), tokenizer, tmp_path, recipe(), runtime=Runtime(report_to=("mlflow",)))
    assert "specsci[track]" in caught.value.hint
