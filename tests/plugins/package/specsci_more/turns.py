"""A pool without processes: jobs run one after another where the runner is."""

from __future__ import annotations

from pathlib import Path

from specsci.execute.devices import Layout
from specsci.execute.pools.pool import Pool, PoolKind, Seat
from specsci.execute.worker import Job, Outcome, Tick, run_job
from specsci.store.artifact import Store


class Turns(Pool):
    """One seat; a job runs when its outcome is asked for."""

    def __init__(self, root: Path, layout: Layout) -> None:
        self.store, self.verified = Store(root), set[str]()
        self.waiting: list[Job] = []

    def seat(self) -> Seat | None:
        return None if self.waiting else Seat("here")

    def submit(self, job: Job, seat: Seat) -> None:
        self.waiting.append(job)

    def poll(self, timeout_s: float) -> list[Outcome | Tick]:
        return [run_job(self.store, self.waiting.pop(), None, self.verified)] if self.waiting else []

    @property
    def running(self) -> int:
        return len(self.waiting)

    def stop(self) -> None:
        self.waiting.clear()


KIND = PoolKind("turns", Turns)
