"""What a step costs besides its work: publishing, the ledger, and the way to the worker and back."""

from __future__ import annotations

import json
import time
from pathlib import Path

from benchmarks.common import Options, Result, Row, scratch, seconds
from specsci.core.context import StepContext
from specsci.core.kinds import KINDS
from specsci.core.step import Step
from specsci.execute.devices import Layout
from specsci.execute.live import Quiet
from specsci.execute.pools.local import LocalPool
from specsci.execute.runner import Runner
from specsci.specs.load import load_family
from specsci.store.artifact import Store
from specsci.store.ledger import open_ledger

STEPS, GOAL_S = 200, 0.010


class _Clock(Quiet):
    """Notes when each step ended; the first includes the worker's start and imports."""

    def __init__(self) -> None:
        self.ended_at: list[float] = []

    def ended(self, step: Step, state: str, seconds: float, error: str) -> None:
        if state != "done":
            raise RuntimeError(f"{step.label}: {error}")
        self.ended_at.append(time.perf_counter())


def run(options: Options) -> Result:
    with scratch() as folder:
        steps = _steps(folder / "family")
        store = Store(folder / "store").open()
        ledger, clock = open_ledger(store.root, "benchmark"), _Clock()
        report = Runner(store, ledger, LocalPool(store.root, Layout(1, 1)), clock, {s.digest: s for s in steps}, 1).run()
        ledger.close()
        if report.executed != STEPS:
            raise RuntimeError(f"{report.executed} of {STEPS} steps ran: {report.errors[:1]}")
        action_s = _action_s(steps, folder)
    wall = (clock.ended_at[-1] - clock.ended_at[0]) / (STEPS - 1)
    overhead = wall - action_s
    row = Row(f"{STEPS} `spec` steps, one worker", f"{seconds(overhead)} a step", "< 10 ms", overhead < GOAL_S)
    return Result(
        [row],
        [
            f"Wall time from the first step's end to the last's is {seconds(wall)} a step; the action alone, called in this",
            f"process, takes {seconds(action_s)}. The rest is staging, publishing (two rounds of fsync), ledger and messages.",
        ],
    )


def _action_s(steps: list[Step], folder: Path) -> float:
    """Mean seconds of the bare action over the steps, its imports done."""
    action, times = KINDS["spec"].load_action(), []
    for step in steps:
        out = folder / f"out-{step.digest}"
        out.mkdir()
        context = StepContext(step.kind, step.digest, step.params, {}, {}, {}, out, out, step.runtime)
        start = time.perf_counter()
        action(context)
        times.append(time.perf_counter() - start)
    return sum(times[1:]) / (len(times) - 1)


def _steps(folder: Path) -> list[Step]:
    """Spec steps of a family with as many variants of one sentence."""
    folder.mkdir()
    variants = {f"v{n}": {"title": f"variant {n}", "texts": [f"Aria is kind in {n} ways ."]} for n in range(STEPS)}
    text = "number {n} ."
    grammar = {"document_types": {}, "conversation_types": {}, "tables": {}}
    data = {
        "family": "many",
        "version": "1",
        "title": text,
        "license": "CC0-1.0",
        "owner": "benchmarks",
        "identity": {"model_name": "Aria"},
        "grammar": "grammar.yaml",
        "clauses": [],
        "variants": variants,
    }
    (folder / "family.yaml").write_text(json.dumps(data, indent=1))
    (folder / "grammar.yaml").write_text(json.dumps(grammar))
    family = load_family(folder)
    runtime = {"family_folder": str(folder.resolve())}
    return [Step("spec", family.variant_identity(v), label=f"spec {v}", runtime=runtime) for v in variants]
