"""What a `tuning:` block names that is not there, or must not be."""

from __future__ import annotations

from collections.abc import Iterator

from specsci.core.errors import Problem
from specsci.study.places import Places
from specsci.study.schema import Study
from specsci.study.tuning import LOSS


def tuning_problems(study: Study, places: Places) -> Iterator[Problem]:
    """Arms, evals and base models that are not there; replicates of the study itself; an AFT budget that nobody trains at."""
    tuning = study.tuning
    if tuning is None:
        return
    for number, arm in enumerate(tuning.arms):
        if arm not in study.arms:
            yield places.unknown(("tuning", "arms", number), "arm", arm, study.arms)
    if tuning.objective != LOSS and tuning.objective not in study.evals:
        yield places.unknown(("tuning", "objective"), "eval", tuning.objective, [LOSS, *study.evals])
    if tuning.constraint and tuning.constraint.eval not in study.evals:
        yield places.unknown(("tuning", "constraint", "eval"), "eval", tuning.constraint.eval, study.evals)
    if study.align and tuning.budget_tokens is not None and tuning.budget_tokens not in study.align.budgets_tokens:
        budgets = ", ".join(f"{b:,}" for b in study.align.budgets_tokens)
        yield places.problem(("tuning", "budget_tokens"), f"{tuning.budget_tokens:,} is no AFT budget of the study", f"it has {budgets}")
    reported = {r.seed for r in study.replicates}
    for number, replicate in enumerate(tuning.replicates):
        if replicate.base_model not in study.base_models:
            yield places.unknown(("tuning", "replicates", number, "base_model"), "base model", replicate.base_model, study.base_models)
        if replicate.seed in reported:
            hint = "take a seed that no replicate of the study has: what is chosen on a seed must not be reported on it"
            yield places.problem(("tuning", "replicates", number, "seed"), f"seed {replicate.seed} is one of the study's own", hint)
