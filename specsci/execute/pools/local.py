"""Worker processes: spawned once, fed one job at a time, replaced when they die."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from typing_extensions import override

from specsci.execute import worker as worker_module
from specsci.execute.devices import Layout, worker_environment
from specsci.execute.pools.pool import Pool, PoolKind, Seat
from specsci.execute.worker import Job, Outcome, Tick

LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What a job scheduler may have set for another program; a worker that believed it would take itself for a rank."""


STOP_S = 60.0
"""How long a training stage has to end its update and save a checkpoint."""
NEW = "new"
"""The seat of a worker that is yet to be started."""


@dataclass
class Worker:
    """One process, its pipe, and the job it is on."""

    process: SpawnProcess
    connection: Connection
    job: Job | None = None
    last_digests: tuple[str, ...] = ()
    gpu: str | None = None


class LocalPool(Pool):
    """At most a fixed number of warm workers, started as they are needed."""

    def __init__(self, root: Path, layout: Layout) -> None:
        self.root, self.layout = root, layout
        self.context = multiprocessing.get_context("spawn")
        self.workers: list[Worker] = []

    def _start_one(self) -> Worker:
        """Start a worker if there is room; spawn reads this process's environment, so it is set first.

        The worker inherits a signal mask without SIGINT: a Ctrl-C while it starts is the runner's alone.
        """
        saved, gpu = dict(os.environ), self._free_gpu()
        resource_tracker.ensure_running()  # else the first start does it, and unblocks SIGINT on its way
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        os.environ.update(worker_environment(self.layout.threads))
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu or ""
        for name in [n for n in os.environ if n in LAUNCHER or n.startswith("PET_")]:
            del os.environ[name]
        try:
            ours, theirs = self.context.Pipe()
            process = self.context.Process(
                target=worker_module.main, args=(theirs, str(self.root), self.layout.threads), daemon=True
            )
            process.start()
            theirs.close()
        finally:
            os.environ.clear()
            os.environ.update(saved)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        worker = Worker(process, ours, gpu=gpu)
        self.workers.append(worker)
        return worker

    def _free_gpu(self) -> str | None:
        """A GPU that no living worker has; None where work is done on the CPU."""
        taken = {w.gpu for w in self.workers}
        return next((gpu for gpu in self.layout.gpus if gpu not in taken), None)

    @override
    def seat(self) -> Seat | None:
        found = next((w for w in self.workers if w.job is None), None)
        if found is not None:
            return Seat(str(found.process.pid), found.last_digests)
        return Seat(NEW) if len(self.workers) < self.layout.workers else None

    @override
    def submit(self, job: Job, seat: Seat) -> None:
        worker = self._start_one() if seat.id == NEW else next(w for w in self.workers if str(w.process.pid) == seat.id)
        worker.job = job
        worker.connection.send(job)

    @override
    @property
    def running(self) -> int:
        return len(self._busy())

    def _busy(self) -> list[Worker]:
        return [w for w in self.workers if w.job is not None]

    def poll(self, timeout_s: float) -> list[Outcome | Tick]:
        """What workers sent; a worker that died on a job leaves the pool."""
        messages: list[Outcome | Tick] = []
        by_connection: dict[Any, Worker] = {w.connection: w for w in self._busy()}
        for connection in wait(list(by_connection), timeout_s):
            worker = by_connection[connection]
            try:
                message = worker.connection.recv()
            except (EOFError, OSError):
                messages.append(self._died(worker))
                continue
            messages.append(message)
            if isinstance(message, Outcome) and worker.job is not None:
                worker.last_digests = (worker.job.step.digest, *worker.job.step.inputs.values())
                worker.job = None
        return messages

    def _died(self, worker: Worker) -> Outcome:
        worker.process.join(5)
        code = worker.process.exitcode
        self.workers.remove(worker)
        why = "ran out of memory or was killed" if code == -9 else f"ended with code {code}"
        assert worker.job is not None
        return Outcome(worker.job.step.digest, "died", error=f"the worker process {why}")

    def stop(self) -> None:
        """End all workers; what they were on is dropped, except that a training stage saves a checkpoint first.

        A second Ctrl-C does not wait for that.
        """
        for worker in self.workers:
            with suppress(OSError):  # it is gone already, which is what stopping wants
                worker.connection.send(None)
        for worker in self.workers:
            if worker.job is not None:
                worker.process.terminate()
        until = time.monotonic() + STOP_S
        try:
            for worker in self.workers:
                worker.process.join(max(0.0, until - time.monotonic()) if worker.job is not None else 5)
        except KeyboardInterrupt:
            until = 0.0
        for worker in self.workers:
            if worker.process.is_alive():
                worker.process.kill()
        self.workers.clear()


KIND = PoolKind("local", LocalPool)
