"""What runs on a machine of the cluster: a worker process of the machine's own interpreter, fed one job at a time.

A Ray worker process serves many tasks; it keeps its specsci worker between them, so that libraries are loaded once. One that was
given a GPU ends with its step: Ray deals the GPU to another task next.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from specsci.execute.devices import Layout
from specsci.execute.pools.local import LocalPool
from specsci.execute.worker import Job, Outcome, Tick

POLL_S = 1.0
_KEPT: dict[tuple[str, int], LocalPool] = {}
"""The worker of this Ray process, by store and threads."""


def run_job(root: str, job: Job, threads: int, gpus: bool) -> Outcome:
    """Run one job on this machine; a store that it does not see is a failure that says so."""
    if not (Path(root) / "steps").is_dir():
        return Outcome(job.step.digest, "failed", error=f"{platform.node()} does not see the store {root}\n  hint: mount it there under that path")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "") if gpus else ""
    key = (root, threads)
    pool = LocalPool(Path(root), Layout(1, threads, (visible,))) if visible else _KEPT.setdefault(key, LocalPool(Path(root), Layout(1, threads)))
    stopped = bool(visible)
    try:
        return _outcome(pool, job, Path(root))
    except KeyboardInterrupt:  # the driver is stopping: a training stage saves a checkpoint first
        stopped = True
        raise
    finally:
        if stopped:
            _KEPT.pop(key, None)
            pool.stop()
        progress_file(Path(root), job).unlink(missing_ok=True)


def _outcome(pool: LocalPool, job: Job, root: Path) -> Outcome:
    seat = pool.seat()
    if seat is None:
        raise RuntimeError("this worker is on another job")  # Ray gives a process one task at a time
    pool.submit(job, seat)
    while True:
        for message in pool.poll(POLL_S):
            if isinstance(message, Outcome):
                return message
            _write(progress_file(root, job), message)


def progress_file(root: Path, job: Job) -> Path:
    """Where a job's progress stands, in the store that all machines see."""
    return root / "stage" / f"{job.step.digest}.{job.owner}.progress"


def _write(path: Path, tick: Tick) -> None:
    part = path.with_name(f"{path.name}-part")
    try:
        part.write_text(f"{tick.done} {tick.total}", encoding="ascii")
        part.replace(path)
    except OSError:  # progress is only shown; the step goes on
        return


def describe(root: str, token: str) -> dict[str, Any]:
    """What the driver compares machines by: versions, the clock, and whether the store is the driver's."""
    from importlib.metadata import PackageNotFoundError, version

    def installed(name: str) -> str:
        try:
            return version(name)
        except PackageNotFoundError:
            return ""

    there = Path(root) / "stage" / token
    return {
        "host": platform.node(),
        "sees_store": there.is_file(),
        "writes_store": os.access(Path(root) / "steps", os.W_OK),
        "time": time.time(),
        "python": ".".join(map(str, sys.version_info[:2])),
        **{name: installed(name) for name in ("specsci", "ray", "torch", "transformers", "trl", "peft")},
    }
