"""One Ray task for each step. Digests and settings travel; artefacts lie in the store that all machines see.

Ray's own retries are off: the runner gives a lost step to another machine, and the ledger knows whose it is.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from typing_extensions import override

from specsci.core.errors import UserError
from specsci.core.kinds import KINDS, TORCH, trains
from specsci.execute.devices import Layout
from specsci.execute.pools.local import STOP_S
from specsci.execute.pools.pool import Pool, PoolKind, Seat
from specsci.execute.pools.ray.cluster import Resources, joined, resources
from specsci.execute.pools.ray.node import progress_file, run_job
from specsci.execute.worker import Job, Outcome, Tick

STEP_S = 5.0
"""How much longer than a worker its task may take to end."""
LOOK_S = 10.0
"""How long what the cluster has is taken as known."""


class RayPool(Pool):
    """As many tasks as the cluster has room for; more machines may join while it works."""

    def __init__(self, root: Path, layout: Layout) -> None:
        self.root, self.layout = root.resolve(), layout
        self.ray = joined(layout.address)
        self.tasks: dict[Any, tuple[Job, Any]] = {}
        """Jobs and their placement groups by the reference of their task."""
        self.told: dict[str, str] = {}
        self.seen_at, self.found = 0.0, resources(self.ray)
        self.gpus = layout.device != "cpu" and self.found.gpus > 0
        self.task = self.ray.remote(max_retries=0)(run_job)
        try:
            self._check()
        except UserError:
            self.ray.shutdown()
            raise

    def _check(self) -> None:
        """Refuse what no machine of the cluster can ever run: Ray would wait for one without a word."""
        stage, threads = self.layout.devices_per_stage, self.layout.threads
        most, what = (self.found.most_gpus, "GPUs") if self.gpus else (self.found.most_cpus // max(1, threads), f"times {threads} cores")
        if stage > most:
            raise UserError(
                f"runtime.devices_per_stage is {stage}, and the largest machine of the Ray cluster has {most:.0f} {what}",
                hint="lower it, or add a larger machine: the devices of a stage are on one",
            )

    @property
    @override
    def size(self) -> int:
        if time.monotonic() - self.seen_at > LOOK_S:
            self.seen_at, self.found = time.monotonic(), self._resources()
        room = self.found.gpus if self.gpus else self.found.cpus // max(1, self.layout.threads)
        return self.layout.workers or max(1, int(room))

    def _resources(self) -> Resources:
        try:
            return resources(self.ray)
        except Exception as error:
            raise _gone(error) from error

    @override
    def seat(self) -> Seat | None:
        return Seat("cluster") if len(self.tasks) < self.size else None

    @override
    def submit(self, job: Job, seat: Seat) -> None:
        kind = KINDS[job.step.kind]
        devices = self.layout.devices_per_stage if trains(kind.name) else 1
        gpus = devices if self.gpus and TORCH in kind.needs else 0
        cpus = devices * self.layout.threads
        options: dict[str, Any] = {"num_cpus": cpus, "num_gpus": gpus, "name": job.step.label[:200]}
        group = None
        if devices > 1:
            group = self._group({"CPU": cpus, **({"GPU": gpus} if gpus else {})})
            options["scheduling_strategy"] = self.ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(group)
        reference = self.task.options(**options).remote(str(self.root), job, self.layout.threads * devices, gpus > 0)
        self.tasks[reference] = (job, group)

    def _group(self, bundle: dict[str, float]) -> Any:
        """All devices of a stage on one machine."""
        import ray.util.scheduling_strategies

        return ray.util.placement_group([bundle], strategy="STRICT_PACK")

    @override
    def poll(self, timeout_s: float) -> list[Outcome | Tick]:
        messages: list[Outcome | Tick] = []
        if self.tasks:
            try:
                ready, _ = self.ray.wait(list(self.tasks), timeout=timeout_s)
                if ready and len(self.tasks) > 1:
                    ready, _ = self.ray.wait(list(self.tasks), num_returns=len(self.tasks), timeout=0)
            except Exception as error:
                raise _gone(error) from error
            messages += [self._outcome(reference) for reference in ready]
        return [*messages, *self._ticks()]

    def _outcome(self, reference: Any) -> Outcome:
        job, group = self.tasks.pop(reference)
        self.told.pop(job.step.digest, None)
        if group is not None:
            self.ray.util.remove_placement_group(group)
        try:
            outcome: Outcome = self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            with suppress(OSError):
                progress_file(self.root, job).unlink(missing_ok=True)
            return Outcome(job.step.digest, "died", error=f"the step was lost with its Ray worker or machine: {_first(error)}")
        return outcome

    def _ticks(self) -> list[Tick]:
        """Progress that has changed since it was last told."""
        found = []
        for job, _ in self.tasks.values():
            with suppress(OSError, ValueError):
                text = progress_file(self.root, job).read_text(encoding="ascii")
                if text != self.told.get(job.step.digest):
                    self.told[job.step.digest] = text
                    done, total = map(int, text.split())
                    found.append(Tick(job.step.digest, done, total))
        return found

    @override
    @property
    def running(self) -> int:
        return len(self.tasks)

    @override
    def stop(self) -> None:
        """End all tasks; a training stage saves a checkpoint first, for which it has some time."""
        with suppress(Exception, KeyboardInterrupt):  # a cluster that is gone runs nothing, and a second Ctrl-C does not wait
            for reference in self.tasks:
                self.ray.cancel(reference, force=False)
            if self.tasks:
                self.ray.wait(list(self.tasks), num_returns=len(self.tasks), timeout=STOP_S + STEP_S)
        for reference, (job, _) in self.tasks.items():
            with suppress(Exception):
                self.ray.cancel(reference, force=True)
            with suppress(OSError):
                progress_file(self.root, job).unlink(missing_ok=True)
        self.tasks.clear()
        self.ray.shutdown()


def _first(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]


def _gone(error: Exception) -> UserError:
    return UserError(f"the Ray cluster does not answer any more: {_first(error)}", hint="start it again; the same command goes on")


KIND = PoolKind("ray", RayPool, elsewhere=True)
