"""What a plan will cost: tokens, optimizer updates, seconds and bytes, from a simple throughput model."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from specsci.plan.step import Step
from specsci.train.recipe import Recipe

CPU_FLOP_PER_S = 3.5e10
"""Sustained fp32 training throughput of one CPU core at the microlab's size (measured, see benchmarks)."""
DATA_S = 0.4
SCORE_S = 0.25
TRAIN_OVERHEAD_S = 0.15
BYTES_PER_PARAMETER = 4


@dataclass
class Estimate:
    """Totals over steps."""

    tokens: int = 0
    updates: int = 0
    seconds: float = 0.0
    gib: float = 0.0


class CostModel:
    """Prices steps. Training takes 6 FLOP per parameter and token; the rest are measured constants."""

    def __init__(self, flop_per_s: float = CPU_FLOP_PER_S) -> None:
        self.flop_per_s = flop_per_s

    def price(self, step: Step, recipe: Recipe | None = None, tokens: int = 0, parameters: int = 0) -> Step:
        """The step with its estimate attached."""
        if step.kind in ("midtrain", "align") and recipe is not None:
            seconds = 6.0 * parameters * tokens * recipe.epochs / self.flop_per_s + TRAIN_OVERHEAD_S
            cost = {
                "tokens": tokens * recipe.epochs,
                "updates": recipe.updates(tokens),
                "seconds": seconds,
                "bytes": float(parameters * BYTES_PER_PARAMETER),
            }
        elif step.kind == "score":
            cost = {"seconds": SCORE_S, "bytes": 4e4}
        else:
            cost = {"seconds": DATA_S, "bytes": 5e5}
        return replace(step, cost=cost)


def total(steps: list[Step]) -> Estimate:
    """The sum over steps; seconds are those of one core."""
    return Estimate(
        tokens=int(sum(s.cost.get("tokens", 0) for s in steps)),
        updates=int(sum(s.cost.get("updates", 0) for s in steps)),
        seconds=sum(s.cost.get("seconds", 0.05) for s in steps),
        gib=sum(s.cost.get("bytes", 2e4) for s in steps) / 2**30,
    )


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
