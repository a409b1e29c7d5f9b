"""Problems of a study's contrasts: what they name, weigh and read must be there."""

from __future__ import annotations

from collections.abc import Iterator

from specsci.core.errors import Problem
from specsci.core.ids import is_safe_name
from specsci.core.levels import arm_of, condition_of, levels_of, tokens_of
from specsci.core.yaml_file import Path_
from specsci.study.arms import budgets_of, is_asked
from specsci.study.evals import EVALS
from specsci.study.parts import TokenEfficiency
from specsci.study.places import Places
from specsci.study.schema import MOST_WEIGHT, Study


def contrast_problems(study: Study, places: Places) -> Iterator[Problem]:
    """Of contrasts and token efficiency: names that refer to nothing, weights that say nothing, cells that are not scored."""
    budgets = [0, *(study.align.budgets_tokens if study.align else [])]
    names: set[str] = set()
    for number, contrast in enumerate(study.contrasts):
        at: Path_ = ("contrasts", number)
        if contrast.name in names or not is_safe_name(contrast.name):
            yield places.problem((*at, "name"), f"'{contrast.name}' is not a new, safe contrast name")
        names.add(contrast.name)
        if contrast.eval not in study.evals:
            yield places.unknown((*at, "eval"), "eval", contrast.eval, study.evals)
        elif contrast.scale != "rate" and EVALS[study.evals[contrast.eval].kind].outcome_of(study.evals[contrast.eval]) != "binary":
            what = f"answers of '{contrast.eval}' are values, which have no {contrast.scale} scale"
            yield places.problem((*at, "scale"), what, "write scale: rate (means of values)")
        for name in contrast.weights:
            if arm_of(name) not in study.arms:
                yield places.unknown((*at, "weights", name), "arm", arm_of(name), study.arms, key=True)
            elif contrast.eval in study.evals:
                yield from _level_problems(study, places, (*at, "weights", name), name, contrast.eval, contrast.budgets)
        largest = max(map(abs, contrast.weights.values()))
        if largest > MOST_WEIGHT:
            what = f"a weight of '{contrast.name}' is {largest:g}; they are at most {MOST_WEIGHT:g}"
            yield places.problem((*at, "weights"), what, "weigh one side 1, one -1")
        elif abs(sum(contrast.weights.values())) > 1e-9 * max(1.0, largest):
            yield places.problem((*at, "weights"), f"weights of '{contrast.name}' must sum to 0")
        elif not any(contrast.weights.values()):
            yield places.problem((*at, "weights"), f"weights of '{contrast.name}' are all 0", "weigh one side 1, one -1")
        plain = [arm_of(name) for name in contrast.weights if not any(level.isdigit() for level in levels_of(name))]
        aligned = [arm for arm in plain if arm in study.arms and study.arms[arm].align]
        if 0 in contrast.budgets and aligned:
            what = f"'{contrast.name}' compares at 0 tokens, where the aligned arm '{aligned[0]}' is not scored"
            yield places.problem((*at, "budget_tokens"), what, f"budget_tokens: one of {budgets[1:]}")
        for budget in contrast.budgets if plain else ():
            if budget not in budgets:
                yield places.problem((*at, "budget_tokens"), f"no arm is scored at {budget} tokens", f"one of {budgets}")
    if study.token_efficiency:
        yield from _efficiency_problems(study, study.token_efficiency, places)


def _level_problems(
    study: Study, places: Places, at: Path_, name: str, asked_on: str, budgets: list[int]
) -> Iterator[Problem]:
    """Of `ARM@LEVEL`: a level that is neither a budget of the arm nor a condition of the eval; and an eval that does not ask it."""
    arm, spec = arm_of(name), study.evals[asked_on]
    has = budgets_of(study, arm)
    try:
        tokens, condition = tokens_of(name), condition_of(name)
    except ValueError as error:
        yield places.problem(at, str(error), f"name one of {', '.join(f'{arm}@{b}' for b in has)}", key=True)
        return
    if condition is not None and condition not in spec.harness:
        levels = [*(f"{arm}@{b}" for b in has), *(f"{arm}@{c}" for c in spec.harness)]
        what = f"'{condition}' is neither a number of AFT tokens nor a harness condition of '{asked_on}'"
        yield places.problem(at, what, f"one of {', '.join(levels)}", key=True)
    elif tokens is not None and tokens not in has:
        what = f"'{arm}' has no budget of {tokens:,} tokens"
        yield places.problem(at, what, f"one of {', '.join(f'{arm}@{b}' for b in has)}", key=True)
    else:
        read = [tokens] if tokens is not None else has if has == [0] else [b for b in budgets if b in has]
        missing = [b for b in read if not is_asked(study, spec, arm, b)]
        if missing:
            what = f"'{asked_on}' does not ask '{arm}' at {missing[0]:,} tokens"
            yield places.problem(at, what, f"add it to `arms` or `budgets_tokens` of '{asked_on}'", key=True)


def _efficiency_problems(study: Study, asked: TokenEfficiency, places: Places) -> Iterator[Problem]:
    """Of token efficiency: unknown names, arms without AFT, pairs and levels that say nothing or say it twice."""
    at: Path_ = ("token_efficiency",)
    if asked.eval not in study.evals:
        yield places.unknown((*at, "eval"), "eval", asked.eval, study.evals)
    elif EVALS[study.evals[asked.eval].kind].outcome_of(study.evals[asked.eval]) != "binary":
        what = f"answers of '{asked.eval}' are values: token efficiency asks where a misaligned rate falls"
        yield places.problem((*at, "eval"), what, "name an eval whose answers are aligned or not")
    else:
        for arm in dict.fromkeys([asked.base, *(a for pair in asked.pairs for a in (pair.arm, pair.reference))]):
            missing = [b for b in budgets_of(study, arm) if not is_asked(study, study.evals[asked.eval], arm, b)] if arm in study.arms else []
            if missing:
                what = f"'{asked.eval}' does not ask '{arm}' at {missing[0]:,} tokens, which token efficiency needs"
                yield places.problem((*at, "eval"), what, f"add it to `arms` or `budgets_tokens` of '{asked.eval}'")
    if asked.base not in study.arms:
        yield places.unknown((*at, "base"), "arm", asked.base, study.arms)
    for number, pair in enumerate(asked.pairs):
        for side, arm in (("arm", pair.arm), ("reference", pair.reference)):
            if arm not in study.arms:
                yield places.unknown((*at, "pairs", number, side), "arm", arm, study.arms)
            elif not study.arms[arm].align:
                what = f"'{arm}' is not fine-tuned: it has no AFT budgets at which its rate could fall"
                yield places.problem((*at, "pairs", number, side), what, "name an arm with `align`")
        if pair.arm == pair.reference:
            what = f"'{pair.arm}' is compared with itself: the ratio is 1 whatever it is"
            yield places.problem((*at, "pairs", number, "reference"), what, "name another arm")
        if pair in asked.pairs[:number]:
            yield places.problem(
                (*at, "pairs", number), f"'{pair.arm}' over '{pair.reference}' is listed twice", "remove one"
            )
    levels = [asked.level_share, *asked.exploratory_level_shares]
    for number, level in enumerate(asked.exploratory_level_shares):
        if level in levels[: number + 1]:
            what = f"the level {level:g} is asked for twice"
            yield places.problem((*at, "exploratory_level_shares", number), what, "remove one")
