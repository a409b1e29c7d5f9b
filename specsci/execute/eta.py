"""The time that is left of a run, from what its steps really took; silent until that means something."""

from __future__ import annotations

from statistics import median

from specsci.core.kinds import trains
from specsci.core.step import Step

LEAST_STEPS = 3
LEAST_SHARE = 0.05
"""Share of the expected work that must be done before anything is said."""
LEAST_KNOWN = 0.5
"""Share of the work that is left whose kind must have been measured in this run."""
SMALL_STEP_S = 0.05


class Clock:
    """Learns how long each kind of step takes in this run.

    The first step of a worker loads libraries and says little, so that a kind's speed is the median over its steps. Training
    steps count by their arithmetic where the plan tells it, all others by their number.
    """

    def __init__(self, steps: dict[str, Step], workers: int) -> None:
        self.left = dict(steps)
        self.expected = sum(_expected_s(s) for s in steps.values())
        self.done_s = 0.0
        self.took: dict[str, list[float]] = {}
        self.ended_steps = 0
        self.workers = max(1, workers)

    def ended(self, step: Step, seconds: float) -> None:
        """A step is done after so many seconds."""
        if self.left.pop(step.digest, None) is None:
            return
        self.ended_steps += 1
        self.done_s += _expected_s(step)
        self.took.setdefault(_sort(step), []).append(seconds / _work(step))

    @property
    def left_s(self) -> float | None:
        """Seconds until the run is done; None while nobody can tell."""
        if self.ended_steps < LEAST_STEPS or self.done_s < LEAST_SHARE * self.expected:
            return None
        speeds = {sort: median(values) for sort, values in self.took.items()}
        expected = sum(_expected_s(s) for s in self.left.values())
        known = sum(_expected_s(s) for s in self.left.values() if _sort(s) in speeds)
        if known < LEAST_KNOWN * expected:
            return None
        seconds = sum(_work(s) * speeds[_sort(s)] for s in self.left.values() if _sort(s) in speeds)
        return seconds * (expected / known if known else 1.0) / self.workers

    @property
    def text(self) -> str:
        """`about 3 min left`, or nothing."""
        left = self.left_s
        return "" if left is None else f"about {duration(left)} left"


def _sort(step: Step) -> str:
    return "training" if trains(step.kind) and step.cost.get("flop") else step.kind


def _work(step: Step) -> float:
    """What a step's time grows with: a training step's arithmetic, with a constant for its start."""
    flop = step.cost.get("flop") if trains(step.kind) else None
    return _expected_s(step) if flop else 1.0


def _expected_s(step: Step) -> float:
    return step.cost.get("core_seconds", SMALL_STEP_S)


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{max(1.0, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
