"""Progress of a run: a live view on a terminal, plain lines elsewhere, or nothing (`--json`)."""

from __future__ import annotations

import time
from typing import IO

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from specsci.plan.step import Step

LINE_EVERY_S = 5.0


class Quiet:
    """Shows nothing."""

    def start(self, total: int, reused: int, workers: int) -> None:
        """Nothing is shown."""

    def started(self, step: Step) -> None:
        """Nothing is shown."""

    def tick(self, step: Step, done: int, total: int) -> None:
        """Nothing is shown."""

    def ended(self, step: Step, state: str, seconds: float, error: str) -> None:
        """Nothing is shown."""

    def note(self, text: str) -> None:
        """Nothing is shown."""

    def stop(self) -> None:
        """Nothing is shown."""


class Notes(Quiet):
    """Only what a reader of the JSON document would miss: notes, such as a corrupt artefact's name."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream

    def note(self, text: str) -> None:
        self.stream.write(text + "\n")
        self.stream.flush()


class _Clock:
    """Estimates the time left from the plan's step costs, corrected by what steps really took."""

    def __init__(self, steps: dict[str, Step], workers: int) -> None:
        self.left = sum(s.cost.get("seconds", 0.05) for s in steps.values())
        self.estimated = self.real = 1e-9
        self.workers = max(1, workers)

    def ended(self, step: Step, seconds: float) -> None:
        cost = step.cost.get("seconds", 0.05)
        self.left -= cost
        self.estimated += cost
        self.real += seconds

    @property
    def eta_s(self) -> float:
        return max(0.0, self.left) * (self.real / self.estimated if self.real > 1 else 1.0) / self.workers


class Lines(Notes):
    """One line at most every few seconds, and one for every failure."""

    def __init__(self, stream: IO[str], missing: dict[str, Step]) -> None:
        super().__init__(stream)
        self.missing = missing

    def start(self, total: int, reused: int, workers: int) -> None:
        self.total, self.done, self.last = total, reused, 0.0
        self.clock = _Clock(self.missing, workers)
        self.note(f"{total} steps: {reused} reused, {total - reused} to run on {workers} worker(s)")

    def ended(self, step: Step, state: str, seconds: float, error: str) -> None:
        if state in ("failed", "refused", "died"):
            self.note(f"{state}: {step.label} [{step.digest}]\n{error}")
            return
        if state != "done":
            return
        self.done += 1
        self.clock.ended(step, seconds)
        now = time.monotonic()
        if now - self.last >= LINE_EVERY_S or self.done == self.total:
            self.last = now
            self.note(f"{self.done}/{self.total} steps, about {_duration(self.clock.eta_s)} left; last: {step.label}")


class Terminal(Quiet):
    """A progress bar over the run, and one line for every running step."""

    def __init__(self, console: Console, missing: dict[str, Step]) -> None:
        self.console, self.missing = console, missing
        self.running: dict[str, tuple[Step, int, int]] = {}

    def start(self, total: int, reused: int, workers: int) -> None:
        self.clock = _Clock(self.missing, workers)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[eta]}"),
            console=self.console,
        )
        self.task: TaskID = self.bar.add_task("steps", total=total, completed=reused, eta="")
        self.live = Live(self._view(), console=self.console, refresh_per_second=4, transient=True)
        self.live.start()

    def started(self, step: Step) -> None:
        self.running[step.digest] = (step, 0, 0)
        self._refresh()

    def tick(self, step: Step, done: int, total: int) -> None:
        self.running[step.digest] = (step, done, total)
        self._refresh()

    def ended(self, step: Step, state: str, seconds: float, error: str) -> None:
        self.running.pop(step.digest, None)
        if state == "done":
            self.clock.ended(step, seconds)
            self.bar.update(self.task, advance=1, eta=f"about {_duration(self.clock.eta_s)} left")
        elif state in ("failed", "refused", "died"):
            self.console.print(f"{state}: {step.label} [{step.digest}]\n{error}", markup=False, highlight=False)
        self._refresh()

    def note(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False)

    def stop(self) -> None:
        if hasattr(self, "live"):
            self.live.stop()

    def _refresh(self) -> None:
        self.live.update(self._view())

    def _view(self) -> Table:
        grid = Table.grid()
        grid.add_row(self.bar)
        for step, done, total in self.running.values():
            share = f" {done}/{total}" if total else ""
            grid.add_row(f"  {step.label}{share}")
        return grid


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
