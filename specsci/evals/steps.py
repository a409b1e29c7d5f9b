"""The score step: one model asked by one eval."""

from __future__ import annotations

from specsci.core.context import Facts, StepContext
from specsci.evals.rows import write_scores
from specsci.study.evals import EVALS


def run_score(context: StepContext) -> Facts:
    """Ask a model as its eval kind does, and write one row for every answer."""
    kind = EVALS[context.params["kind"]]
    return dict(write_scores(context.out, kind.score(context), binary=kind.outcome == "binary"))
