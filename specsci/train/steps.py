"""The steps that make models: midtraining and alignment."""

from __future__ import annotations

import atexit
import gc
import multiprocessing
import os
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from transformers import set_seed

from specsci.core.context import Facts, StepContext
from specsci.core.errors import StepFailed
from specsci.core.ids import derive_seed
from specsci.core.machine import memory_gib
from specsci.core.rows import read_token_rows
from specsci.core.token_row import TokenRow
from specsci.models.hf import (
    ADAPTER,
    META,
    MODEL,
    WeightFormat,
    load_model,
    load_tokenizer,
    release_model,
    save_model,
    save_tokenizer,
)
from specsci.models.remote_code import carry_code, is_trusted
from specsci.models.serve.reference import reference_of, write_reference
from specsci.recipe.memory import GIB, fitting_micro_batch, memory, shape_in
from specsci.recipe.recipe import Recipe, Runtime
from specsci.train.adapters import reach, trainable_parameters, with_adapter
from specsci.train.checks import change_by_module, check_positions, masked_decode, snapshot
from specsci.train.data import shuffled, take_conversations, take_documents
from specsci.train.distributed import fills, is_first, meet, share_buffers, whole_state, world_size
from specsci.train.launch import run_ranks
from specsci.train.memory_peaks import correction, remember, sort_of

if TYPE_CHECKING:
    from specsci.train.stage import StageReport

CURVE = "curve.parquet"


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
        raise StepFailed(f"the {role} holds {error}", hint="lower the budget or give more text") from error


def _conversations(context: StepContext, role: str, tokens: int) -> list[TokenRow]:
    rows = take_conversations(read_token_rows(context.inputs[role]), tokens)
    if not rows:
        raise StepFailed(f"no conversation of the {role} fits into {tokens:,} tokens", hint="raise the smallest budget")
    return rows


