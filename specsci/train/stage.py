"""One training stage: packed rows, a recipe, TRL's SFTTrainer, and a report of what really happened."""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase, PrinterCallback, TrainerCallback
from transformers.trainer_callback import ProgressCallback
from trl import SFTConfig, SFTTrainer

from specsci.errors import SpecsciError
from specsci.token_row import IGNORED, TokenRow
from specsci.train.data import Packed, pack
from specsci.train.recipe import Recipe, Runtime

Progress = Callable[[int, int], None]


@dataclass
class StageReport:
    """What a stage did: counts, the loss curve (one row per update), speed and peak memory."""

    updates: int
    warmup_updates: int
    tokens: int
    supervised_tokens: int
    sequences: int
    fill: float
    train_s: float
    peak_rss_gib: float
    curve: list[dict[str, float]] = field(default_factory=list)


class PackedCollator:
    """Batches packed sequences without an attention mask: positions that restart separate the rows.

    Padding is a row of its own, unsupervised. With `attention_mask` absent and positions given,
    transformers builds a block-diagonal causal mask, so no row attends to its neighbours.
    """

    def __init__(self, pad_token_id: int) -> None:
        self.pad_token_id = pad_token_id

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
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


class _Meter(TrainerCallback):
    """Collects the loss curve, reports progress, and stops on a loss that is not finite."""

    def __init__(self, tokens_per_update: float, progress: Progress | None) -> None:
        self.tokens_per_update, self.progress = tokens_per_update, progress
        self.curve: list[dict[str, float]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        if not logs or "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise SpecsciError(
                f"the loss became {logs['loss']} at update {state.global_step}",
                mend="lower the learning rate or lengthen the warm-up",
            )
        self.curve.append(
            {
                "update": state.global_step,
                "tokens": round(state.global_step * self.tokens_per_update),
                "loss": float(logs["loss"]),
                "learning_rate": float(logs.get("learning_rate", float("nan"))),
            }
        )
        if self.progress:
            self.progress(state.global_step, state.max_steps)


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
    runtime: Runtime | None = None,
    progress: Progress | None = None,
) -> StageReport:
    """Train `model` in place on `rows`.

    Args:
        model: a causal LM, or a PEFT model whose adapter goes on.
        rows: documents or conversations, in the order they were drawn.
        scratch: a directory that the trainer may use; nothing is kept there.

    Raises:
        SpecsciError: no rows, a row without a supervised token, or a loss that is not finite.
    """
    runtime = runtime or Runtime()
    packed = pack(rows, recipe.max_length_tokens)
    _check_supervision(rows, packed)
    per_epoch = math.ceil(len(packed.sequences) / recipe.sequences_per_update)
    updates = per_epoch * recipe.epochs
    micro = min(runtime.micro_batch_sequences or recipe.sequences_per_update, recipe.sequences_per_update)
    if recipe.sequences_per_update % micro:
        raise SpecsciError(f"micro batch {micro} does not divide {recipe.sequences_per_update} sequences per update")
    config = _config(recipe, runtime, seed, updates, micro, scratch)
    meter = _Meter(packed.tokens * recipe.epochs / updates, progress)
    trainer = SFTTrainer(
        model=model,
        args=config,
        train_dataset=Dataset.from_dict(packed.columns()),
        data_collator=PackedCollator(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0),
        processing_class=tokenizer,
        callbacks=[meter],
    )
    for noisy in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(noisy)
    start = time.perf_counter()
    with flushed_denormals():
        trainer.train()
    seconds = time.perf_counter() - start
    if trainer.state.global_step != updates:
        raise SpecsciError(f"the trainer made {trainer.state.global_step} updates where {updates} were planned")
    return StageReport(
        updates=updates,
        warmup_updates=recipe.warmup_updates(updates),
        tokens=packed.tokens * recipe.epochs,
        supervised_tokens=_supervised(packed) * recipe.epochs,
        sequences=len(packed.sequences),
        fill=packed.fill,
        train_s=seconds,
        peak_rss_gib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        curve=meter.curve,
    )


def _config(recipe: Recipe, runtime: Runtime, seed: int, updates: int, micro: int, scratch: str) -> SFTConfig:
    """The recipe as TRL's configuration: rows come packed and tokenised, and nothing is saved or reported."""
    return SFTConfig(
        output_dir=scratch,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=recipe.sequences_per_update // micro,
        num_train_epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": recipe.final_learning_rate_share},
        warmup_steps=recipe.warmup_updates(updates),
        weight_decay=recipe.weight_decay,
        adam_beta1=recipe.adam_beta1,
        adam_beta2=recipe.adam_beta2,
        max_grad_norm=recipe.clip_norm,
        optim="adamw_torch_fused",
        bf16=recipe.precision == "bf16",
        fp16=False,
        gradient_checkpointing=False,
        use_cpu=runtime.device == "cpu",
        seed=seed,
        data_seed=seed,
        logging_steps=1,
        logging_nan_inf_filter=False,
        logging_first_step=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        max_length=None,
        packing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
    )


def _supervised(packed: Packed) -> int:
    return sum(label != IGNORED for rows in packed.sequences for row in rows for label in row.labels())


def _check_supervision(rows: list[TokenRow], packed: Packed) -> None:
    if not packed.sequences:
        raise SpecsciError("no rows to train on", mend="raise the token budget above one row")
    for number, row in enumerate(rows):
        if row.supervised is not None and all(label == IGNORED for label in row.labels()):
            raise SpecsciError(
                f"row {number} has no supervised token: {row.input_ids[:20]}",
                mend="check the chat template's {% generation %} block and the rows' texts",
            )
