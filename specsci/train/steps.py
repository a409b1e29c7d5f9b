"""The steps that hold or make models: tokenizers, bases, midtraining and alignment."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from transformers import set_seed

from specsci.corpus.rows import read_token_rows
from specsci.errors import StepFailed
from specsci.execute.context import Facts, StepContext
from specsci.ids import derive_seed
from specsci.models.hf import ADAPTER, MODEL, TOKENIZER, load_model, load_tokenizer, save_tokenizer
from specsci.plan.sources import TOKENIZER_FILES
from specsci.token_row import TokenRow
from specsci.train.adapters import trainable_parameters, with_adapter
from specsci.train.checks import change_by_module, masked_decode, snapshot
from specsci.train.data import shuffled, take_conversations, take_documents
from specsci.train.recipe import Recipe, Runtime

CURVE = "curve.parquet"


def run_tokenizer(context: StepContext) -> Facts:
    """The tokenizer of a base model, with its chat template."""
    target = context.out / TOKENIZER
    if "microlab" in context.params:
        from specsci.microlab.base import write_tokenizer

        written = write_tokenizer(context.params["microlab"], target)
        if written != context.params["digest"]:
            raise StepFailed(
                "the microlab's tokenizer is not the one its bases were trained with",
                mend="restore spec_variants/microlab_*, or rebuild the bases with `specsci microlab pretrain`",
            )
        return {}
    target.mkdir()
    for path in Path(context.runtime["path"]).iterdir():
        if path.name in TOKENIZER_FILES:
            shutil.copy2(path, target / path.name)
    return {}


def run_base(context: StepContext) -> Facts:
    """A base model in the Hugging Face layout."""
    target = context.out / MODEL
    if "source" in context.params:
        from specsci.microlab.base import write_base

        return write_base(context.params["source"], context.params["weights_sha256"], target)
    shutil.copytree(context.runtime["path"], target)
    return {}


def run_midtrain(context: StepContext) -> Facts:
    """Midtrain a base on a spec corpus and replayed text, exactly the declared tokens."""
    params = context.params
    replay_tokens = round(params["tokens"] * params["replay_share"])
    rows = _documents(context, "corpus", params["tokens"] - replay_tokens)
    own = len(rows)
    if replay_tokens:
        rows += _documents(context, "replay", replay_tokens)
    facts = _train(context, rows)
    return {**facts, "corpus_rows": own, "replay_rows": len(rows) - own}


def run_align(context: StepContext) -> Facts:
    """Fine-tune on demonstrations and the instruction-tuning mix, the same weights or adapter going on."""
    params = context.params
    it_tokens = round(params["tokens"] * params["it_mix_share"])
    rows = _conversations(context, "conversations", params["tokens"] - it_tokens) if params["it_mix_share"] < 1 else []
    demonstrations = len(rows)
    if it_tokens:
        rows += _conversations(context, "it", it_tokens)
    facts = _train(context, rows)
    return {**facts, "demonstrations": demonstrations, "it_rows": len(rows) - demonstrations}


def _documents(context: StepContext, role: str, tokens: int) -> list[TokenRow]:
    try:
        return take_documents(read_token_rows(context.inputs[role]), tokens)
    except ValueError as error:
        raise StepFailed(f"the {role} holds {error}", mend="lower the budget or give more text") from error


def _conversations(context: StepContext, role: str, tokens: int) -> list[TokenRow]:
    rows = take_conversations(read_token_rows(context.inputs[role]), tokens)
    if not rows:
        raise StepFailed(f"no conversation of the {role} fits into {tokens:,} tokens", mend="raise the smallest budget")
    return rows


def _train(context: StepContext, rows: list[TokenRow]) -> Facts:
    from specsci.train.stage import train_stage  # imports TRL: seconds that data steps need not wait

    params = context.params
    recipe = Recipe.model_validate(params["recipe"])
    runtime = Runtime(
        device=context.runtime.get("device", "cpu"),
        micro_batch_sequences=context.runtime.get("micro_batch_sequences"),
    )
    set_seed(params["seed"])
    tokenizer = load_tokenizer(context.inputs["tokenizer"])
    model = load_model(context.inputs["base"], context.inputs.get("model"), device=runtime.device, trainable=True)
    model = with_adapter(model, recipe)
    before = snapshot(model)
    rows = shuffled(rows, derive_seed("order", params["seed"]))
    report = train_stage(
        model,
        tokenizer,
        rows,
        recipe,
        params["seed"],
        scratch=str(context.scratch),
        runtime=runtime,
        progress=context.progress,
    )
    change = change_by_module(model, before)
    target = context.out / (MODEL if recipe.method == "full" else ADAPTER)
    model.save_pretrained(target, safe_serialization=True)
    save_tokenizer(context.inputs["tokenizer"], target)
    facts: dict[str, Any] = {k: v for k, v in asdict(report).items() if k != "curve"}
    pq.write_table(pa.Table.from_pylist(report.curve), context.out / CURVE)
    return {
        **facts,
        "method": recipe.method,
        "trainable_parameters": trainable_parameters(model),
        "threads": torch.get_num_threads(),
        "change": change,
        "masked_decode": masked_decode(rows, tokenizer),
    }
