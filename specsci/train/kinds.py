"""Kinds of steps that train."""

from __future__ import annotations

from specsci.core.kinds import TORCH, Rows, StepKind

CURVE = Rows(
    "curve.parquet",
    "training",
    'record.kind, record.label, r."update", r.tokens, r.loss, r.learning_rate',
    (("kind", "kind"), ("label", "label")),
)


def _stage(name: str, action: str) -> StepKind:
    return StepKind(name, action, needs=frozenset({TORCH}), rows=CURVE, trains=True, holds_model=True, timed=True)


MIDTRAIN = _stage("midtrain", "specsci.train.steps:run_midtrain")
ALIGN = _stage("align", "specsci.train.steps:run_align")
KINDS = (MIDTRAIN, ALIGN)
