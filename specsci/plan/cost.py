"""What a plan will cost: tokens, optimizer updates, seconds and bytes, from a simple throughput model."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from dataclasses import dataclass, replace

from specsci.plan.step import Step
from specsci.train.recipe import Recipe

SMALL_FLOP_PER_S = 5.0e10
"""Sustained fp32 training throughput of one CPU core at the microlab's 0.7M parameters (measured, see benchmarks)."""
LARGE_FLOP_PER_S = 1.1e11
"""The same at 100M parameters and more (measured at 135M: 140 tokens/s)."""
SMALL, LARGE = 7e5, 1e8
BF16_GAIN = 1.7
"""How much faster bf16 trains on a core that has it, from 10M parameters up."""
SCORE_PROMPT_TOKENS = 25
"""What a chat template adds to a question."""
DATA_S = 0.4
SCORE_S = 0.08
TRAIN_OVERHEAD_S = 0.1
BYTES_PER_PARAMETER = 4
ADAPTER_SHARE = 0.05
H100_FLOP_PER_S, H100_SHARE = 989e12, 0.4
"""Peak bf16 of an H100 without sparsity (its data sheet), and the share of it that training is taken to reach."""
LEAST_REAL = 5_000_000
"""Parameters above which reading takes longer than the constant of a small model."""


@dataclass
class Estimate:
    """Totals over steps."""

    tokens: int = 0
    updates: int = 0
    seconds: float = 0.0
    gib: float = 0.0
    flop: float = 0.0

    @property
    def h100_h(self) -> float:
        """Hours of one H100 that the arithmetic takes, loading and generation apart."""
        return self.flop / (H100_FLOP_PER_S * H100_SHARE) / 3600


def flop_per_s(parameters: float, *, bf16: bool = False) -> float:
    """Sustained throughput of one CPU core for a model's size, between the two that were measured."""
    share = min(max((math.log(max(parameters, 1)) - math.log(SMALL)) / (math.log(LARGE) - math.log(SMALL)), 0.0), 1.0)
    rate = SMALL_FLOP_PER_S * (LARGE_FLOP_PER_S / SMALL_FLOP_PER_S) ** share
    return rate * (BF16_GAIN if bf16 and parameters >= 1e7 else 1.0)


class CostModel:
    """Prices steps. Training takes 6 FLOP per parameter and token, reading 2; the rest are measured constants."""

    def train(self, step: Step, recipe: Recipe, tokens: int, parameters: int) -> Step:
        """A training step with its estimate attached."""
        rate = flop_per_s(parameters, bf16=recipe.precision == "bf16")
        saved = parameters * BYTES_PER_PARAMETER if not recipe.adapter else parameters * ADAPTER_SHARE * BYTES_PER_PARAMETER
        cost = {
            "tokens": tokens * recipe.epochs,
            "updates": recipe.updates(tokens),
            "seconds": 6.0 * parameters * tokens * recipe.epochs / rate + TRAIN_OVERHEAD_S,
            "flop": 6.0 * parameters * tokens * recipe.epochs,
            "bytes": float(saved),
        }
        return replace(step, cost=cost)

    def read(self, step: Step, tokens: float, parameters: int) -> Step:
        """A step that reads out a model over about `tokens` tokens."""
        seconds = max(SCORE_S, 2.0 * parameters * tokens / flop_per_s(parameters))
        seconds = seconds if parameters > LEAST_REAL else SCORE_S
        return replace(step, cost={"seconds": seconds, "bytes": 4e4, "flop": 2.0 * parameters * tokens})

    def data(self, step: Step) -> Step:
        """A step that makes or holds texts."""
        return replace(step, cost={"seconds": DATA_S, "bytes": 5e5})


def question_tokens(text: str) -> float:
    """About how many tokens scoring an item set reads: every item in two orders with two options."""
    lines = [line for line in text.splitlines() if line.strip()]
    return sum(4 * (len(line) / 8 + SCORE_PROMPT_TOKENS) for line in lines)


def total(steps: list[Step]) -> Estimate:
    """The sum over steps; seconds are those of one core."""
    return Estimate(
        tokens=int(sum(s.cost.get("tokens", 0) for s in steps)),
        updates=int(sum(s.cost.get("updates", 0) for s in steps)),
        seconds=sum(s.cost.get("seconds", 0.05) for s in steps),
        gib=sum(s.cost.get("bytes", 2e4) for s in steps) / 2**30,
        flop=sum(s.cost.get("flop", 0.0) for s in steps),
    )


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def memory_gib(device: str = "auto") -> float:
    """Memory of this machine; with `auto` of its smallest visible NVIDIA GPU where the driver tells one."""
    gpus = "" if device == "cpu" else os.environ.get("CUDA_VISIBLE_DEVICES")
    if gpus != "" and shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
        visible = [] if gpus is None else ["-i", gpus]
        try:
            done = subprocess.run([*query, *visible], capture_output=True, text=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return _main_memory_gib()
        found = [float(line) / 1024 for line in done.stdout.split() if line.replace(".", "").isdigit()]
        if done.returncode == 0 and found:
            return min(found)
    return _main_memory_gib()


def _main_memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