def _train(context: StepContext, rows: list[TokenRow]) -> Facts:
    """Train on rows; a stage that runs out of memory is tried once more with half the micro batch.

    Raises:
        StepFailed: it does not fit in half either.
    """
    recipe = Recipe.model_validate(context.params["recipe"])
    runtime = Runtime(**{k: v for k, v in context.runtime.items() if k in Runtime.model_fields})
    if world_size() > 1:
        return _train_once(context, rows, recipe, runtime)
    if runtime.report_to and context.checkpoints:
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(context.checkpoints.parents[1] / "tracking" / context.digest)
    release_model()
    share = recipe.sequences_per_update // runtime.devices_per_stage
    micro = min(runtime.micro_batch_sequences or _fitting(context, recipe, runtime), share)
    smaller = max(size for size in range(1, max(2, micro // 2 + 1)) if share % size == 0)
    for size in dict.fromkeys((micro, smaller)):
        try:
            if runtime.devices_per_stage > 1:
                facts = run_ranks(context, runtime.devices_per_stage, {"micro_batch_sequences": size})
            else:
                facts = _train_once(context, rows, recipe, runtime.model_copy(update={"micro_batch_sequences": size}))
        except torch.OutOfMemoryError as error:
            error.__traceback__ = None  # its frames hold the model
            continue
        finally:
            release_model()  # the trainer's reference cycles would keep it until the collector runs
        return facts if size == micro else {**facts, "halved_after_out_of_memory": True}
    raise StepFailed(
        f"out of memory with {size} sequence{'s' if size > 1 else ''} of {recipe.max_length_tokens:,} tokens at a time",
        hint="set runtime.micro_batch_sequences lower or runtime.recompute: true, or take method: qlora",
    )


def _fitting(context: StepContext, recipe: Recipe, runtime: Runtime) -> int:
    """The micro batch that the memory estimate, corrected by what earlier stages really took, lets fit."""
    shape, devices = shape_in(context.inputs["base"] / MODEL), runtime.devices_per_stage
    if runtime.device == "cpu":
        device_gib = memory_gib("cpu") / devices
    else:
        device_gib = torch.cuda.mem_get_info(runtime.device)[0] / GIB
        if shape is not None:
            sort = sort_of(shape, recipe, runtime, torch.cuda.get_device_name(runtime.device))
            device_gib /= correction(_store(context), sort)
    return fitting_micro_batch(
        shape, recipe, device_gib, gradient_checkpointing=runtime.recompute, devices=devices, spread=runtime.spread(recipe)
    )


def _store(context: StepContext) -> Path:
    """The store that the stage directory lies in."""
    return context.out.parents[1]


def _remember_peak(context: StepContext, recipe: Recipe, runtime: Runtime, report: StageReport) -> dict[str, float]:
    """Keep what the stage took of its device beside what was estimated; nothing where the device does not tell."""
    shape, peak = shape_in(context.inputs["base"] / MODEL), report.speed.peak_device_gib
    if shape is None or peak is None:
        return {}
    estimate = memory(
        shape, recipe, report.micro_batch_sequences, gradient_checkpointing=runtime.recompute, spread=runtime.spread(recipe)
    )
    if is_first():
        remember(_store(context), sort_of(shape, recipe, runtime, report.speed.device_name), estimate.total_gib, peak)
    return {"estimated_device_gib": estimate.total_gib}


@cache
def _spare_imports() -> None:
    """Keep what was imported out of garbage collections, once in a worker, while no model is loaded.

    Trainers collect at the end of every stage; with torch loaded that takes .3 s and frees nothing of it. A process that is no worker
    is left alone: what a notebook holds is to be collected.
    """
    if multiprocessing.parent_process() is not None:
        gc.collect()
        gc.freeze()
        atexit.register(gc.unfreeze)  # extension modules expect to be let go at the end


def _train_once(context: StepContext, rows: list[TokenRow], recipe: Recipe, runtime: Runtime) -> Facts:
    from specsci.train.stage import train_stage  # imports TRL: seconds that data steps need not wait

    _spare_imports()
    seed = context.params["seed"]
    set_seed(seed)
    tokenizer = load_tokenizer(context.inputs["tokenizer"])
    model = with_adapter(_start(context, recipe, runtime), recipe)
    check_positions(model, rows, recipe.max_length_tokens)
    before = snapshot(model)
    rows = shuffled(rows, derive_seed("order", seed))
    report = train_stage(
        model,
        tokenizer,
        rows,
        recipe,
        seed,
        scratch=str(context.scratch),
        checkpoints=str(context.checkpoints) if context.checkpoints else None,
        runtime=runtime,
        progress=context.progress,
        isolates=context.records["base"].facts.get("packs") if "base" in context.records else None,
    )
    change = change_by_module(model, before)
    target = context.out / (ADAPTER if recipe.adapter else MODEL)
    state = whole_state(model, trained_only=recipe.adapter) if report.sharding == "fsdp2" else None
    if is_first():
        save_model(model, target, state)
        carry_code(context.inputs["base"], context.out, target.name)
        save_tokenizer(context.inputs["tokenizer"], target)
        pq.write_table(pa.Table.from_pylist(report.curve), context.out / CURVE)
        if recipe.adapter and report.sharding != "fsdp2":  # what an engine that serves the adapter is held against
            write_reference(context.out, reference_of(model, rows[0].input_ids))
    counts = {k: v for k, v in asdict(report).items() if k not in ("curve", "speed")}
    return {
        **counts,
        **{k: v for k, v in asdict(report.speed).items() if v is not None},
        "method": recipe.method,
        "chain": context.params.get("chain", "continue"),
        "trainable_parameters": trainable_parameters(model),
        "threads": torch.get_num_threads(),
        "change": change,
        **_remember_peak(context, recipe, runtime, report),
        **({"reach": reach(model)} if recipe.adapter else {}),
        "masked_decode": masked_decode(rows, tokenizer),
    }


def _start(context: StepContext, recipe: Recipe, runtime: Runtime) -> Any:
    """The model that a stage begins with. Where it will be sharded, rank 0 reads the weights, and the others build empty ones if that works."""
    base, earlier, chain = context.inputs["base"], context.inputs.get("model"), context.params.get("chain", "continue")
    load = partial(
        load_model,
        base,
        earlier if chain == "continue" else None,
        below=None if chain == "continue" else earlier,
        merge=chain == "merge",
        weight_format=WeightFormat(**recipe.weight_format),
        trainable=True,
        scratch=context.scratch,
    )
    if runtime.spread(recipe) == 1:
        return load(device=runtime.device)
    meet(cpu=runtime.device == "cpu")
    empty = not is_first() and not is_trusted(
        base / MODEL
    )  # a model's own code may build other shapes than its settings say
    model = load(device=META if empty else "cpu")
    if fills(model):
        share_buffers(model)
    elif empty:
        model = load(device="cpu")
    return model
