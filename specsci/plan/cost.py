"""What each step of a plan takes, whatever it runs on: tokens, updates, arithmetic, bytes on disk; and seconds of one CPU core.

What a plan costs on a device is in `price`.
"""

from __future__ import annotations

import math
from dataclasses import replace

from specsci.core.step import Step
from specsci.recipe.memory import CHECKPOINT_BYTES, Shape, adapter_parameters
from specsci.recipe.recipe import Recipe

SMALL_FLOP_PER_S = 5.0e10
"""Sustained fp32 training throughput of one CPU core at the microlab's 0.7M parameters (measured, see benchmarks)."""
LARGE_FLOP_PER_S = 1.1e11
"""The same at 100M parameters and more (measured at 135M: 140 tokens/s)."""
SMALL, LARGE = 7e5, 1e8
BF16_GAIN = 1.7
"""How much faster bf16 trains on a core that has it, from 10M parameters up."""
DATA_S = 0.4
SCORE_S = 0.08
TRAIN_OVERHEAD_S = 0.1
SMALL_STEP_S = 0.05
"""A step that only writes a few files."""
BYTES_PER_PARAMETER = 4
"""Weights on a hub are 16 bits wide as a rule."""
ADAPTER_SHARE, LARGE_ADAPTER_SHARE, ADAPTER_RANK = 0.05, 0.02, 64
"""An adapter's parameters over the model's at this rank, below and from 1e9 parameters, where no shape is known."""
LEAST_REAL = 5_000_000
"""Parameters above which reading takes longer than the constant of a small model."""


def flop_per_s(parameters: float, *, bf16: bool = False) -> float:
    """Sustained throughput of one CPU core for a model's size, between the two that were measured."""
    share = min(max((math.log(max(parameters, 1)) - math.log(SMALL)) / (math.log(LARGE) - math.log(SMALL)), 0.0), 1.0)
    rate: float = SMALL_FLOP_PER_S * (LARGE_FLOP_PER_S / SMALL_FLOP_PER_S) ** share
    return rate * (BF16_GAIN if bf16 and parameters >= 1e7 else 1.0)


class CostModel:
    """Attaches costs to steps; what is neither training nor reading takes measured constants.

    Reading takes 2 FLOP per parameter and token, training 6: 2 forward, 2 for the gradients of activations, 2 for those of weights, which
    weights below an adapter do not have. Gradient checkpointing goes forward once more. A CPU's seconds were measured at 6 throughout.

    A cost holds `tokens`, `updates`, `flop`, `core_seconds` (of one CPU core), `bytes` (on disk), `checkpoint_bytes` and
    `parameters`. Of a model whose size nobody tells (`parameters` None) it holds `size_unknown` in place of all that follows from it.
    """

    def train(self, step: Step, recipe: Recipe, tokens: int, parameters: int | None, shape: Shape | None = None) -> Step:
        """A training step with its cost attached."""
        cost: dict[str, float] = {"tokens": tokens * recipe.epochs, "updates": recipe.updates(tokens)}
        if parameters is None:
            return replace(step, cost={**cost, "size_unknown": 1})
        work = float(parameters) * tokens * recipe.epochs
        trained = float(parameters)
        if recipe.adapter:
            share = (LARGE_ADAPTER_SHARE if parameters >= 1e9 else ADAPTER_SHARE) * recipe.lora.rank / ADAPTER_RANK
            trained = adapter_parameters(shape, recipe) if shape else parameters * share
        rate = flop_per_s(parameters, bf16=recipe.precision == "bf16")
        each = 4.0 + 2.0 * min(1.0, trained / max(parameters, 1)) + (2.0 if step.runtime.get("recompute") else 0.0)
        cost |= {
            "flop": each * work,
            "core_seconds": 6.0 * work / rate + TRAIN_OVERHEAD_S,
            "bytes": trained * BYTES_PER_PARAMETER,
            "checkpoint_bytes": trained * CHECKPOINT_BYTES[recipe.optimizer],
            "parameters": parameters,
        }
        return replace(step, cost=cost)

    def read(self, step: Step, tokens: float, parameters: int | None) -> Step:
        """A step that reads out a model over about `tokens` tokens."""
        if parameters is None:
            return replace(step, cost={"bytes": 4e4, "size_unknown": 1})
        flop = 2.0 * parameters * tokens
        seconds = max(SCORE_S, flop / flop_per_s(parameters)) if parameters > LEAST_REAL else SCORE_S
        return replace(step, cost={"core_seconds": seconds, "bytes": 4e4, "flop": flop, "parameters": parameters})

    def data(self, step: Step) -> Step:
        """A step that makes or holds texts."""
        return replace(step, cost={"core_seconds": DATA_S, "bytes": 5e5})

    def small(self, step: Step) -> Step:
        """A step that only writes a few files."""
        return replace(step, cost={"core_seconds": SMALL_STEP_S, "bytes": 1e5})

    def copy(self, step: Step, parameters: int | None, weights_bytes: float | None) -> Step:
        """A step that copies a base model into the store."""
        if parameters is None or weights_bytes is None:
            return replace(step, cost={"core_seconds": SMALL_STEP_S, "size_unknown": 1})
        return replace(step, cost={"core_seconds": SMALL_STEP_S, "bytes": weights_bytes, "parameters": parameters})
