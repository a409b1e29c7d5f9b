"""Where the settings of trials come from: the same Sobol points for every arm, or a TPE sampler for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from specsci.core.extras import need
from specsci.search.space import Axis, Config, sobol
from specsci.search.trials import Result
from specsci.study.tuning import Tuning

ADAPTIVE_FROM = 25
"""Fewer trials are too few for a sampler that learns: 10 of them would be random, and arms would differ by what it learned."""
TPE: dict[str, Any] = {
    "n_startup_trials": 10, "n_ei_candidates": 24, "prior_weight": 1.0, "consider_magic_clip": True, "consider_endpoints": False,
    "multivariate": True, "group": False, "warn_independent_sampling": True, "constant_liar": False,
}  # fmt: skip
"""Every argument of the sampler but its seed, so that no default of another version of Optuna changes what is tried."""
Settle = Callable[[int, dict[str, Config]], list[Result]]
"""Runs one trial of each arm, and says what came out."""


def is_adaptive(tuning: Tuning) -> bool:
    """Whether each arm has a sampler of its own that learns from its trials."""
    return tuning.trials >= ADAPTIVE_FROM


def described(tuning: Tuning) -> dict[str, Any]:
    """The sampler with all its arguments, for the record."""
    if not is_adaptive(tuning):
        return {"sampler": "scrambled Sobol points, the same for every arm", "seed": tuning.seed}
    import optuna

    return {"sampler": "TPE, one for each arm", "optuna": optuna.__version__, "seed": tuning.seed, **TPE}


def paired(axes: list[Axis], tuning: Tuning) -> list[Config]:
    """The settings of all arms, where no sampler learns."""
    return sobol(axes, tuning.trials, tuning.seed)


def adaptive(axes: list[Axis], tuning: Tuning, arms: Sequence[str], *, maximise: bool, settle: Settle) -> list[Result]:
    """Trials one after another, one of each arm at a time; the samplers see what came out before they say the next ones.

    The same seed and the same outcomes give the same settings: an interrupted search replays what the store holds, and goes on.
    """
    need("optuna", "a search with 25 trials and more")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    spaces = {axis.key: _distribution(axis) for axis in axes}
    studies = {
        arm: optuna.create_study(
            direction="maximize" if maximise else "minimize",
            sampler=optuna.samplers.TPESampler(seed=tuning.seed, constraints_func=_excess, **TPE),
        )
        for arm in arms
    }
    found: list[Result] = []
    for number in range(tuning.trials):
        asked = {arm: study.ask(fixed_distributions=spaces) for arm, study in studies.items()}
        configs: dict[str, Config] = {arm: tuple((a.key, _shown(a, trial.params[a.key])) for a in axes) for arm, trial in asked.items()}
        results = settle(number, configs)
        for result in results:
            trial = asked[result.arm]
            trial.set_user_attr("excess", 0.0 if result.feasible else 1.0)
            if result.objective is None:
                studies[result.arm].tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                studies[result.arm].tell(trial, result.objective)
        found += results
    return found


def _excess(trial: Any) -> tuple[float]:
    """Above 0 for a trial that broke the constraint."""
    return (float(trial.user_attrs.get("excess", 0.0)),)


def _shown(axis: Axis, value: float) -> float | int:
    """A value to six digits, as the study is given it."""
    return int(value) if axis.whole else min(axis.range.high, max(axis.range.low, float(f"{value:.6g}")))


def _distribution(axis: Axis) -> Any:
    import optuna

    log = axis.range.scale == "log"
    if axis.whole:
        return optuna.distributions.IntDistribution(int(axis.range.low), int(axis.range.high), log=log)
    return optuna.distributions.FloatDistribution(axis.range.low, axis.range.high, log=log)


def optuna_study(results: Sequence[Result], axes: list[Axis], arm: str, *, maximise: bool) -> Any:
    """An arm's trials as an Optuna study in memory, rebuilt from results: for Optuna's own plots and importances."""
    need("optuna", "an Optuna study")
    import optuna

    study = optuna.create_study(direction="maximize" if maximise else "minimize", study_name=arm)
    spaces = {axis.key: _distribution(axis) for axis in axes}
    for result in (r for r in results if r.arm == arm):
        state = optuna.trial.TrialState.FAIL if result.objective is None else optuna.trial.TrialState.COMPLETE
        facts = {"feasible": result.feasible, "tokens": result.tokens, "number": result.number}
        trial = optuna.trial.create_trial(
            state=state, value=result.objective, params=dict(result.config), distributions=spaces, user_attrs=facts
        )
        study.add_trial(trial)
    return study
