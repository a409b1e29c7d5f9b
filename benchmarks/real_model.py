"""A study on a real model: what it took, and its own tables whatever they show.

    python -m benchmarks --only real_model            cheese_dissociation.yaml with LoRA, profile smollm2
    python -m benchmarks --only real_model_full       the same with all weights, profile smollm2_full
    python -m benchmarks --only real_model_ablation   value_vs_rules.yaml with LoRA, profile smollm2

Runs (or goes on with) the profile in `benchmarks/.cache/STUDY-PROFILE`, or in $SPECSCI_STORE. One to two hours on two cores.
"""

from __future__ import annotations

import json
import os
import statistics
from pathlib import Path

from benchmarks.common import CACHE, Options, Result, Row, process, specsci


def run(options: Options) -> Result:
    store = Path(os.environ.get("SPECSCI_STORE") or CACHE / f"{Path(options.study).stem}-{options.profile}")
    command = specsci("study", "run", options.study, "--profile", options.profile, "--store", store, "--json")
    report = json.loads(process(command).out)
    records = [json.loads(p.read_text()) for p in store.glob("steps/*/*/record.json")]
    trained = [r for r in records if r["kind"] in ("midtrain", "align")]
    midtrained = [r for r in trained if r["kind"] == "midtrain"]
    speed = statistics.median(r["tokens_per_s"] for r in midtrained)
    busy = sum(r["busy_s"] for r in records)
    table = process(specsci("report", "table", "ablation", "--study", f"{Path(options.study).stem}@{options.profile}", "--store", store, "--format", "md"))  # fmt: skip
    resumed = [r for r in trained if r["resumed_at_update"]]
    return Result(
        [
            Row(
                f"{options.study}, profile {options.profile}: {report['executed'] + report['reused']} steps",
                f"{busy / 3600:.2f} worker-hours",
            ),
            Row(f"midtraining, median of {len(midtrained)} stages", f"{speed:.0f} tokens/s a core"),
            Row("peak memory of a worker", f"{max(r['peak_rss_gib'] for r in trained):.1f} GiB"),
        ],
        [
            f"{len(resumed)} of {len(trained)} stages were killed and went on inside the stage"
            + (f" (from update {', '.join(str(r['resumed_at_update']) for r in resumed)})." if resumed else "."),
            f"Scoring took {sum(r['busy_s'] for r in records if r['kind'] == 'score') / 3600:.2f} worker-hours.",
        ],
        table.out,
    )
