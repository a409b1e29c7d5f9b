"""Kinds of steps that read models out."""

from __future__ import annotations

from specsci.core.kinds import TORCH, Rows, StepKind
from specsci.corpus.kinds import REQUESTS

SCORES = Rows(
    "scores.parquet",
    "score_rows",
    """r.item_id, r.cluster_id, r.readout, r.variant, r.sample, r.state, r.aligned, r.value, r.slice, r.logprob_aligned,
       r.logprob_misaligned, r.wire_digest""",
    later=("wire_digest",),
)
LOSSES = Rows("nll.parquet", "probe_rows", "r.row, r.tokens, r.nll")

SAMPLES = Rows(
    "samples.parquet",
    "sample_rows",
    "r.item_id, r.cluster_id, r.variant, r.sample, r.prompt, r.reply, r.state, r.input_tokens, r.output_tokens",
)

PROBE = StepKind("probe", "specsci.evals.probe:run_probe", needs=frozenset({TORCH}), rows=LOSSES, timed=True)
SAMPLE = StepKind("sample", "specsci.evals.steps:run_sample", needs=frozenset({TORCH}), rows=SAMPLES, timed=True)
AGENT = StepKind(
    "agent", "specsci.evals.steps:run_sample", needs=frozenset({TORCH}), rows=SAMPLES, more_rows=(REQUESTS,), timed=True, asks=True, of_eval=True
)
SCORE = StepKind("score", "specsci.evals.steps:run_score", needs=frozenset({TORCH}), rows=SCORES, timed=True)
JUDGED = Rows(
    "judgements.parquet",
    "judgements",
    """r.item_id, r.cluster_id, r.variant, r.sample, r.readout, r.role, r.judge, r.state, r.score, r.expected, r.reason,
       r.request_digest""",
)
JUDGE = StepKind("judge", "specsci.evals.steps:run_judge", rows=REQUESTS, more_rows=(JUDGED,), labelled=True, asks=True, of_eval=True)
FRAME = StepKind("frame", "specsci.evals.harness:run_frame", holds_texts=True, labelled=True)
BAR = StepKind("bar", "specsci.evals.bar:run_bar")
KINDS = (PROBE, FRAME, SAMPLE, AGENT, JUDGE, SCORE, BAR)
