"""Progress of a run: a live view on a terminal, plain lines elsewhere, or nothing (`--json`).

Names of steps are a user's: they are shown as text, never read as markup, and their control characters are spelt out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import IO, Any

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from specsci.core.step import Step
from specsci.core.terminal_text import visible
from specsci.execute.eta import Clock
from specsci.execute.report import Display

LINE_EVERY_S = 5.0
STEP_EVERY_S = 30.0
"""How often plain lines tell how far a long step is, where no step ended meanwhile."""
ENDED_BADLY = ("failed", "refused", "died")


class Quiet:
    """Shows nothing."""

    def start(self, total: int, reused: int, workers: int) -> None:
        """Nothing is shown."""

    def phase(self, text: str) -> None:
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

    @override
    def note(self, text: str) -> None:
        self.stream.write(visible(text) + "\n")
        self.stream.flush()


class Lines(Notes):
    """One line at most every few seconds, each with the time of day, and one for every failure."""

    def __init__(self, stream: IO[str], missing: dict[str, Step]) -> None:
        super().__init__(stream)
        self.missing = missing

    @override
    def start(self, total: int, reused: int, workers: int) -> None:
        self.total, self.done, self.last = total, reused, time.monotonic()
        self.clock = Clock(self.missing, workers)
        self.note(f"{total} steps: {reused} reused, {total - reused} to run on {workers} worker(s)")

    @override
    def phase(self, text: str) -> None:
        self.note(text)

    @override
    def note(self, text: str) -> None:
        super().note(f"{time.strftime('%H:%M:%S')} {text}")

    @override
    def tick(self, step: Step, done: int, total: int) -> None:
        if time.monotonic() - self.last >= STEP_EVERY_S:
            self.last = time.monotonic()
            self.note(f"{self.done}/{self.total} steps{self._left()}; running: {step.label}, {done}/{total} updates")

    @override
    def ended(self, step: Step, state: str, seconds: float, error: str) -> None:
        if state in ENDED_BADLY:
            self.note(f"{state}: {step.label} [{step.digest}]\n{error}")
            return
        if state != "done":
            return
        self.done += 1
        self.clock.ended(step, seconds)
        if time.monotonic() - self.last >= LINE_EVERY_S or self.done == self.total:
            self.last = time.monotonic()
            self.note(f"{self.done}/{self.total} steps{self._left()}; last: {step.label}")

    def _left(self) -> str:
        text = self.clock.text if self.done < self.total else ""
        return f", {text}" if text else ""


class Terminal(Quiet):
    """A progress bar over the run, and one line for every running step."""

    def __init__(self, console: Console, missing: dict[str, Step]) -> None:
        self.console, self.missing = console, missing
        self.running: dict[str, tuple[Step, int, int]] = {}
        self.doing = ""

    @override
    def start(self, total: int, reused: int, workers: int) -> None:
        self.clock = Clock(self.missing, workers)
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[eta]}", markup=False),
            console=self.console,
        )
        self.task: TaskID = self.bar.add_task("steps", total=total, completed=reused, eta="")
        self.live = Live(self._view(), console=self.console, refresh_per_second=4, transient=True)
        self.live.start()

    @override
    def phase(self, text: str) -> None:
        if not hasattr(self, "live") or not self.live.is_started:
            self.note(text)
            return
        self.doing = text
        self._refresh()

    @override
    def started(self, step: Step) -> None:
        self.running[step.digest] = (step, 0, 0)
        self._refresh()

    @override
    def tick(self, step: Step, done: int, total: int) -> None:
        self.doing = ""
        self.running[step.digest] = (step, done, total)
        self._refresh()

    @override
    def ended(self, step: Step, state: str, seconds: float, error: str) -> None:
        self.running.pop(step.digest, None)
        self.doing = ""
        if state == "done":
            self.clock.ended(step, seconds)
            self.bar.update(self.task, advance=1, eta=self.clock.text)
        elif state in ENDED_BADLY:
            self.note(f"{state}: {step.label} [{step.digest}]\n{error}")
        self._refresh()

    @override
    def note(self, text: str) -> None:
        self.console.print(Text(visible(text)))

    @override
    def stop(self) -> None:
        if hasattr(self, "live"):
            self.live.stop()

    def _refresh(self) -> None:
        self.live.update(self._view())

    def _view(self) -> Table:
        grid = Table.grid()
        grid.add_row(self.bar)
        if self.doing:
            grid.add_row(Text(f"  {visible(self.doing)}"))
        for step, done, total in self.running.values():
            share = f" {done}/{total}" if total else ""
            grid.add_row(Text(f"  {visible(step.label)}{share}"))
        return grid


class Guarded(Quiet):
    """A display that cannot end a run: the first time it raises, it says so once and shows nothing from then on."""

    def __init__(self, display: Display, stream: IO[str]) -> None:
        self.display: Display = display
        self.stream = stream

    def _do(self, show: Callable[..., None], *args: Any) -> None:
        try:
            show(*args)
        except Exception as error:  # noqa: BLE001 - whatever the view does, the run goes on
            broken, self.display = self.display, Quiet()
            self._tell(f"the progress view broke ({type(error).__name__}: {error}); the run goes on without it")
            self._restore(broken)

    def _restore(self, broken: Display) -> None:
        try:
            broken.stop()
        except Exception as error:  # noqa: BLE001 - it is broken, which was said
            self._tell(f"its terminal could not be restored either ({type(error).__name__})")

    def _tell(self, text: str) -> None:
        try:
            self.stream.write(visible(text) + "\n")
            self.stream.flush()
        except (OSError, ValueError):  # a full or closed stream: there is nobody to tell
            return

    @override
    def start(self, total: int, reused: int, workers: int) -> None:
        self._do(self.display.start, total, reused, workers)

    @override
    def phase(self, text: str) -> None:
        self._do(self.display.phase, text)

    @override
    def started(self, step: Step) -> None:
        self._do(self.display.started, step)

    @override
    def tick(self, step: Step, done: int, total: int) -> None:
        self._do(self.display.tick, step, done, total)

    @override
    def ended(self, step: Step, state: str, seconds: float, error: str) -> None:
        self._do(self.display.ended, step, state, seconds, error)

    @override
    def note(self, text: str) -> None:
        self._do(self.display.note, text)

    @override
    def stop(self) -> None:
        self._do(self.display.stop)
