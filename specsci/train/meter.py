"""What a stage is watched by: its loss, its speed, its memory, and its energy where the device tells it."""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from transformers import TrainerCallback

from specsci.core.errors import SpecsciError
from specsci.core.machine import peak_flop_per_s
from specsci.train.distributed import summed, world_size

Progress = Callable[[int, int], None]
GIB = 2**30


@dataclass(frozen=True)
class Speed:
    """How fast a stage ran and what it took. `mfu` and `energy_wh` are absent where the device does not tell."""

    tokens_per_s: float
    peak_rss_gib: float
    device_name: str
    peak_device_gib: float | None = None
    mfu: float | None = None
    energy_wh: float | None = None


class LossMeter(TrainerCallback):
    """Reports progress, and stops on a loss that is not finite."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Called after every update."""
        if not logs or "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise SpecsciError(
                f"the loss became {logs['loss']} at update {state.global_step}",
                hint="lower the learning rate or lengthen the warm-up",
            )
        if self.progress:
            self.progress(state.global_step, state.max_steps)


def curve_of(history: list[dict[str, Any]], tokens_per_update: float) -> list[dict[str, float]]:
    """The loss curve, one row per update, from the trainer's log (which a resumed stage carries on)."""
    return [
        {
            "update": entry["step"],
            "tokens": round(entry["step"] * tokens_per_update),
            "loss": float(entry["loss"]),
            "learning_rate": float(entry.get("learning_rate", float("nan"))),
        }
        for entry in history
        if "loss" in entry
    ]


class SpeedMeter:
    """Measures a stretch of training: speed and energy of all devices that share it, memory of this one."""

    def __init__(self, device: str, model: Any, *, adapter: bool) -> None:
        self.cuda = device.startswith("cuda")
        self.name = torch.cuda.get_device_name(device) if self.cuda else "cpu"
        self.device = device
        # An adapter's backward pass computes no gradients of the frozen weights: 4 FLOP per parameter and token, not 6.
        self.flop_per_token = (4.0 if adapter else 6.0) * _parameters(model)
        self.start, self.energy_mj = time.perf_counter(), self._energy_mj()
        if self.cuda:
            torch.cuda.reset_peak_memory_stats(device)

    def _energy_mj(self) -> float | None:
        """The device's energy counter in millijoule; None where NVML is not there."""
        if not self.cuda:
            return None
        with suppress(Exception):  # no NVML, no counter: the fact stays absent
            import pynvml

            pynvml.nvmlInit()
            uuid = torch.cuda.get_device_properties(self.device).uuid  # NVML's own numbers ignore CUDA_VISIBLE_DEVICES
            handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))
        return None

    def stop(self, tokens: int) -> tuple[float, Speed]:
        """Seconds since the start, and the speed over `tokens` tokens."""
        seconds = max(time.perf_counter() - self.start, 1e-9)
        peak = peak_flop_per_s(self.name)
        energy = self._energy_mj()
        used = summed(energy - self.energy_mj if energy and self.energy_mj else None)
        return seconds, Speed(
            tokens_per_s=round(tokens / seconds, 1),
            peak_rss_gib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3),
            device_name=self.name,
            peak_device_gib=round(torch.cuda.max_memory_allocated(self.device) / GIB, 3) if self.cuda else None,
            mfu=round(self.flop_per_token * tokens / seconds / peak / world_size(), 4) if peak else None,
            energy_wh=None if used is None else round(used / 3.6e6, 4),
        )


def _parameters(model: Any) -> int:
    """Parameters that take part in matrix products; a 4-bit weight counts as the numbers it holds."""
    count = 0
    for parameter in model.parameters():
        shape = getattr(getattr(parameter, "quant_state", None), "shape", None)
        count += math.prod(shape) if shape else parameter.numel()
    return count
