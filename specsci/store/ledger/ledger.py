"""The protocol of a ledger: claims with fencing tokens, and runners whose hearts beat.

Clocks of machines are never compared. A runner counts its heartbeats; another one calls it silent when the count has stood still
for a lease *by the other one's own steady clock*. A claim of a silent runner may be taken by anybody, under a higher token: what the
silent one publishes later is refused. A runner of the same boot whose process is gone need not be waited for.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from specsci.core.liveness import is_dead, process_name

LEASE_S = 30.0
BEATS = 6
"""Heartbeats in the time of a lease."""
Snapshot = dict[str, list[dict[str, Any]]]
"""`claims`, `runs` and `failures`, for `status`."""
FAILURES, RUNS = 10, 5
"""How many failures and ended runs a snapshot tells, the last first."""


class Watch:
    """When the hearts of other runners were last seen to beat, by this process's own steady clock."""

    def __init__(self, lease_s: float = LEASE_S, clock: Callable[[], float] = time.monotonic) -> None:
        self.lease_s, self.clock = lease_s, clock
        self.seen: dict[str, tuple[int, float]] = {}

    def silent(self, runner: str, beat: int) -> bool:
        """Whether a runner is surely gone, or its count of heartbeats has stood still for a lease since it was first seen so."""
        if is_dead(runner):
            return True
        now, known = self.clock(), self.seen.get(runner)
        if known is None or known[0] != beat:
            self.seen[runner] = (beat, now)
            return False
        return now - known[1] > self.lease_s


class Ledger(ABC):
    """Who works on which step. One object for each runner; a runner is a process that gives steps to workers."""

    name = ""
    """What `SPECSCI_LEDGER` calls it."""
    lease_s = LEASE_S
    """How long a runner may be silent."""

    def __init__(self, root: Path, study: str = "") -> None:
        self.root, self.study, self.runner = root, study, process_name()
        self.watch = Watch(self.lease_s)
        self.tokens: dict[str, int] = {}
        """The fencing tokens of the claims that this runner took and has not given back."""

    def claim(self, digest: str, label: str) -> bool:
        """Take a step, if nobody holds it or who holds it is silent."""
        token = self._claim(digest, label)
        if token:
            self.tokens[digest] = token
        return token > 0

    def token(self, digest: str) -> int:
        """The fencing token of a claim of this runner; 0 for none."""
        return self.tokens.get(digest, 0)

    def release(self, digest: str) -> bool:
        """Give a step back; returns whether it was still this runner's."""
        token = self.tokens.pop(digest, 0)
        return token > 0 and self._release(digest, token)

    @abstractmethod
    def _claim(self, digest: str, label: str) -> int:
        """A new token, higher than any of the step before it; 0 where another runner holds the step."""

    @abstractmethod
    def _release(self, digest: str, token: int) -> bool:
        """Remove the claim of this runner with a token; returns whether it was there."""

    @abstractmethod
    def holds(self, digest: str, runner: str, token: int) -> bool:
        """Whether a runner's claim with a token is the last one of a step."""

    @abstractmethod
    def start_run(self, total: int) -> None:
        """Enter this runner as running, with the number of its steps."""

    @abstractmethod
    def renew(self, done: int = 0, total: int = 0) -> None:
        """One more heartbeat, with how far the run is."""

    @abstractmethod
    def end_run(self, state: str) -> None:
        """Give up all of this runner's claims and enter the state in which it ended."""

    @abstractmethod
    def failed(self, digest: str, label: str, error: str) -> None:
        """Enter a step's failure with the error's text."""

    @abstractmethod
    def snapshot(self) -> Snapshot:
        """Claims of runners that may live, the last runs, and the last failures."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is open."""


def seen_run(run: dict[str, Any]) -> dict[str, Any]:
    """A run as a snapshot tells it: `killed` where its process is surely gone."""
    return run | {"state": "killed"} if run["state"] == "running" and is_dead(run["runner"]) else run


def seen_runs(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All runs that may be running, and of the others the last ones, the last begun first."""
    ended = [run["runner"] for run in runs if run["state"] != "running"][:RUNS]
    return [run for run in runs if run["state"] == "running" or run["runner"] in ended]


def seen_claims(claims: list[tuple[str, str, str, float]], runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Claims (digest, runner, label, time) of runners that are not known to be gone or to have ended, the oldest first."""
    now, ended = time.time(), {r["runner"] for r in runs if r["state"] != "running"}
    live = sorted((at, digest, runner, label) for digest, runner, label, at in claims if runner not in ended and not is_dead(runner))
    return [
        {"digest": digest, "runner": runner, "label": label, "running_s": round(max(0.0, now - at), 1)} for at, digest, runner, label in live
    ]
