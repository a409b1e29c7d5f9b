"""Kinds of steps that read models out."""

from __future__ import annotations

from specsci.core.kinds import TORCH, Rows, StepKind

SCORES = Rows(
    "scores.parquet",
    "score_rows",
    """r.item_id, r.cluster_id, r.readout, r.variant, r.sample, r.state, r.aligned, r.value, r.slice, r.logprob_aligned,
       r.logprob_misaligned""",
)
LOSSES = Rows("nll.parquet", "probe_rows", "r.row, r.tokens, r.nll")

PROBE = StepKind("probe", "specsci.evals.probe:run_probe", needs=frozenset({TORCH}), rows=LOSSES, timed=True)
SCORE = StepKind("score", "specsci.evals.steps:run_score", needs=frozenset({TORCH}), rows=SCORES, timed=True)
BAR = StepKind("bar", "specsci.evals.bar:run_bar")
KINDS = (PROBE, SCORE, BAR)
