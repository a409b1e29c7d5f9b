"""One training stage: packed rows, a recipe, TRL's SFTTrainer, and a report of what really happened."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase, PrinterCallback, TrainerCallback
from transformers.trainer_callback import ProgressCallback
from trl.trainer.sft_config import SFTConfig

from specsci.core.errors import MissingDependencyError, SpecsciError
from specsci.core.stopping import saving_first
from specsci.core.token_row import IGNORED, TokenRow
from specsci.models.hf import pad_id
from specsci.models.proofs import isolates_rows
from specsci.recipe.recipe import Recipe, Runtime
from specsci.train.attention import per_document_attention
from specsci.train.checkpoints import SaveByClock, latest
from specsci.train.data import Packed, pack
from specsci.train.distributed import agreed, is_first, saved_buffers, world_size
from specsci.train.meter import LossMeter, Progress, Speed, SpeedMeter, curve_of
from specsci.train.trainer import (
    EpochOrder,
    EveryWeight,
    OrderThenFill,
    StageTrainer,
    check_sharding,
    fill_of,
    filled,
    sharding_of,
)

OPTIMIZERS = {"adamw": "adamw_torch_fused", "paged_adamw": "paged_adamw_32bit", "adamw_8bit": "adamw_bnb_8bit"}

PER_DOCUMENT_FROM_TOKENS = 256
"""From this length of a sequence on, per-document attention is faster on a CPU; in shorter ones its calls cost more."""


@dataclass
class StageReport:
    """What a stage did: counts, speed, and the loss curve (one row per update).

    `split_rows` counts rows longer than a sequence, which were cut into pieces. `resumed_at_update` is where
    an interrupted stage went on; `train_s` and the speed are then those of the last stretch. `packed` says whether
    the rows of a sequence went through the model together, or one by one because they would have seen each other.
    """

    updates: int
    warmup_updates: int
    tokens: int
    supervised_tokens: int
    sequences: int
    split_rows: int
    fill: float
    train_s: float
    speed: Speed
    micro_batch_sequences: int
    devices: int = 1
    sharding: str = "none"
    resumed_at_update: int = 0
    packed: bool = True
    curve: list[dict[str, float]] = field(default_factory=list)


class PackedCollator:
    """Batches packed sequences without an attention mask: positions that restart separate the rows.

    Padding is a row of its own, unsupervised. With `attention_mask` absent and positions given,
    transformers builds a block-diagonal causal mask, so no row attends to its neighbours.
    """

    def __init__(self, pad_token_id: int) -> None:
        self.pad_token_id = pad_token_id

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """A batch of sequences padded to the longest, each tensor of shape (sequences, tokens)."""
        length = max(len(e["input_ids"]) for e in examples)
        fill = {"input_ids": self.pad_token_id, "labels": IGNORED}
        batch = {}
        for name in ("input_ids", "labels", "position_ids"):
            rows = []
            for example in examples:
                ids, missing = list(example[name]), length - len(example[name])
                rows.append(ids + (list(range(missing)) if name == "position_ids" else [fill[name]] * missing))
            batch[name] = torch.tensor(rows, dtype=torch.long)
        return batch


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Treat denormal numbers as 0, which training small models on a CPU needs to keep its speed.

    The setting belongs to the process: it is taken back, so that nothing else computes by it.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def train_stage(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    rows: list[TokenRow],
    recipe: Recipe,
    seed: int,
    *,
    scratch: str,
    checkpoints: str | None = None,
    runtime: Runtime | None = None,
    progress: Progress | None = None,
    isolates: bool | None = None,
) -> StageReport:
    """Train `model` in place on `rows`.

    Args:
        model: a causal LM, or a PEFT model whose adapter goes on.
        rows: documents or conversations, in the order they were drawn.
        scratch: a directory that the trainer may use; nothing is kept there.
        checkpoints: a directory that outlives an interrupted stage; the stage goes on from what it finds there.
        isolates: whether packed rows do not see each other in this model; None: it is proved on the model first.

    Raises:
        SpecsciError: no rows, a row without a supervised token, or a loss that is not finite.
    """
    runtime = runtime or Runtime()
    _require_trackers(runtime.report_to)
    packed = pack(rows, recipe.max_length_tokens)
    _check_supervision(rows, packed)
    updates = math.ceil(len(packed.sequences) / recipe.sequences_per_update) * recipe.epochs
    ranks, sharding = world_size(), runtime.sharding_of(recipe)
    check_sharding("none" if ranks == 1 else sharding, ranks, sharding, runtime.devices_per_stage)
    micro = _micro_batch(recipe, runtime, ranks)
    if checkpoints and ranks > 1:  # their layout is that of the sharding
        checkpoints = str(Path(checkpoints) / f"{sharding}-{ranks}")
    trained = _adapter_weights(model) if recipe.adapter else {}
    callbacks = [
        LossMeter(progress if is_first() else None),
        *([SaveByClock(runtime.checkpoint_every_s)] if checkpoints else []),
    ]
    arguments = _config(
        recipe, runtime, seed, updates, micro, checkpoints or scratch, filled=ranks > 1 and not saved_buffers(model)
    )
    apart = not (agreed(isolates_rows(model) if is_first() else None) if isolates is None else isolates)
    trainer = _trainer(model, tokenizer, packed, recipe.sequences_per_update, arguments, callbacks, apart=apart)
    check_sharding(sharding_of(trainer), trainer.accelerator.num_processes, sharding, runtime.devices_per_stage)
    _restore_adapter(model, trained)
    found = agreed(latest(Path(checkpoints)) if checkpoints and is_first() else None)
    meter = SpeedMeter(runtime.device, model, adapter=recipe.adapter)
    per_document = not apart and runtime.device == "cpu" and recipe.max_length_tokens >= PER_DOCUMENT_FROM_TOKENS
    saves = saving_first() if checkpoints else nullcontext()
    with saves, flushed_denormals(), per_document_attention() if per_document else nullcontext():
        trainer.train(resume_from_checkpoint=str(found) if found else None)
    if trainer.state.global_step != updates:
        raise SpecsciError(f"the trainer made {trainer.state.global_step} updates where {updates} were planned")
    resumed = int(found.name.rsplit("-", 1)[-1]) if found else 0
    tokens_per_update = packed.tokens * recipe.epochs / updates
    seconds, speed = meter.stop(round((updates - resumed) * tokens_per_update))
    return StageReport(
        updates=updates,
        warmup_updates=recipe.warmup_updates(updates),
        tokens=packed.tokens * recipe.epochs,
        supervised_tokens=_supervised(packed) * recipe.epochs,
        sequences=len(packed.sequences),
        split_rows=sum(len(r.input_ids) > recipe.max_length_tokens for r in rows),
        fill=packed.fill,
        train_s=seconds,
        speed=speed,
        micro_batch_sequences=micro,
        devices=ranks,
        sharding=sharding,
        resumed_at_update=resumed,
        packed=not apart,
        curve=curve_of(trainer.state.log_history, tokens_per_update),
    )


def _micro_batch(recipe: Recipe, runtime: Runtime, ranks: int) -> int:
    """Sequences that each rank takes at once: what the runtime says, at most its share of an update."""
    share = recipe.sequences_per_update // ranks
    micro = min(runtime.micro_batch_sequences or share, share)
    if recipe.sequences_per_update % (micro * ranks):
        over = f" over {ranks} devices" if ranks > 1 else ""
        raise SpecsciError(f"micro batch {micro}{over} does not divide {recipe.sequences_per_update} sequences per update")
    return micro


def _trainer(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    packed: Packed,
    sequences_per_update: int,
    arguments: SFTConfig,
    callbacks: list[TrainerCallback],
    *,
    apart: bool,
) -> StageTrainer:
    """TRL's trainer over packed sequences, in the order of one process however many ranks there are."""
    fill, pad = fill_of(len(packed.sequences), sequences_per_update), pad_id(tokenizer)
    order = OrderThenFill(len(packed.sequences), fill, arguments.seed) if world_size() > 1 else None
    trainer = StageTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict(filled(packed.columns(), fill, pad)),
        data_collator=PackedCollator(pad),
        processing_class=tokenizer,
        order=order,
        apart=apart,
        callbacks=[*callbacks, EveryWeight(), *([EpochOrder(order)] if order else [])],
    )
    for noisy in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(noisy)
    return trainer


