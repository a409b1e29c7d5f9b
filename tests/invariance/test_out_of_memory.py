"""A stage that does not fit is tried once more with half the micro batch, and then says what to change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import documents, llama, recipe, saved_base

from specsci.core.context import StepContext
from specsci.core.errors import StepFailed
from specsci.models.hf import MODEL, TOKENIZER, load_model
from specsci.models.proofs import isolates_rows
from specsci.recipe.recipe import Recipe
from specsci.train import steps


@pytest.fixture
def context(tokenizer: Any, tmp_path: Path) -> StepContext:
    """A midtrain step on a random model, with nothing but its own files."""
    base = saved_base(llama(), tmp_path)
    tokenizer.save_pretrained(tmp_path / "tokenizer" / TOKENIZER)
    for name in ("out", "scratch"):
        (tmp_path / name).mkdir()
    params = {"seed": 3, "recipe": recipe().model_dump(exclude_defaults=True)}
    inputs = {"base": base, "tokenizer": tmp_path / "tokenizer"}
    return StepContext("midtrain", "d", params, inputs, {}, {}, tmp_path / "out", tmp_path / "scratch")


def fitting(most: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let models run out of memory above `most` sequences at once; returns what batch sizes were tried."""
    tried: list[int] = []

    def small(*args: Any, **kwargs: Any) -> Any:
        model = load_model(*args, **kwargs)

        def check(run: Any, positional: Any, named: dict[str, Any]) -> None:
            size = len(named["input_ids"])
            if not run.training:  # the proof that packed rows do not see each other
                return
            tried.append(size)
            if size > most:
                raise torch.OutOfMemoryError("the device is full")

        model.register_forward_pre_hook(check, with_kwargs=True)
        return model

    monkeypatch.setattr(steps, "load_model", small)
    return tried


def test_half_the_micro_batch_gives_the_same_model(context, monkeypatch, tmp_path):
    rows = documents(60)
    whole = steps._train(context, rows)
    assert whole["micro_batch_sequences"] == 4 and "halved_after_out_of_memory" not in whole
    (tmp_path / "out" / MODEL).rename(tmp_path / "whole")
    tried = fitting(2, monkeypatch)
    halved = steps._train(context, rows)
    assert tried[0] == 4 and set(tried[1:]) == {2}
    assert (halved["micro_batch_sequences"], halved["halved_after_out_of_memory"]) == (2, True)
    assert halved["updates"] == whole["updates"] and halved["tokens"] == whole["tokens"]
    (tmp_path / "a").mkdir()
    (tmp_path / "whole").rename(tmp_path / "a" / MODEL)
    ends = [load_model(tmp_path / "a").state_dict(), load_model(tmp_path / "out").state_dict()]
    for name, weights in ends[0].items():
        torch.testing.assert_close(ends[1][name], weights, atol=1e-4, rtol=0)


def test_what_still_does_not_fit_fails_with_what_to_change(context, monkeypatch):
    tried = fitting(0, monkeypatch)
    with pytest.raises(StepFailed, match="out of memory with 2 sequences of 32 tokens at a time") as caught:
        steps._train(context, documents(60))
    assert tried == [4, 2], "once, not until it fits"
    assert "recompute" in caught.value.hint
    one = Recipe.model_validate({**context.params["recipe"], "sequences_per_update": 1})
    context.params["recipe"] = one.model_dump(exclude_defaults=True)
    with pytest.raises(StepFailed, match="out of memory with 1 sequence of"):
        steps._train(context, documents(60))
    assert tried == [4, 2, 1]


def test_an_odd_micro_batch_is_halved_to_one_that_divides(context, monkeypatch):
    context.params["recipe"] = recipe(sequences_per_update=9).model_dump(exclude_defaults=True)
    tried = fitting(3, monkeypatch)
    halved = steps._train(context, documents(90))
    assert tried[0] == 9 and set(tried[1:]) <= {3, 2, 1} and halved["micro_batch_sequences"] == 3


def test_a_full_device_is_no_proof_that_packed_rows_see_each_other():
    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("the device is full")

    model = llama()
    assert isolates_rows(model)
    model.register_forward_pre_hook(full)
    with pytest.raises(torch.OutOfMemoryError):
        isolates_rows(model)
