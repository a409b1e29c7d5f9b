"""Requests as a provider's batches: created once, found again after a kill, collected when they end.

What a batch holds is written down before it is created, and its id after. A run that was killed in between finds the batch by its
mark, or by its requests' digests, in the provider's list: it is adopted, and paid for once.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from specsci.core.errors import NotFinished, StepFailed
from specsci.generate.backend import BatchFacts, BatchServer
from specsci.generate.ledger import BatchRow, CapReached, RequestLedger
from specsci.generate.money import worst_usd
from specsci.generate.online import Progress, checked
from specsci.generate.request import STOPS_AT_ONCE, CallFailed, ModelRequest, Reply
from specsci.generate.settings import GeneratorSettings, Price

P = ParamSpec("P")
T = TypeVar("T")
STORED_AT_ONCE = 200
MOST_BYTES = 90_000_000
"""Largest batch: providers take 200 MB and more."""
SKEW_S = 3600.0
"""How far the provider's clock may be from ours."""
GRACE_S = 5.0
"""How long after its creation began a batch may still appear in the provider's list."""
LONGEST_CREATION_S = 1800.0
POLL_S, MOST_POLL_S = 0.2, 30.0
TRIES = 6


@dataclass
class Batches:
    """Answers requests by batches of a provider."""

    server: BatchServer
    settings: GeneratorSettings
    ledger: RequestLedger
    price: Price
    progress: Progress = lambda done, total: None

    async def run(self, requests: Sequence[ModelRequest]) -> None:
        """Create, adopt and collect batches until every request is settled, or the time to wait is over.

        Raises:
            NotFinished: batches are under way.
            CapReached: the next batch could pass a cap.
            StepFailed: the provider refuses.
        """
        until = time.monotonic() + 60 * self.settings.wait_min
        by_digest = {r.digest: r for r in requests}
        refused: CapReached | None = None
        wait = POLL_S
        sent = set[str]()
        while True:
            doubtful = await self._adopt()
            await self._collect()
            await self._delete()
            states = self.ledger.states(by_digest)
            todo = [r for d, r in by_digest.items() if states.get(d) == "planned" and d not in sent]
            refused = await self._submit(todo, sent)
            states = self.ledger.states(by_digest)
            waiting = [d for d, state in states.items() if state in ("reserved", "submitted")]
            self.progress(len(states) - len(waiting), len(states))
            mine = self.ledger.batches("submitted")
            if not waiting and not doubtful:
                if refused is not None:
                    raise refused
                return
            if time.monotonic() >= until:
                raise NotFinished(
                    f"{len(mine) + doubtful} batches with {len(waiting):,} requests are under way at the provider",
                    hint="the same command collects them; batches end within a day",
                )
            await asyncio.sleep(wait)
            wait = min(wait * 1.5, MOST_POLL_S, max(POLL_S, until - time.monotonic()))

    async def _adopt(self) -> int:
        """Find batches whose creation was not confirmed; returns how many are still in doubt."""
        doubtful = 0
        for intent in self.ledger.batches("intent"):
            if not self.ledger.is_gone(intent.owner, intent.created_at, LONGEST_CREATION_S):
                doubtful += 1  # another process creates it now
                continue
            found, may_be = await self._search(intent)
            if found is not None:
                self.ledger.created(intent.mark, found.id)
                self.ledger.count("batches found again")
            elif may_be or time.time() - intent.created_at < GRACE_S:
                doubtful += 1
            else:
                self.ledger.never_created(intent.mark)
        return doubtful

    async def _search(self, intent: BatchRow) -> tuple[BatchFacts | None, bool]:
        """The batch of an intent, if it is there, and whether a batch that has not ended may be it."""
        known, members, may_be = self.ledger.known_batch_ids(), set(self.ledger.members(intent.mark)), False
        batches = await self._call(self._listed, intent.created_at - SKEW_S)
        for batch in batches:
            if batch.id in known:
                continue
            if batch.mark:
                if batch.mark == intent.mark:
                    return batch, False
                continue
            if not batch.ended:
                may_be = may_be or batch.requests in (None, intent.requests)
                continue
            if await self._call(self._holds, batch.id, members):
                return batch, False
            if len(self.ledger.batches("intent")) == 1:
                self.ledger.not_ours(batch.id)
        return None, may_be

    async def _listed(self, since: float) -> list[BatchFacts]:
        found = []
        async for batch in self.server.list_batches():
            if batch.created_at < since:
                break
            found.append(batch)
        return found

    async def _holds(self, batch_id: str, digests: set[str]) -> bool:
        async for digest, _ in self.server.results(batch_id):
            return digest in digests
        return False

    async def _submit(self, requests: list[ModelRequest], sent: set[str]) -> CapReached | None:
        """Create batches; returns the cap that stopped it, if one did."""
        for part in _parts(requests, self.settings.batch_requests):
            mark = f"specsci-{secrets.token_hex(8)}"
            try:
                ours = self.ledger.reserve([(r, worst_usd(self.price, r, self.settings)) for r in part], mark)
            except CapReached as error:
                return error
            part = [r for r in part if r.digest in ours]
            if not part:
                continue
            sent |= ours
            try:
                made = await self.server.create_batch(part, mark)
            except CallFailed as error:
                if error.kind in STOPS_AT_ONCE:
                    self.ledger.never_created(mark)
                    raise StepFailed(f"{error.kind}: {error.what}", hint="nothing more is sent") from error
                self.ledger.count(f"{error.kind} failures")
                sent -= {r.digest for r in part}
                if not error.maybe_charged:
                    self.ledger.never_created(mark)
                    await asyncio.sleep(error.retry_after_s or POLL_S)
                continue  # what may have been created is looked for in the list
            self.ledger.created(mark, made.id)
        return None

    async def _collect(self) -> None:
        """Store the results of batches that have ended."""
        for row in self.ledger.batches("submitted"):
            found = await self._call(self.server.find_batch, row.id)
            if found is not None and not found.ended:
                continue
            if found is not None:
                await self._call(self._store, row.id)
            why = "the batch ended without a result for it" if found is not None else "the batch is gone at the provider"
            self.ledger.settle([(d, Reply("error", error=why)) for d in self.ledger.members(row.mark)])
            self.ledger.finished(row.mark)

    async def _store(self, batch_id: str) -> None:
        part: list[tuple[str, Reply]] = []
        async for digest, reply in self.server.results(batch_id):
            part.append((digest, checked(reply, self.settings, self.price)))
            if len(part) >= STORED_AT_ONCE:
                self.ledger.settle(part)
                part = []
        self.ledger.settle(part)

    async def _delete(self) -> None:
        """Have the provider forget batches whose results are stored, where the study wants it."""
        if self.settings.retention != "short":
            return
        for row in self.ledger.batches("done"):
            if row.id and not self.ledger.members(row.mark):
                await self._call(self.server.delete_batch, row.id)
                self.ledger.finished(row.mark, "deleted")

    async def _call(self, action: Callable[P, Awaitable[T]], *values: P.args, **named: P.kwargs) -> T:
        """Call the server, again where the connection or the server fails.

        Raises:
            StepFailed: it cannot be done, or not after several tries.
        """
        for tries in range(1, TRIES + 1):
            try:
                return await action(*values, **named)
            except CallFailed as error:
                self.ledger.count(f"{error.kind} failures")
                if error.kind in STOPS_AT_ONCE or tries == TRIES:
                    raise StepFailed(f"{error.kind}: {error.what}", hint="the same command goes on; batches are kept") from error
                await asyncio.sleep(error.retry_after_s or POLL_S * 2**tries)
        raise AssertionError


def _parts(requests: list[ModelRequest], most: int) -> list[list[ModelRequest]]:
    parts: list[list[ModelRequest]] = []
    size = 0
    for request in requests:
        length = sum(len(m.content.encode()) for m in request.messages) + 500
        if not parts or len(parts[-1]) >= most or size + length > MOST_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(request)
        size += length
    return parts
