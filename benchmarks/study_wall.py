"""Wall time of a whole study in a fresh store, beside the training and scoring inside it."""

from __future__ import annotations

import json
import sys

from benchmarks.common import Options, Result, Row, best_process, process, scratch, specsci
from specsci.execute.devices import layout
from specsci.store.artifact import Store
from specsci.study.load import load_study

GOAL_RATIO = 1.2
WORK = ("midtrain", "align", "score")
IMPORTS = "import specsci.execute.worker, specsci.train.steps, specsci.evals.steps, specsci.corpus.steps"


def run(options: Options) -> Result:
    workers = layout(None, load_study(options.study).study.runtime.threads_per_worker).workers
    with scratch() as folder:
        whole = process(specsci("study", "run", options.study, "--store", folder, "--json"))
        report = json.loads(whole.out)
        trained = [r for kind in ("midtrain", "align") for r in Store(folder).records(kind)]
        train_s = sum(r.facts["train_s"] for r in trained)
    imports = best_process([sys.executable, "-c", IMPORTS], repeats=2)
    by_kind: dict[str, float] = report["busy_by_kind_s"]
    work_s = sum(by_kind.get(kind, 0.0) for kind in WORK)
    ratio, all_ratio = whole.wall_s * workers / work_s, whole.wall_s * workers / report["busy_s"]
    what = f"`study run {options.study}` in a fresh store: {report['executed']:,} steps on {workers} workers"
    row = Row(
        what,
        f"{whole.wall_s:.1f} s wall",
        f"<= {GOAL_RATIO}",
        ratio <= GOAL_RATIO,
        f"training and scoring steps: {work_s / workers:.1f} s a worker",
        f"{ratio:.2f}",
    )
    kinds = ", ".join(f"{kind} {seconds:.1f}" for kind, seconds in sorted(by_kind.items(), key=lambda k: -k[1]))
    notes = [
        f"The run itself says {report['wall_s']:.1f} s (without start, plan and results).",
        f"Wall over all steps' time: {all_ratio:.2f}. Busy seconds by kind: {kinds}.",
        f"{train_s:.1f} s of them are inside the trainer's loop.",
        f"Imports take {imports.wall_s:.1f} s in each of {workers} workers: {imports.wall_s / whole.wall_s:.0%} of the wall.",
    ]
    return Result([row], notes)
