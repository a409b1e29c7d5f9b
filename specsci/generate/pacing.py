"""How many requests are in flight, how long one may take, and when to stop trying.

Additive rise and multiplicative fall (Chiu and Jain, 1989): a connection more for every round of successes, a quarter fewer when the
server says that it is too much.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

FIRST = 20
FALL = 0.75
FALL_EVERY_S = 5.0
"""All requests in flight are refused together: they count as one refusal."""
UNPACED_S = 1.0
"""How long nothing new is sent after a refusal without a time of its own."""
JUDGED = 40
"""Requests after which the share of failures is judged."""
MOST_FAILED = 0.5
FIRST_TIMEOUT_S = 600.0
LEAST_TIMEOUT_S = 60.0
TIMEOUT_FACTOR = 4.0
MEASURED = 50
"""Latencies after which the timeout follows them."""


@dataclass
class Pace:
    """The number of requests that may be in flight now, at most `most`."""

    most: int
    limit: float = 0.0
    successes: int = 0
    refusals: int = 0
    paused_until: float = 0.0
    last_fall: float = -math.inf

    def __post_init__(self) -> None:
        self.limit = float(min(FIRST, self.most))

    def succeeded(self) -> None:
        """A reply came: until the first refusal each adds a connection, later a whole round does."""
        self.successes += 1
        self.limit = min(float(self.most), self.limit + (1.0 if not self.refusals else 1.0 / self.limit))

    def refused(self, now: float, retry_after_s: float | None) -> None:
        """The server says that it is too much; `now` is monotonic, in seconds."""
        self.refusals += 1
        wait = UNPACED_S if retry_after_s is None else retry_after_s
        self.paused_until = max(self.paused_until, now + wait)
        if now - self.last_fall >= FALL_EVERY_S:
            self.last_fall = now
            self.limit = max(1.0, self.limit * FALL)

    def room(self, in_flight: int, now: float) -> bool:
        """Whether one more may be sent."""
        return in_flight < int(self.limit) and now >= self.paused_until


@dataclass
class Breaker:
    """Stops a run whose first requests fail: later ones would, too."""

    tried: int = 0
    failed: int = 0

    def saw(self, *, failed: bool) -> None:
        """A request ended, or was refused."""
        self.tried += 1
        self.failed += int(failed)

    @property
    def is_open(self) -> bool:
        """Whether too many failed."""
        return self.tried >= JUDGED and self.failed > MOST_FAILED * self.tried


@dataclass
class Timeout:
    """How long one try may take, from how long the last ones took."""

    fixed_s: float | None = None
    taken: deque[float] = field(default_factory=lambda: deque(maxlen=1000))

    def took(self, seconds: float) -> None:
        """A reply came after so long."""
        self.taken.append(seconds)

    @property
    def seconds(self) -> float:
        """Four times the 99th percentile of what was measured, at least a minute; ten minutes before anything is."""
        if self.fixed_s is not None:
            return self.fixed_s
        if len(self.taken) < MEASURED:
            return FIRST_TIMEOUT_S
        ordered = sorted(self.taken)
        return max(LEAST_TIMEOUT_S, TIMEOUT_FACTOR * ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))])
