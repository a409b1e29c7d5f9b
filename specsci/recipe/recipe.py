"""Training recipes: every number that decides what a stage computes. All of it is identity.

Defaults follow the paper (arXiv 2605.02087, appendix B.4) where it states a value: LoRA rank 64 and
alpha 128 on all attention and MLP projections, one epoch, AdamW 1e-4, cosine, 5 % warm-up, weight
decay 0.01. What it leaves open (batch, packing, mask) is ours.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field, model_validator

from specsci.core.yaml_file import Strict
from specsci.recipe.presets import with_preset

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class Lora(Strict):
    """A low-rank adapter (LoRA)."""

    rank: int = Field(default=64, ge=1, description="The rank of the adapter's matrices.")
    alpha: int = Field(
        default=128, ge=1, description="The scaling of the adapter: its output is multiplied by alpha / rank."
    )
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="The dropout probability of the adapter's input in training, from 0 to below 1."
    )
    targets: tuple[str, ...] = Field(
        default=PROJECTIONS,
        description="The modules that get an adapter, by the last part of their names; by default all attention and MLP "
        "projections.",
    )
    accept_frozen: tuple[str, ...] = Field(
        default=(),
        description="Block types, such as `MixtralExperts`, that may stay without an adapter. Any other block type that the "
        "targets do not reach is an error.",
    )


class Recipe(Strict):
    """The training recipe of one stage."""

    preset: Literal["", "msm-paper", "qlora-1gpu", "full"] = Field(
        default="",
        exclude=True,
        description="A named recipe whose values apply where this recipe gives none; left empty, there is none.",
    )
    method: Literal["full", "lora", "qlora"] = Field(
        default="lora",
        description="What is trained: all weights (`full`), a LoRA adapter (`lora`), or a LoRA adapter over a base that is "
        "quantised to 4 bits (`qlora`: NF4, double quantisation).",
    )
    learning_rate: float = Field(
        default=1e-4,
        gt=0,
        description="The peak learning rate, which is reached after warm-up and followed by cosine decay.",
    )
    sequences_per_update: int = Field(
        default=16,
        ge=1,
        description="Packed sequences per optimizer update: the effective batch size over all devices.",
    )
    max_length_tokens: int = Field(
        default=4096,
        ge=16,
        description="The most tokens of a packed sequence; longer rows are split. Rows that are packed into one sequence do "
        "not attend to each other.",
    )
    epochs: int = Field(default=1, ge=1, description="The number of passes over the stage's training text.")
    warmup_share: float = Field(
        default=0.05,
        ge=0,
        lt=1,
        description="The share (0 to below 1) of the updates in which the learning rate rises from 0 to its peak, rounded "
        "down to whole updates.",
    )
    final_learning_rate_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="The learning rate at the end of cosine decay, as a share (0 to 1) of the peak learning rate.",
    )
    weight_decay: float = Field(default=0.01, ge=0, description="The weight decay of the AdamW optimizer.")
    adam_beta1: float = Field(
        default=0.9, gt=0, lt=1, description="AdamW's decay rate (0 to 1) of the running mean of gradients."
    )
    adam_beta2: float = Field(
        default=0.999, gt=0, lt=1, description="AdamW's decay rate (0 to 1) of the running mean of squared gradients."
    )
    clip_norm: float = Field(
        default=1.0, gt=0, description="The largest norm of the gradient of an update; a larger gradient is scaled down."
    )
    precision: Literal["fp32", "bf16"] = Field(
        default="fp32", description="The number format in which the forward and backward passes are computed."
    )
    weights: Literal["fp32", "bf16"] = Field(
        default="fp32",
        description="The number format in which the base's weights are kept in training and scoring (with `qlora`: those "
        "that are not quantised). Full training needs `fp32`.",
    )
    optimizer: Literal["adamw", "paged_adamw", "adamw_8bit"] = Field(
        default="adamw",
        description="The kind of AdamW: `paged_adamw` can move optimizer states to main memory when the GPU's is full, and "
        "`adamw_8bit` holds them in 8 bits.",
    )
    lora: Lora = Field(
        default=Lora(), description="The settings of the LoRA adapter; training with `method: full` has no adapter."
    )

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, values: Any) -> Any:
        return with_preset(values)

    @model_validator(mode="after")
    def _weights_fit(self) -> Recipe:
        if self.method == "full" and self.weights != "fp32":
            raise ValueError("full training holds its weights in fp32 (precision: bf16 computes in bf16)")
        return self

    @property
    def adapter(self) -> bool:
        """Whether an adapter is trained, not the weights themselves."""
        return self.method != "full"

    @property
    def weight_format(self) -> dict[str, Any]:
        """The dtype of the base's weights, and whether they are quantised to 4 bits."""
        return {"weights": self.weights, "quantised": self.method == "qlora"}

    @property
    def tokens_per_update(self) -> int:
        """The most tokens that one update can see."""
        return self.sequences_per_update * self.max_length_tokens

    def updates(self, tokens: int) -> int:
        """Optimizer updates for a number of tokens at full packing; at least one."""
        return max(1, math.ceil(tokens / self.tokens_per_update)) * self.epochs

    def warmup_updates(self, updates: int) -> int:
        """Warm-up updates out of `updates`: the share, rounded down.

        The first warm-up update has learning rate 0, so that rounding up would waste a stage of one update.
        """
        return math.floor(updates * self.warmup_share)


class StageRuntime(Strict):
    """How a training stage is run; never part of an identity.

    `devices_per_stage` processes share a stage, one to a device; the micro batch is that of each.
    """

    devices_per_stage: int = Field(
        default=1,
        ge=1,
        description="The number of devices that share a training stage: GPUs of one worker, or processes on a CPU.",
    )
    sharding: Literal["ddp", "fsdp2"] = Field(
        default="fsdp2",
        description="How several devices hold the model of a training stage: in shards (`fsdp2`), or whole on each device "
        "(`ddp`). A base in 4 bits (`qlora`) is always whole on each.",
    )
    micro_batch_sequences: int | None = Field(
        default=None,
        ge=1,
        description="Sequences that a device trains on at once; gradients are accumulated until an update is complete. By "
        "default they are as many as the memory estimate allows.",
    )
    recompute: bool = Field(
        default=False,
        description="Gradient checkpointing: activations are computed again in the backward pass, which saves memory and "
        "takes time.",
    )
    checkpoint_every_s: float = Field(
        default=600.0,
        gt=0,
        description="Seconds between the checkpoints of a training stage; an interrupted stage resumes from the last "
        "checkpoint.",
    )
    report_to: list[Literal["wandb", "mlflow", "tensorboard"]] = Field(
        default_factory=list,
        description="Experiment trackers that record the training curves as well; there are none by default.",
    )

    def sharding_of(self, recipe: Recipe) -> Literal["none", "ddp", "fsdp2"]:
        """How a stage is spread; 4-bit weights cannot be sharded, so that every device holds them whole."""
        if self.devices_per_stage == 1:
            return "none"
        return "ddp" if recipe.method == "qlora" else self.sharding

    def spread(self, recipe: Recipe) -> int:
        """Devices that hold the model between them."""
        return self.devices_per_stage if self.sharding_of(recipe) == "fsdp2" else 1


class Runtime(StageRuntime):
    """What a stage is told, and the device that its worker has for it."""

    device: str = "cpu"
