"""`python -m benchmarks`: measure, keep the numbers in results.json, and write RESULTS.md from them."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, replace
from importlib import import_module

from benchmarks.common import HERE, Options, load_average, machine
from benchmarks.render import render

NAMES = (
    "help_cpu",
    "plan_cells",
    "noop_rerun",
    "step_overhead",
    "results_rebuild",
    "ablation_query",
    "analysis_speed",
    "audit_leaks",
    "audit_texts",
    "requests",
    "packing_fill",
    "train_throughput",
    "study_wall",
)
LONG = ("forced_choice", "engine_adapters", "real_model", "real_model_full", "real_model_ablation", "gpu_training", "coverage")
"""Measured only when asked for by name: many minutes each, a model's folder, or a GPU."""
REAL = {
    "real_model": ("cheese_dissociation.yaml", "smollm2"),
    "real_model_full": ("cheese_dissociation.yaml", "smollm2_full"),
    "real_model_ablation": ("value_vs_rules.yaml", "smollm2"),
}
"""Benchmarks that run a study on a real model, with its profile."""
RESULTS = HERE / "results.json"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", choices=(*NAMES, *LONG), action="append", help="measure this one and keep the others' numbers"
    )
    parser.add_argument("--study", default=Options.study, help="the study that study_wall runs [%(default)s]")
    parser.add_argument("--full", action="store_true", help="study_wall runs value_vs_rules.yaml (tens of minutes)")
    given = parser.parse_args()
    options = Options("value_vs_rules.yaml" if given.full else given.study)
    found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    failed = []
    for name in given.only or NAMES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        load, start = load_average(), time.perf_counter()
        try:
            module = import_module(f"benchmarks.{'real_model' if name in REAL else name}")
            study, profile = REAL.get(name, (options.study, ""))
            result = module.run(replace(options, study=study, profile=profile))
        except Exception as error:  # noqa: BLE001 - one benchmark that cannot run leaves the others' numbers
            failed.append(name)
            print(f"{name} could not be measured: {error}", file=sys.stderr)
            continue
        found[name] = {
            "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "took_s": round(time.perf_counter() - start, 1),
            "load": load,
            "machine": machine(),
            **asdict(result),
        }
        RESULTS.write_text(json.dumps({n: found[n] for n in (*NAMES, *LONG) if n in found}, indent=1) + "\n")
        (HERE / "RESULTS.md").write_text(render(json.loads(RESULTS.read_text())))
        for row in result.rows:
            kept = {True: "kept", False: "MISSED", None: ""}[row.kept]
            print("  " + "; ".join(filter(None, (row.what, row.ours, row.peer, row.ratio, row.goal, kept))), file=sys.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
