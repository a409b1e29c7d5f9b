"""The protocol of a backend: who answers requests, and how.

A backend is one folder of `backends/` with one object; an installed package adds its own by an entry point of the group
`specsci.backends`. A server answers requests one by one, or a batch at a time; an engine on this machine takes many at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from specsci.core.registry import Registry
from specsci.generate.request import ModelRequest, Reply

if TYPE_CHECKING:
    from specsci.generate.settings import GeneratorSettings


@dataclass(frozen=True)
class BatchFacts:
    """A provider's batch.

    Attributes:
        requests: how many requests it holds; None where the provider does not say.
        created_at: seconds since 1970.
        ended: whether all its results are there.
        mark: what the batch was marked with at its creation; empty where the provider keeps no marks.
    """

    id: str
    requests: int | None
    created_at: float
    ended: bool
    mark: str = ""


class Session:
    """A backend at work with one generator's settings."""

    async def close(self) -> None:
        """Free what it holds."""
        return None


class Server(Session, ABC):
    """Answers requests one by one."""

    @abstractmethod
    async def reply(self, request: ModelRequest, timeout_s: float) -> Reply:
        """A reply, whatever its state.

        Raises:
            CallFailed: none came.
        """


class BatchServer(Server):
    """Answers batches too."""

    @abstractmethod
    async def create_batch(self, requests: Sequence[ModelRequest], mark: str) -> BatchFacts:
        """A new batch of requests, each with its digest as its id.

        Raises:
            CallFailed: the provider did not take it.
        """

    @abstractmethod
    async def find_batch(self, batch_id: str) -> BatchFacts | None:
        """A batch as it is now; None where there is none of that id."""

    @abstractmethod
    def list_batches(self) -> AsyncIterator[BatchFacts]:
        """All batches of the account, the newest first."""

    @abstractmethod
    def results(self, batch_id: str) -> AsyncIterator[tuple[str, Reply]]:
        """The digests and replies of an ended batch, in any order."""

    @abstractmethod
    async def delete_batch(self, batch_id: str) -> None:
        """Have the provider forget a batch and what it holds."""


class Engine(Session, ABC):
    """Answers many requests at once, on this machine."""

    @abstractmethod
    def replies(self, requests: Iterable[ModelRequest]) -> Iterator[tuple[str, Reply]]:
        """The digests and replies of requests, as they come.

        Raises:
            StepFailed: the engine cannot go on.
        """


class Backend(ABC):
    """Somebody who answers requests.

    Attributes:
        name: what studies write as `backend`.
        sends_out: whether requests leave this machine.
        batches: whether it has batches.
        key_env: the environment variable that usually holds the API key; empty where none is needed.
        reports_residency: whether its replies say where they were computed.
    """

    name: ClassVar[str]
    sends_out: ClassVar[bool]
    batches: ClassVar[bool] = False
    key_env: ClassVar[str] = ""
    reports_residency: ClassVar[bool] = False

    def check(self, settings: GeneratorSettings) -> None:
        """Look at a study's settings of it; raises ValueError for what it cannot do."""
        return None

    @abstractmethod
    def open(self, settings: GeneratorSettings) -> Session:
        """Be ready for requests.

        Raises:
            MissingDependencyError: its package is not installed.
            UserError: the key, the model or the device is missing.
        """


BACKENDS: Registry[Backend] = Registry(
    "specsci.backends",
    "backend",
    (
        "specsci.generate.backends.openai:BACKEND",
        "specsci.generate.backends.anthropic:BACKEND",
        "specsci.generate.backends.vllm:BACKEND",
        "specsci.generate.backends.hf:BACKEND",
        "specsci.microlab.judge:BACKEND",
    ),
    lambda backend: backend.name,
    Backend,
)
