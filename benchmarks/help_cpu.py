"""CPU seconds of `specsci --help`: what every use of the command line pays."""

from __future__ import annotations

import sys

from benchmarks.common import Options, Result, Row, best_process, seconds, specsci

GOAL_S = 0.2


def run(options: Options) -> Result:
    ours = best_process(specsci("--help"), repeats=5)
    python = best_process([sys.executable, "-c", "pass"], repeats=5)
    row = Row(
        "CPU of `specsci --help`",
        str(ours),
        f"< {GOAL_S} s CPU",
        ours.cpu_s < GOAL_S,
        f"bare Python: {seconds(python.cpu_s)} CPU",
        f"{ours.cpu_s / python.cpu_s:.1f}",
    )
    return Result([row], ["Least CPU of five processes."])
