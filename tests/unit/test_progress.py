"""What a run shows: names are text, the view cannot end a run, and a time that is left is one that was measured."""

from __future__ import annotations

import io
import random
import re
import threading

import pytest
from rich.console import Console

from specsci.core.step import Step
from specsci.execute.eta import Clock, duration
from specsci.execute.live import Guarded, Lines, Notes, Quiet, Terminal

NAMES = ["[/b]", "[link=http://x]y[/link]", "[bold red]x", "a\x1b]0;pwn\x07b", "\x9b2J", "[", "\\[/b]", "\u202eabc", "a\rb"]
ALLOWED = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
"""What rich itself writes to move the cursor and to colour."""


def step(kind: str, number: int, label: str = "", **cost: float) -> Step:
    return Step(kind, {"n": number}, label=label or f"{kind} {number}", cost=cost)


def terminal(missing: dict[str, Step]) -> tuple[Terminal, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, legacy_windows=False)
    return Terminal(console, missing), out


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_as_it_is_and_draws_nothing(name) -> None:
    steps = {s.digest: s for s in (step("base", 1, f"base {name}"), step("base", 2, f"base {name}"))}
    view, out = terminal(steps)
    thrown = []
    before, threading.excepthook = threading.excepthook, lambda args: thrown.append(args.exc_value)
    try:
        view.start(2, 0, 1)
        for s in steps.values():
            view.started(s)
            view.tick(s, 1, 2)
            view.live.refresh()
            view.ended(s, "failed", 0.1, f"error {name}")
        view.note(name)
        view.stop()
    finally:
        threading.excepthook = before
    assert thrown == []
    text = ALLOWED.sub("", out.getvalue())
    assert "\x1b" not in text and "\x07" not in text and "\x9b" not in text and "\u202e" not in text
    if name.isprintable():
        assert f"base {name} 1/2" in text and f"error {name}" in text


@pytest.mark.parametrize("name", NAMES)
def test_plain_lines_spell_control_characters_out(name) -> None:
    one, out = step("base", 1, name), io.StringIO()
    for lines in (Lines(out, {one.digest: one}), Notes(out)):
        lines.start(1, 0, 1)
        lines.note(name)
        lines.ended(one, "failed", 1.0, name)
        lines.ended(one, "done", 1.0, "")
    assert not set("\x1b\x07\x9b\u202e\r") & set(out.getvalue())


class Broken(Quiet):
    def __init__(self, method: str) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("[/b] \x1b]0;x")

        setattr(self, method, fail)


@pytest.mark.parametrize("method", ["start", "phase", "started", "tick", "ended", "note", "stop"])
def test_a_view_that_breaks_never_ends_a_run_and_says_so_once(method) -> None:
    out, one = io.StringIO(), step("base", 1)
    view = Guarded(Broken(method), out)
    for _ in range(2):
        view.start(1, 0, 1)
        view.phase("x")
        view.started(one)
        view.tick(one, 1, 2)
        view.ended(one, "done", 1.0, "")
        view.note("x")
        view.stop()
    assert out.getvalue().count("the progress view broke (RuntimeError") == 1 and "\x1b" not in out.getvalue()


def test_a_closed_stream_under_a_broken_view_is_no_error() -> None:
    out = io.StringIO()
    out.close()
    Guarded(Broken("note"), out).note("x")


def run_of(sizes: dict[str, tuple[int, float, float]], first_s: float, workers: int = 2):
    """Steps by kind (number, planned seconds, true seconds); the first of each worker loads libraries `first_s` longer."""
    draw = random.Random(1)
    steps, true = [], {}
    for kind, (count, planned, really) in sizes.items():
        for number in range(count):
            s = step(kind, number, core_seconds=planned, **({"flop": planned} if kind in ("midtrain", "align") else {}))
            steps.append(s)
            true[s.digest] = really * draw.uniform(0.8, 1.2)
    for s in steps[:workers]:
        true[s.digest] += first_s
    clock = Clock({s.digest: s for s in steps}, workers)
    said = []
    for at, s in enumerate(steps):
        clock.ended(s, true[s.digest])
        left = sum(true[x.digest] for x in steps[at + 1 :]) / workers
        said.append((clock.left_s, left))
    return said


def test_no_time_is_said_before_it_means_something_and_then_it_is_about_true() -> None:
    cheese = {"base": (4, 0.05, 0.2), "corpus": (12, 0.4, 0.3), "midtrain": (8, 0.5, 6.0), "align": (24, 0.2, 2.0), "score": (140, 0.08, 0.5)}  # fmt: skip
    said = run_of(cheese, first_s=35.0)
    assert all(estimate is None for estimate, _ in said[:3]), "loading torch says nothing about the run"
    told = [(estimate, left) for estimate, left in said if estimate is not None]
    assert len(told) > len(said) / 2
    assert all(estimate <= 3 * left + 5 for estimate, left in told), "never hours for minutes"
    assert all(estimate >= left / 3 - 5 for estimate, left in told), "never seconds for minutes"
    for estimate, left in told[-150:]:
        assert estimate == pytest.approx(left, rel=0.3, abs=1.0)


def test_a_run_whose_long_steps_are_still_to_come_says_nothing() -> None:
    said = run_of({"corpus": (50, 0.4, 0.3), "midtrain": (5, 5000.0, 9000.0)}, first_s=0.0)
    assert all(estimate is None for estimate, _ in said[:50])
    assert said[52][0] == pytest.approx(said[52][1], rel=0.3)


def test_lines_have_the_time_of_day_and_no_first_guess() -> None:
    steps = {s.digest: s for s in (step("score", n, core_seconds=0.08) for n in range(20))}
    out = io.StringIO()
    lines = Lines(out, steps)
    lines.start(20, 0, 2)
    lines.phase("starting workers: loading torch")
    lines.last = 0.0
    lines.ended(next(iter(steps.values())), "done", 36.0, "")
    for s in list(steps.values())[1:]:
        lines.ended(s, "done", 0.5, "")
    found = out.getvalue().splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in found)
    assert found[1].endswith("starting workers: loading torch") and "left" not in found[2] and "left" not in found[-1]


def test_a_long_step_is_heard_of(monkeypatch) -> None:
    one, out = step("midtrain", 1, "midtrain rules", core_seconds=1e5, flop=1e9), io.StringIO()
    lines = Lines(out, {one.digest: one})
    lines.start(1, 0, 1)
    lines.tick(one, 5, 100)
    lines.last -= 31
    lines.tick(one, 10, 100)
    lines.tick(one, 11, 100)
    assert out.getvalue().count("running: midtrain rules") == 1 and "10/100 updates" in out.getvalue()


def test_durations() -> None:
    assert [duration(s) for s in (0.2, 5, 89, 90, 5399, 5400)] == ["1 s", "5 s", "89 s", "2 min", "90 min", "1.5 h"]
