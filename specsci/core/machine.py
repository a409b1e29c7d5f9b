"""Facts of the machine that a study is planned for or runs on, found without importing torch."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

GPUS = Path("/proc/driver/nvidia/gpus")
PEAK_FLOP_PER_S = {
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "A10": 125e12,
    "4090": 165e12,
    "L4": 121e12,
}
"""Dense bf16 peaks from the makers' data sheets, by a word of the device's name."""


def peak_flop_per_s(device_name: str) -> float | None:
    """A GPU's dense bf16 peak in FLOP per second; None where its name is not in the table."""
    words = re.split(r"[\s-]+", device_name.upper())
    return next((flop for part, flop in PEAK_FLOP_PER_S.items() if part in words), None)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def visible_gpus() -> tuple[str, ...]:
    """The NVIDIA GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return tuple(name for name in given.split(",") if name.strip() not in ("", "-1"))
    return tuple(str(n) for n, _ in enumerate(sorted(GPUS.iterdir()))) if GPUS.is_dir() else ()


def gpu_name() -> str:
    """The name of this machine's GPUs as the driver tells it; empty where it tells none, or several different ones."""
    names = set()
    for file in GPUS.glob("*/information"):
        found = re.search(r"^Model:\s*(.+?)\s*$", file.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
        names.add(found[1] if found else "")
    return names.pop() if len(names) == 1 else ""


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