def _require_trackers(names: Sequence[str]) -> None:
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise MissingDependencyError(
            f"runtime.report_to names {', '.join(missing)}, which is not installed", hint='pip install "specsci[track]"'
        )


def _adapter_weights(model: Any) -> dict[str, torch.Tensor]:
    return {n: p.detach().to(torch.float32, copy=True) for n, p in model.named_parameters() if p.requires_grad}


def _restore_adapter(model: Any, before: dict[str, torch.Tensor]) -> None:
    """TRL rounds the adapter of a 4-bit model to bf16, where small updates vanish: it gets its own fp32 numbers back."""
    for name, parameter in model.named_parameters():
        if name in before and parameter.dtype != before[name].dtype:
            parameter.data = before[name]


def _config(
    recipe: Recipe, runtime: Runtime, seed: int, updates: int, micro: int, scratch: str, *, filled: bool = True
) -> SFTConfig:
    """The recipe as TRL's configuration: rows come packed and tokenised; only `SaveByClock` asks for saves.

    `filled`: shards are filled from the first rank, which accelerate cannot do where buffers are saved with the weights.
    """
    sharded: dict[str, Any] = {}
    if runtime.sharding_of(recipe) == "fsdp2":
        # Gradients are given to their owners after each micro batch: else every device would hold all of them.
        accumulate = {"gradient_accumulation_kwargs": {"sync_each_batch": True}}
        sharded = {
            "fsdp": True,
            "fsdp_config": {"version": 2, "cpu_ram_efficient_loading": filled},
            "accelerator_config": accumulate,
        }
    return SFTConfig(
        output_dir=scratch,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=recipe.sequences_per_update // (micro * world_size()),
        num_train_epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": recipe.final_learning_rate_share},
        warmup_steps=recipe.warmup_updates(updates),
        weight_decay=recipe.weight_decay,
        adam_beta1=recipe.adam_beta1,
        adam_beta2=recipe.adam_beta2,
        max_grad_norm=recipe.clip_norm,
        optim=OPTIMIZERS[recipe.optimizer],
        bf16=recipe.precision == "bf16",
        fp16=False,
        gradient_checkpointing=runtime.recompute,
        use_cpu=runtime.device == "cpu",
        seed=seed,
        data_seed=seed,
        logging_steps=1,
        logging_nan_inf_filter=False,
        logging_first_step=True,
        save_strategy="no",
        save_total_limit=2,
        report_to=list(runtime.report_to) or "none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        max_length=None,
        packing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        **sharded,
    )


def _supervised(packed: Packed) -> int:
    return sum(label != IGNORED for rows in packed.sequences for row in rows for label in row.labels())


def _check_supervision(rows: list[TokenRow], packed: Packed) -> None:
    if not packed.sequences:
        raise SpecsciError("no rows to train on", hint="raise the token budget above one row")
    for number, row in enumerate(rows):
        if row.supervised is not None and all(label == IGNORED for label in row.labels()):
            raise SpecsciError(
                f"row {number} has no supervised token: {row.input_ids[:20]}",
                hint="check the chat template's {% generation %} block and the rows' texts",
            )
