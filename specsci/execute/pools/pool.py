"""The protocol of a pool: somewhere to run steps. The runner alone owns the ledger and decides what runs.

An installed package adds its own by an entry point of the group `specsci.pools`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from specsci.core.registry import Registry
from specsci.execute.devices import Layout
from specsci.execute.worker import Job, Outcome, Tick


@dataclass(frozen=True)
class Seat:
    """A place where one job can run now.

    Attributes:
        id: what the pool calls it.
        recent: digests of the job that it ran last and of that job's inputs, which it may still have in memory.
    """

    id: str
    recent: tuple[str, ...] = ()


class Pool(ABC):
    """Runs jobs. A job's worker publishes its artefact into the store; the pool carries no artefacts."""

    @abstractmethod
    def seat(self) -> Seat | None:
        """A place that can take a job now; None where all are busy."""

    @abstractmethod
    def submit(self, job: Job, seat: Seat) -> None:
        """Start a job at a place that `seat` gave."""

    @abstractmethod
    def poll(self, timeout_s: float) -> list[Outcome | Tick]:
        """What jobs said since the last call; waits at most so long where they said nothing.

        A job that was lost with its worker has the outcome `died`. Every job has one outcome.
        """

    @property
    @abstractmethod
    def running(self) -> int:
        """How many jobs have no outcome yet."""

    @property
    def size(self) -> int:
        """How many jobs may run at once, where the pool knows better than its layout; else 0."""
        return 0

    @abstractmethod
    def stop(self) -> None:
        """End all jobs and free what they used; the pool is closed afterwards."""


@dataclass(frozen=True)
class PoolKind:
    """A pool by the name that `--executor` takes.

    Attributes:
        name: what `--executor` calls it.
        open: makes the pool on a store's directory.
        elsewhere: whether steps run on other machines: then this machine's cores and GPUs are no limit.
    """

    name: str
    open: Callable[[Path, Layout], Pool]
    elsewhere: bool = False


POOLS: Registry[PoolKind] = Registry(
    "specsci.pools",
    "executor",
    ("specsci.execute.pools.local:KIND", "specsci.execute.pools.inline:KIND", "specsci.execute.pools.ray.pool:KIND"),
    lambda kind: kind.name,
    PoolKind,
)
