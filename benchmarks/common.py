"""What the benchmarks share: timing in this process and of other processes, rows, and the machine's facts."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CACHE = HERE / ".cache"


@dataclass(frozen=True)
class Options:
    """What the command line may change: which study `study_wall` runs, which profile `real_model`."""

    study: str = "cheese_dissociation.yaml"
    profile: str = "smollm2"


@dataclass(frozen=True)
class Row:
    """One line of the table; `kept` is None where there is no goal."""

    what: str
    ours: str
    goal: str = ""
    kept: bool | None = None
    peer: str = ""
    ratio: str = ""


@dataclass
class Result:
    """What a benchmark found."""

    rows: list[Row]
    notes: list[str] = field(default_factory=list)
    body: str = ""
    """Markdown that stands under the notes."""


@dataclass(frozen=True)
class Timing:
    """Seconds: by the clock, and of CPU over all threads."""

    wall_s: float
    cpu_s: float
    out: str = ""

    def __str__(self) -> str:
        return f"{seconds(self.cpu_s)} CPU, {seconds(self.wall_s)} wall"


def seconds(value: float) -> str:
    """A duration with three significant digits."""
    return f"{value * 1e3:.3g} ms" if value < 0.1 else f"{value:.3g} s"


def timed(work: Callable[[], Any], repeats: int = 3) -> Timing:
    """The fastest of several calls in this process."""
    best = Timing(float("inf"), float("inf"))
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        found = Timing(time.perf_counter() - wall, time.process_time() - cpu)
        best = min(best, found, key=lambda t: t.wall_s)
    return best


def process(command: list[str], cwd: Path | None = None, env: dict[str, str] | None = None) -> Timing:
    """A command in a process of its own; raises RuntimeError with its output where it fails."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env={**os.environ, **(env or {})})
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        )
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Timing(wall, cpu, done.stdout)


def best_process(command: list[str], repeats: int, cwd: Path | None = None, env: dict[str, str] | None = None) -> Timing:
    """The run with the least CPU of several."""
    return min((process(command, cwd, env) for _ in range(repeats)), key=lambda t: t.cpu_s)


def specsci(*args: str | Path) -> list[str]:
    """The command line of specsci under this interpreter."""
    return [sys.executable, "-m", "specsci", *map(str, args)]


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is thrown away, on the disk where the benchmarks lie."""
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="run-") as folder:
        yield Path(folder)


def load_average() -> float:
    """Processes that wanted a core over the last minute: above 0.5 when a benchmark starts, its times are too long."""
    return round(os.getloadavg()[0], 1)


def machine() -> dict[str, str]:
    """The facts that a reader needs to judge a number."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = ", ".join(f"{name} {version(name)}" for name in ("specsci", "torch", "transformers", "trl", "duckdb"))
    return {
        "CPU": names[0] if names else platform.processor(),
        "cores": str(cores),
        "versions": f"Python {platform.python_version()}, {versions}",
    }
