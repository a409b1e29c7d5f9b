"""What a run reports, and where its progress goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from specsci.core.step import Step


@dataclass
class RunReport:
    """Counts of steps, the failures, and where the time went (seconds summed over workers)."""

    executed: int = 0
    reused: int = 0
    failed: int = 0
    blocked: int = 0
    refused: int = 0
    repaired: int = 0
    interrupted: bool = False
    wall_s: float = 0.0
    step_s: float = 0.0
    busy_s: float = 0.0
    busy_by_kind_s: dict[str, float] = field(default_factory=dict)
    errors: list[dict[str, str]] = field(default_factory=list)
    waiting: list[dict[str, str]] = field(default_factory=list)
    """Steps whose work is under way elsewhere, such as a provider's batches: the same command collects it."""
    left_out: list[dict[str, str]] = field(default_factory=list)
    """What of the store is damaged and not in the results: other studies' imports, claims, locks."""

    @property
    def exit_code(self) -> int:
        """0 done, 1 a step failed, 3 a gate refused, 4 interrupted, or not finished because others are at work."""
        if self.interrupted:
            return 4
        if self.failed:
            return 1
        return 3 if self.refused else 4 if self.waiting else 0

    def add(self, other: RunReport) -> None:
        """Add what another run, or a further pass of this one, did."""
        for name in ("executed", "reused", "failed", "blocked", "refused", "repaired", "wall_s", "step_s", "busy_s"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for kind, seconds in other.busy_by_kind_s.items():
            self.busy_by_kind_s[kind] = self.busy_by_kind_s.get(kind, 0.0) + seconds
        self.interrupted = self.interrupted or other.interrupted
        self.errors += other.errors
        self.waiting += other.waiting

    def as_json(self) -> dict[str, Any]:
        """The report as plain values, seconds rounded."""
        return {
            "executed": self.executed,
            "reused": self.reused,
            "failed": self.failed,
            "blocked": self.blocked,
            "refused": self.refused,
            "repaired": self.repaired,
            "interrupted": self.interrupted,
            "wall_s": round(self.wall_s, 2),
            "step_s": round(self.step_s, 2),
            "busy_s": round(self.busy_s, 2),
            "busy_by_kind_s": {k: round(v, 2) for k, v in sorted(self.busy_by_kind_s.items())},
            "errors": self.errors,
            "waiting": self.waiting,
            "left_out": self.left_out,
        }


class Display(Protocol):
    """Where progress goes: a live terminal view, or plain lines. `phase` is what the run does outside of steps."""

    def start(self, total: int, reused: int, workers: int) -> None:
        """The run begins: steps in all, steps that are done already, and workers."""

    def phase(self, text: str) -> None:
        """The run does something outside of steps."""

    def started(self, step: Step) -> None:
        """A step was given to a worker."""

    def tick(self, step: Step, done: int, total: int) -> None:
        """A step is so far."""

    def ended(self, step: Step, state: str, seconds: float, error: str) -> None:
        """A step ended in a state, such as `done` or `failed`."""

    def note(self, text: str) -> None:
        """Something that a reader should know."""

    def stop(self) -> None:
        """The run is over."""
