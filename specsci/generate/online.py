"""Requests one by one: many in flight, each written down before it is sent and settled when its reply is there."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from specsci.core.errors import SpecsciError, StepFailed
from specsci.generate.backend import Server
from specsci.generate.ledger import CapReached, RequestLedger
from specsci.generate.money import cost_usd, worst_usd
from specsci.generate.pacing import Breaker, Pace, Timeout
from specsci.generate.request import SLOWS_DOWN, STOPS_AT_ONCE, CallFailed, ModelRequest, Reply
from specsci.generate.settings import ANY, LOCAL, GeneratorSettings, Price

MOST_REFUSALS = 60
"""How often one request may be told to come later."""
BACK_OFF_S, MOST_BACK_OFF_S = 0.5, 60.0
TICK_S = 0.05
Progress = Callable[[int, int], None]


def checked(reply: Reply, settings: GeneratorSettings, price: Price) -> Reply:
    """A reply with its cost; one that was computed elsewhere than asked for is an error."""
    paid = replace(reply, usd=cost_usd(price, reply.usage, settings))
    where = reply.residency or settings.host_residency or (LOCAL if settings.is_here else "")
    if settings.residency != ANY and where != settings.residency and reply.state != "error":
        told = where or "an unknown place"
        return replace(paid, state="error", text="", error=f"residency: asked for {settings.residency}, computed in {told}")
    return replace(paid, residency=where)


@dataclass
class Online:
    """Answers requests through a server."""

    server: Server
    settings: GeneratorSettings
    ledger: RequestLedger
    price: Price
    progress: Progress = lambda done, total: None
    breaker: Breaker = field(default_factory=Breaker)

    def __post_init__(self) -> None:
        self.pace, self.timeout = Pace(self.settings.connections), Timeout(self.settings.timeout_s)
        self.tried: Counter[str] = Counter()
        self.stop: BaseException | None = None
        self.waiting: deque[ModelRequest] = deque()
        self.later: list[tuple[float, ModelRequest]] = []
        self.flying: set[asyncio.Task[None]] = set()
        self.changed = asyncio.Event()
        self.wanted = self.ended = 0

    async def run(self, requests: Sequence[ModelRequest]) -> None:
        """Answer requests; those that cannot be answered end as errors in the ledger.

        Raises:
            CapReached: the next request could pass a cap; replies on their way were stored.
            StepFailed: billing, credentials, a bad request or a residency that is not the one asked for; or too many failures.
        """
        self.waiting, self.wanted = deque(requests), len(requests)
        self._fill()
        while self.waiting or self.later or self.flying:
            if self.stop is not None and not self.flying:
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.changed.wait(), TICK_S if self.waiting or self.later else None)
            self.changed.clear()
            now = time.monotonic()
            self.waiting.extend(request for at, request in self.later if at <= now)
            self.later = [(at, request) for at, request in self.later if at > now]
            self._fill()
        if self.stop is not None:
            raise self.stop

    def _fill(self) -> None:
        """Send as many requests as may be in flight now."""
        while self.waiting and self.stop is None and self.pace.room(len(self.flying), time.monotonic()):
            reserved = self._reserved(self.waiting[0], len(self.flying))
            if reserved is None:
                return
            request = self.waiting.popleft()
            if reserved:
                self.flying.add(asyncio.create_task(self._call(request)))
            else:
                self.ended += 1  # another process sends it

    def _reserved(self, request: ModelRequest, in_flight: int) -> bool | None:
        """Whether a request is ours to send, its worst case set aside; None where a cap leaves no room.

        What is on its way may settle for less, and make room.
        """
        try:
            return bool(self.ledger.reserve([(request, worst_usd(self.price, request, self.settings))]))
        except CapReached as error:
            if not in_flight:
                self.stop = error
            return None

    async def _call(self, request: ModelRequest) -> None:
        """One try; what became of it is settled and the next request sent at once, before other replies are looked at."""
        start = time.monotonic()
        limit_s = self.timeout.seconds
        found: Reply | CallFailed
        try:
            async with asyncio.timeout(limit_s + 1):
                reply = await self.server.reply(request, limit_s)
            found = replace(reply, latency_s=time.monotonic() - start)
        except CallFailed as error:
            found = error
        except TimeoutError:
            found = CallFailed("transport", "no answer in time", maybe_charged=True)
        except Exception as error:  # noqa: BLE001 - what a server sends must not end a run whose other replies are paid for
            found = CallFailed("server", f"the answer is malformed ({type(error).__name__})", maybe_charged=True)
        task = asyncio.current_task()
        assert task is not None
        self.flying.discard(task)
        try:
            if (again := self._ended(request, found)) is not None:
                self.later.append((again, request))
            else:
                self.ended += 1
            self._fill()
        except SpecsciError as error:  # the ledger cannot be written
            self._halt(error)
        self.changed.set()
        self.progress(self.ended, self.wanted)

    def _ended(self, request: ModelRequest, found: Reply | CallFailed) -> float | None:
        """Settle what became of a try; returns when it is to be tried again, in monotonic seconds, or None."""
        if isinstance(found, Reply):
            reply = checked(found, self.settings, self.price)
            self.ledger.settle([(request.digest, reply)])
            self.pace.succeeded()
            self.timeout.took(found.latency_s)
            self.breaker.saw(failed=reply.state == "error")
            if reply.error.startswith("residency"):
                self._halt(StepFailed(reply.error, hint="nothing more is sent; look at the provider's workspace settings"))
            return None
        self.tried[request.digest] += 1
        if found.kind in STOPS_AT_ONCE:
            self.ledger.settle([(request.digest, Reply("error", error=f"{found.kind}: {found.what}"))])
            self._halt(StepFailed(f"{found.kind}: {found.what}", hint="nothing more is sent; the same command goes on once it is mended"))
            return None
        now, tries = time.monotonic(), self.tried[request.digest]
        if found.kind in SLOWS_DOWN:
            self.pace.refused(now, found.retry_after_s)
        else:
            self.breaker.saw(failed=True)
        self.ledger.count(f"{found.kind} failures")
        if self.breaker.is_open:
            text = f"{self.breaker.failed} of the first {self.breaker.tried} tries failed; the last: {found.what}"
            self._halt(StepFailed(text, hint="look at the server; the same command goes on"))
        most = MOST_REFUSALS if found.kind in SLOWS_DOWN else self.settings.attempts
        if tries >= most or self.stop is not None:
            self.ledger.give_up([request.digest], unknown=found.maybe_charged)
            self.ledger.fail(request.digest, f"{found.kind}: {found.what} ({tries} tries)")
            return None
        self.ledger.give_up([request.digest], unknown=found.maybe_charged)
        wait = found.retry_after_s or min(MOST_BACK_OFF_S, BACK_OFF_S * 2 ** min(tries - 1, 10))
        return now + wait

    def _halt(self, error: BaseException) -> None:
        """Send nothing more; what is on its way is still stored."""
        self.stop = self.stop or error
