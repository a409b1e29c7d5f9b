"""Load, plan and gates of a study with at least 2,000 scored cells."""

from __future__ import annotations

from benchmarks.common import Options, Result, Row, scratch, seconds, timed
from benchmarks.synthetic import CELLS_PER_REPLICATE, study_file
from specsci.plan.build import build_plan
from specsci.plan.gates import findings
from specsci.plan.plan import Plan
from specsci.study.load import load_study

CELLS, GOAL_S = 2_000, 1.0


def run(options: Options) -> Result:
    with scratch() as folder:
        path = study_file(folder, replicates=-(-CELLS // CELLS_PER_REPLICATE))
        plans: list[Plan] = []

        def work() -> None:
            plan = build_plan(load_study(str(path)))
            findings(plan)
            plans.append(plan)

        took = timed(work, repeats=3)
    counts = f"{len(plans[0].scored):,} scored cells, {len(plans[0].steps):,} steps"
    row = Row(f"load, plan and gates: {counts}", str(took), f"< {GOAL_S:.0f} s", took.wall_s < GOAL_S)
    return Result([row], [f"`value_vs_rules.yaml` with more replicates; {seconds(took.wall_s)} is the best of three."])
