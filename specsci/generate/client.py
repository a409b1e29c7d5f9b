"""Ask a study's generator: requests in, replies out, whatever its backend, and nothing paid twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from specsci.generate.backend import BACKENDS, BatchServer, Engine, Server, Session
from specsci.generate.batches import Batches
from specsci.generate.ledger import Caps, RequestLedger
from specsci.generate.money import needed_price, worst_usd
from specsci.generate.online import Online, Progress, checked
from specsci.generate.request import Message, ModelRequest, Reply
from specsci.generate.settings import GeneratorSettings

OTHERS_POLL_S = 0.2
RESERVED_AT_ONCE = 256


@dataclass
class Client:
    """A generator of a study, with the ledger of the store that the study runs in.

    Attributes:
        root: the store's directory.
        study: whose caps and counts the requests belong to.
        name: the generator's name in the study.
        study_usd: the cap of the whole study; None where it has none.
    """

    root: Path
    study: str
    name: str
    settings: GeneratorSettings
    study_usd: float | None = None
    open_session: Callable[[GeneratorSettings], Session] | None = None
    _session: Session | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.price = needed_price(self.name, self.settings).price
        self.ledger = RequestLedger(self.root, self.study, self.name, Caps(self.settings.max_usd, self.study_usd), self.settings.who)

    def request(
        self, messages: Sequence[Message], *, sample: int = 0, max_tokens: int | None = None, **about: str
    ) -> ModelRequest:
        """A request to this generator.

        Args:
            sample: its number among requests that are equal otherwise.
            max_tokens: the longest reply; as the generator says by default.
            about: what it is for.
        """
        who = self.settings.identity()
        limit = min(max_tokens or self.settings.max_tokens, self.settings.max_tokens)
        return ModelRequest(
            who["backend"],
            who["provider"],
            who["model"],
            tuple(messages),
            limit,
            who["params"],
            who["residency"],
            who["retention"],
            sample,
            about,
        )

    def ask(self, requests: Iterable[ModelRequest], progress: Progress = lambda done, total: None) -> dict[str, Reply]:
        """The replies by digest, from the ledger where they are there; a request that could not be answered has none.

        Raises:
            CapReached: the next request could pass a cap.
            NotFinished: batches are under way.
            StepFailed: the provider refuses, or fails too often.
            UserError: the backend cannot be opened.
        """
        wanted = {r.digest: r for r in requests}
        self.ledger.plan(wanted.values())
        while True:
            gone, others = self.ledger.in_flight(wanted)
            self.ledger.give_up(gone, unknown=True)
            states = self.ledger.states(wanted)
            todo = [r for d, r in wanted.items() if states[d] == "planned"]
            in_batches = any(states[d] in ("reserved", "submitted") for d in wanted) and self.settings.mode == "batch"
            if todo or in_batches:
                asyncio.run(self._answer(todo if self.settings.mode == "online" else list(wanted.values()), progress))
            elif others:
                time.sleep(OTHERS_POLL_S)  # another process has sent them: its replies are ours too
            else:
                return self.ledger.replies(wanted)

    async def _answer(self, requests: list[ModelRequest], progress: Progress) -> None:
        session = self._session or (self.open_session or BACKENDS[self.settings.backend].open)(self.settings)
        if isinstance(session, Engine):
            self._session = session  # a model is loaded once
            self._by_engine(session, requests, progress)
            return
        try:
            if self.settings.mode == "batch":
                assert isinstance(session, BatchServer)
                await Batches(session, self.settings, self.ledger, self.price, progress).run(requests)
            else:
                assert isinstance(session, Server)
                await Online(session, self.settings, self.ledger, self.price, progress).run(requests)
        finally:
            await session.close()

    def _by_engine(self, engine: Engine, requests: list[ModelRequest], progress: Progress) -> None:
        for start in range(0, len(requests), RESERVED_AT_ONCE):
            part = requests[start : start + RESERVED_AT_ONCE]
            ours = self.ledger.reserve([(r, worst_usd(self.price, r, self.settings)) for r in part])
            part = [r for r in part if r.digest in ours]
            for number, (digest, reply) in enumerate(engine.replies(part), start + 1):
                self.ledger.settle([(digest, checked(reply, self.settings, self.price))])
                progress(number, len(requests))

    def close(self) -> None:
        """End the engine and close the ledger."""
        if self._session is not None:
            asyncio.run(self._session.close())
            self._session = None
        self.ledger.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
