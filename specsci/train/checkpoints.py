"""Checkpoints inside a stage: written by the clock, found by step number, never trusted half-written."""

from __future__ import annotations

import json
import shutil
import time
import zipfile
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers import TrainerCallback

from specsci.core import stopping
from specsci.store.artifact import CHECKPOINT, CHECKPOINT_STATE
from specsci.train.distributed import agreed, world_size


class SaveByClock(TrainerCallback):
    """Asks for a checkpoint after the first update that ends `every_s` seconds after the last one, or after a request to stop.

    After the latter the process ends once the checkpoint is written; the stage goes on from it when it is begun again.
    """

    def __init__(self, every_s: float) -> None:
        self.every_s, self.last, self.leaving = every_s, time.monotonic(), False

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Called after every update."""
        due, leave = agreed((time.monotonic() - self.last >= self.every_s, stopping.wanted()))
        if state.global_step < state.max_steps and (due or leave):
            control.should_save, self.leaving = True, leave

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The clock starts again once a checkpoint is written."""
        self.last = time.monotonic()
        if self.leaving:
            stopping.stop()


def latest(folder: Path) -> Path | None:
    """The whole checkpoint of the highest step number; broken ones are removed, so that no later save meets them."""
    numbered: dict[int, Path] = {}
    for path in folder.glob(f"{CHECKPOINT}*"):
        number = path.name.removeprefix(CHECKPOINT)
        if number.isdigit():
            numbered[int(number)] = path
    for step in sorted(numbered, reverse=True):
        if _is_whole(numbered[step], step):
            return numbered[step]
        shutil.rmtree(numbered[step])
    return None


def _is_whole(folder: Path, step: int) -> bool:
    """Whether the trainer finished writing: its state, written last, names the step, and every file can be read."""
    try:
        if json.loads((folder / CHECKPOINT_STATE).read_text(encoding="utf-8"))["global_step"] != step:
            return False
        weights = [*folder.glob("*.safetensors"), *folder.glob("pytorch_model_fsdp*")]
        sampled = len(list(folder.glob("rng_state*.pth")))
        for path in folder.glob("*.safetensors"):
            with safe_open(path, "pt") as file:
                file.keys()
        pickled = [p for kind in ("*.pt*", "*.bin") for p in folder.glob(kind)]
        return bool(weights) and sampled == world_size() and all(zipfile.ZipFile(p).testzip() is None for p in pickled)
    except (OSError, ValueError, KeyError, SafetensorError, zipfile.BadZipFile):
        return False
