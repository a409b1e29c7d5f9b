"""What a training stage will need of a device's memory, before it is tried.

A model of the usual shape (attention and a gated MLP in every layer) is assumed. The figures are sums of what is
known to be in memory at once; fragmentation and the allocator's reserve come on top, for which `MARGIN` leaves room.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specsci.recipe.recipe import Recipe

GIB = 2**30
MARGIN = 0.85
"""Share of the device that an estimate may fill."""
WEIGHT_BYTES = {"fp32": 4.0, "bf16": 2.0, "4bit": 0.56}
"""Bytes of a frozen weight; 4 bits, and the scales of blocks of 64 (themselves quantised)."""
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
"""What a mixture of experts says in its config; its shape is not the usual one."""
OPTIMIZER_BYTES = {"adamw": 8.0, "paged_adamw": 8.0, "adamw_8bit": 2.1}
CHECKPOINT_BYTES = {name: 4.0 + states for name, states in OPTIMIZER_BYTES.items()}
"""Bytes of a checkpoint for each trained parameter: the weight in fp32, and the optimizer's states."""


@dataclass(frozen=True)
class Shape:
    """The sizes of a causal language model."""

    hidden: int
    layers: int
    vocabulary: int
    intermediate: int
    tied: bool = False

    @property
    def block_parameters(self) -> int:
        """Matrices inside the layers (all heads counted as in full attention)."""
        return self.layers * (4 * self.hidden**2 + 3 * self.hidden * self.intermediate)

    @property
    def embedding_parameters(self) -> int:
        """Parameters of the token embeddings, and of the output layer where it is not tied to them."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        """Parameters of the whole model."""
        return self.block_parameters + self.embedding_parameters


def shape_of(config: dict[str, Any]) -> Shape | None:
    """The shape that a Hugging Face config tells; None where it tells another kind of model."""
    inner = {**config, **(config.get("text_config") or {})}
    names = ("hidden_size", "num_hidden_layers", "vocab_size", "intermediate_size")
    if not all(isinstance(inner.get(name), int) for name in names) or any(inner.get(name) for name in EXPERTS):
        return None
    hidden, layers, vocabulary, intermediate = (inner[name] for name in names)
    return Shape(hidden, layers, vocabulary, intermediate, tied=bool(inner.get("tie_word_embeddings", False)))


def shape_in(folder: Path) -> Shape | None:
    """The shape of a model directory."""
    file = folder / "config.json"
    return shape_of(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None


@dataclass(frozen=True)
class Memory:
    """GiB that a stage needs at once, by what needs them."""

    weights_gib: float
    trained_gib: float
    activations_gib: float
    logits_gib: float

    @property
    def total_gib(self) -> float:
        """GiB of everything together."""
        return self.weights_gib + self.trained_gib + self.activations_gib + self.logits_gib


def adapter_parameters(shape: Shape, recipe: Recipe) -> int:
    """Parameters of an adapter on all attention and MLP projections of a model of the usual shape."""
    return shape.layers * recipe.lora.rank * (8 * shape.hidden + 3 * (shape.hidden + shape.intermediate))


def memory(
    shape: Shape, recipe: Recipe, micro_batch_sequences: int, *, gradient_checkpointing: bool, spread: int = 1
) -> Memory:
    """The estimate for one micro batch of full sequences, for each of `spread` devices that hold the model between them.

    Weights: in the dtype or quantisation of the recipe (embeddings stay unquantised). Trained: gradients and optimizer states of what is
    trained, in fp32, with an adapter's own weights. Activations: 34 bytes for each hidden value and layer in bf16 and
    twice that in fp32 (Korthikanti et al. 2022, without the attention map, which fused attention does not keep);     gradient checkpointing 2 or 4 bytes and one layer's worth. Logits: fp32, with their gradient and the copy that the loss takes.
    """
    full = not recipe.adapter
    kind = "4bit" if recipe.method == "qlora" else recipe.weights
    weights = shape.block_parameters * WEIGHT_BYTES[kind] + shape.embedding_parameters * WEIGHT_BYTES[recipe.weights]
    adapter = adapter_parameters(shape, recipe)
    trained = shape.parameters if full else adapter
    states = trained * (4 + OPTIMIZER_BYTES[recipe.optimizer]) + (0 if full else adapter * 4)
    if recipe.precision == "bf16" and recipe.weights == "fp32" and recipe.method != "qlora":
        states += shape.parameters * 2  # autocast keeps a bf16 copy of the weights of a pass
    tokens = micro_batch_sequences * recipe.max_length_tokens
    width = 1 if recipe.precision == "bf16" else 2
    whole, kept = 34 * width, 2 * width
    each = tokens * shape.hidden
    activations = each * (shape.layers * kept + whole) if gradient_checkpointing else each * shape.layers * whole
    logits = tokens * shape.vocabulary * 12
    return Memory(*(round(value / GIB, 3) for value in (weights / spread, states / spread, activations, logits)))


def fitting_micro_batch(
    shape: Shape | None,
    recipe: Recipe,
    device_gib: float,
    *,
    gradient_checkpointing: bool,
    devices: int = 1,
    spread: int = 1,
) -> int:
    """The most sequences at once on each device whose estimate fits it; its whole share where no shape is known.

    `devices` share an update, and `spread` of them hold the model between them.
    """
    whole = recipe.sequences_per_update // devices
    if shape is None:
        return whole
    for size in range(whole, 0, -1):
        if (
            whole % size == 0
            and memory(shape, recipe, size, gradient_checkpointing=gradient_checkpointing, spread=spread).total_gib
            <= MARGIN * device_gib
        ):
            return size
    return 1
