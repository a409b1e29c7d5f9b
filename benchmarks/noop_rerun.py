"""The same command again on a finished study, beside snakemake and DVC on the same graph of finished steps."""

from __future__ import annotations

import json

from benchmarks.common import Options, Result, Row, Timing, best_process, process, scratch, specsci
from benchmarks.peers import VERSIONS, dvc_finished, installed, needs_of, snakemake_finished
from benchmarks.synthetic import fill, planned
from specsci.store.artifact import Store

REPLICATES, GOAL, GOAL_S = 4, 10.0, 1.0
DVC_ENV = {"DVC_NO_ANALYTICS": "1"}


def run(options: Options) -> Result:
    bin_ = installed()
    with scratch() as folder:
        path, plan = planned(folder, REPLICATES)
        fill(Store(folder / "store"), plan)
        command = specsci("study", "run", path, "--store", folder / "store", "--json")
        process(command)
        ours = best_process(command, repeats=3)
        report = json.loads(ours.out)
        if report["executed"] or report["reused"] != len(plan.steps):
            raise RuntimeError(f"the re-run was no no-op: {report}")
        needs = needs_of(plan)
        workflow = snakemake_finished(bin_, needs)
        snakemake = best_process([str(bin_ / "snakemake"), "--cores", "1"], 3, cwd=workflow)
        repository = dvc_finished(bin_, needs, folder / "dvc")
        repro = [str(bin_ / "dvc"), "repro"]
        process(repro, cwd=repository, env=DVC_ENV)
        dvc = process(repro, cwd=repository, env=DVC_ENV)
        if "Data and pipelines are up to date" not in dvc.out or "Running stage" in dvc.out:
            raise RuntimeError(f"dvc had something to do: {dvc.out[-500:]}")
    what = f"finished study of {len(plan.steps):,} steps, run again"
    rows = [Row(what, str(ours), f"< {GOAL_S:.0f} s CPU", ours.cpu_s < GOAL_S)]
    for name, peer in (("snakemake", snakemake), ("dvc", dvc)):
        rows.append(_against(what, name, ours, peer))
    return Result(
        rows,
        [
            "Whole processes with nothing to do; the ratio is of CPU seconds.",
            "Ours holds size and times of every file that its last run read, and of every file of every artefact, against what they",
            "are; where one differs it reads, plans and looks at every record (1.0 s).",
            "The peers have the same graph, one small file a step; snakemake ran it once itself, DVC's lock file was written",
            "by the benchmark and a first `dvc repro` filled its state. Ours and snakemake: least CPU of three; DVC once.",
        ],
    )


def _against(what: str, name: str, ours: Timing, peer: Timing) -> Row:
    ratio = peer.cpu_s / ours.cpu_s
    shown = f"{name} {VERSIONS[name]}: {peer}"
    return Row(what, str(ours), f"{GOAL:.0f} times faster", ratio >= GOAL, shown, f"{ratio:.1f} times faster")
