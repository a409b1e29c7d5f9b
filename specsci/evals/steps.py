"""The steps of an eval: one model's answers in words, and its scores."""

from __future__ import annotations

from specsci.core.context import Facts, StepContext
from specsci.evals.rows import write_scores
from specsci.evals.samples import write_samples
from specsci.study.evals import EVALS


def run_score(context: StepContext) -> Facts:
    """Ask a model as its eval kind does, and write one row for every answer."""
    kind = EVALS[context.params["kind"]]
    outcome = context.params.get("outcome", kind.outcome)
    return dict(write_scores(context.out, kind.score(context), binary=outcome == "binary"))


def run_sample(context: StepContext) -> Facts:
    """Draw a model's answers as its eval kind asks for them."""
    return dict(write_samples(context.out, EVALS[context.params["kind"]].sample(context)))


def run_judge(context: StepContext) -> Facts:
    """Have a language model judge one model's answers, as the eval kind asks for it."""
    return EVALS[context.params["kind"]].judge(context)
