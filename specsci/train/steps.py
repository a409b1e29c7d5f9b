"""The steps that hold or make models: tokenizers, bases, midtraining and alignment."""

from __future__ import annotations

import os
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
from specsci.models.chat import declare_template
from specsci.models.hf import (
    ADAPTER,
    MODEL,
    TOKENIZER,
    Holding,
    load_model,
    load_tokenizer,
    release_model,
    save_model,
    save_tokenizer,
)
from specsci.models.hub import fetch
from specsci.plan.cost import memory_gib
from specsci.plan.hub import MODEL_FILES, HubModel
from specsci.plan.sources import TOKENIZER_FILES, package_of
from specsci.token_row import TokenRow
from specsci.train.adapters import reach, trainable_parameters, with_adapter
from specsci.train.checks import change_by_module, masked_decode, snapshot
from specsci.train.data import shuffled, take_conversations, take_documents
from specsci.train.memory import GIB, fitting_micro_batch, shape_in
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
    if "package" in context.params:
        from specsci.models.gguf import write_tokenizer as write_packaged

        if write_packaged(package_of(context.params["package"]), target) != context.params["digest"]:
            raise StepFailed(
                f"the tokenizer of 'package:{context.params['package']}' is not the registered one",
                mend="install the versions of constraints.txt (transformers, tokenizers, gguf)",
            )
    else:
        target.mkdir()
        for path in _folder(context, TOKENIZER_FILES).iterdir():
            if path.name in TOKENIZER_FILES:
                shutil.copy2(path, target / path.name)
    if template := context.params.get("chat_template"):
        declare_template(target, template)
    return {}


def run_base(context: StepContext) -> Facts:
    """A base model in the Hugging Face layout."""
    target = context.out / MODEL
    if "source" in context.params:
        from specsci.microlab.base import write_base

        return write_base(context.params["source"], context.params["weights_sha256"], target)
    if "package" in context.params:
        from specsci.models.gguf import write_model

        return write_model(package_of(context.params["package"]), target)
    shutil.copytree(_folder(context, MODEL_FILES), target)
    if not list(target.glob("*.safetensors")):
        raise StepFailed("the model has no safetensors weights", mend="choose a revision that has them: pickle is not read")
    return {}


def _folder(context: StepContext, wanted: tuple[str, ...]) -> Path:
    """The directory that a base or its tokenizer is copied from: a model's own, or the hub's cache with what is wanted."""
    if "hub" not in context.params:
        return Path(context.runtime["path"])
    return fetch(HubModel(context.params["hub"], context.params["revision"]), wanted)


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
    """Train on rows; a stage that runs out of memory is tried once more with half the micro batch.

    Raises:
        StepFailed: it does not fit in half either.
    """
    recipe = Recipe.model_validate(context.params["recipe"])
    runtime = Runtime(**{k: v for k, v in context.runtime.items() if k in Runtime.model_fields})
    if runtime.report_to and context.checkpoints:
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(context.checkpoints.parents[1] / "tracking" / context.digest)
    release_model()
    micro = min(runtime.micro_batch_sequences or _fitting(context, recipe, runtime), recipe.sequences_per_update)
    smaller = max(size for size in range(1, max(2, micro // 2 + 1)) if recipe.sequences_per_update % size == 0)
    for size in dict.fromkeys((micro, smaller)):
        try:
            facts = _train_once(context, rows, recipe, runtime.model_copy(update={"micro_batch_sequences": size}))
        except torch.OutOfMemoryError as error:
            error.__traceback__ = None  # its frames hold the model
            continue
        finally:
            release_model()  # the trainer's reference cycles would keep it until the collector runs
        return facts if size == micro else {**facts, "halved_after_out_of_memory": True}
    raise StepFailed(
        f"out of memory with {size} sequence{'s' if size > 1 else ''} of {recipe.max_length_tokens:,} tokens at a time",
        mend="set runtime.micro_batch_sequences lower or runtime.recompute: true, or take method: qlora",
    )


def _fitting(context: StepContext, recipe: Recipe, runtime: Runtime) -> int:
    """The micro batch that the memory estimate lets fit, where the study names none."""
    device_gib = memory_gib("cpu")
    if runtime.device != "cpu":
        device_gib = torch.cuda.mem_get_info(runtime.device)[0] / GIB
    return fitting_micro_batch(shape_in(context.inputs["base"] / MODEL), recipe, device_gib, recompute=runtime.recompute)


def _train_once(context: StepContext, rows: list[TokenRow], recipe: Recipe, runtime: Runtime) -> Facts:
    from specsci.train.stage import train_stage  # imports TRL: seconds that data steps need not wait

    seed = context.params["seed"]
    set_seed(seed)
    tokenizer = load_tokenizer(context.inputs["tokenizer"])
    model = with_adapter(_start(context, recipe, runtime), recipe)
    before = snapshot(model)
    rows = shuffled(rows, derive_seed("order", seed))
    report = train_stage(
        model,
        tokenizer,
        rows,
        recipe,
        seed,
        scratch=str(context.scratch),
        checkpoints=_checkpoints(context),
        runtime=runtime,
        progress=context.progress,
    )
    change = change_by_module(model, before)
    target = context.out / (ADAPTER if recipe.adapter else MODEL)
    save_model(model, target)
    save_tokenizer(context.inputs["tokenizer"], target)
    pq.write_table(pa.Table.from_pylist(report.curve), context.out / CURVE)
    counts = {k: v for k, v in asdict(report).items() if k not in ("curve", "speed")}
    return {
        **counts,
        **{k: v for k, v in asdict(report.speed).items() if v is not None},
        "method": recipe.method,
        "chain": context.params.get("chain", "continue"),
        "trainable_parameters": trainable_parameters(model),
        "threads": torch.get_num_threads(),
        "change": change,
        **({"reach": reach(model)} if recipe.adapter else {}),
        "masked_decode": masked_decode(rows, tokenizer),
    }


def _checkpoints(context: StepContext) -> str | None:
    """Where a stage saves what it goes on from. Of two adapters the trainer would load only the frozen one back."""
    if context.checkpoints is None or context.params.get("chain") == "new":
        return None
    return str(context.checkpoints)


def _start(context: StepContext, recipe: Recipe, runtime: Runtime) -> Any:
    """The model that a stage begins with."""
    earlier, chain = context.inputs.get("model"), context.params.get("chain", "continue")
    goes_on = chain == "continue"
    return load_model(
        context.inputs["base"],
        earlier if goes_on else None,
        below=None if goes_on else earlier,
        merge=chain == "merge",
        holding=Holding(**recipe.holding),
        device=runtime.device,
        trainable=True,
    )
