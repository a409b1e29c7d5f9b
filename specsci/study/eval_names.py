"""Problems of a study's evals and harness conditions: what they name, and what their kinds can do."""

from __future__ import annotations

from collections.abc import Iterator

from specsci.core.errors import Problem, UserError
from specsci.core.ids import is_safe_name
from specsci.core.levels import AT
from specsci.specs.family import Family
from specsci.study.evals import EVALS, EvalConfig
from specsci.study.harness import SYSTEM
from specsci.study.places import Places
from specsci.study.schema import OF_THE_SOURCE, Study

SAFE = "use a-z, 0-9, _ - ."


def with_spec(family: Family) -> list[str]:
    """The variants of a family that have a spec; one of table rows has none."""
    return [name for name, variant in family.data.variants.items() if not variant.rows]


def eval_problems(study: Study, family: Family, places: Places) -> Iterator[Problem]:
    """Of evals and the conditions that they are asked under."""
    items = family.item_sets()
    for name, condition in study.harness.items():
        if not is_safe_name(name) or AT in name or name.isdigit():
            what = f"'{name}' is not a safe name of a condition"
            yield places.problem(("harness", name), what, f"{SAFE}, and a letter", key=True)
        if condition.spec and condition.spec not in with_spec(family):
            yield places.unknown(("harness", name, "spec"), "variant with a spec", condition.spec, with_spec(family))
    for name, spec in study.evals.items():
        if not is_safe_name(name):
            yield places.problem(("evals", name), f"'{name}' is not a safe eval name", key=True)
        if spec.role not in ("outcome", "trained") and EVALS[spec.kind].outcome_of(spec) != "binary":
            what = f"'{spec.kind}' gives values, and the role {spec.role} needs answers that are right or wrong"
            yield places.problem(("evals", name, "role"), what, "write role: outcome, or take another kind")
        if "/" in spec.items:
            try:
                family.items_file(spec.items)
            except UserError as error:
                yield places.problem(("evals", name, "items"), error.what, error.hint)
                continue
            yield from _item_problems(family, name, spec, places)
        elif spec.items and spec.items not in items:
            yield places.unknown(("evals", name, "items"), "item set", spec.items, items)
        elif spec.items:
            yield from _item_problems(family, name, spec, places)
        yield from _source_problems(study, name, spec, places)
        for key, generator in EVALS[spec.kind].generators(spec).items():
            if generator not in study.generators:
                yield places.unknown(("evals", name, key), "generator", generator, study.generators)
        yield from _asked_problems(study, name, spec, places)
        yield from _condition_problems(study, name, spec, places)


def _item_problems(family: Family, name: str, spec: EvalConfig, places: Places) -> Iterator[Problem]:
    """An item set of a sort that the eval's kind cannot ask."""
    sort = "questions" if family.items(spec.items)[0].open else "choices"
    if sort not in EVALS[spec.kind].asks:
        able = ", ".join(kind.name for kind in EVALS if sort in kind.asks)
        what = f"'{spec.items}' holds {'open questions' if sort == 'questions' else 'choices between two options'}, which {spec.kind} cannot ask"
        yield places.problem(("evals", name, "items"), what, f"kinds that can: {able}")


def _source_problems(study: Study, name: str, spec: EvalConfig, places: Places) -> Iterator[Problem]:
    """Of the eval whose answers another reads."""
    source = EVALS[spec.kind].answers_of(spec)
    if not source:
        return
    able = [n for n, e in study.evals.items() if EVALS[e.kind].sampled and not EVALS[e.kind].answers_of(e)]
    if source not in able:
        yield places.unknown(("evals", name, "of"), "eval that is answered in words", source, able)
        return
    differing = [key for key in OF_THE_SOURCE if not _within(getattr(spec, key), getattr(study.evals[source], key), key)]
    if differing:
        what = f"'{name}' reads the answers to '{source}', and has other {differing[0]}"
        yield places.problem(("evals", name, differing[0]), what, "leave it out: it is taken from that eval")
    for number, arm in enumerate(getattr(spec, "without_policy", [])):
        if arm not in study.arms:
            yield places.unknown(("evals", name, "without_policy", number), "arm", arm, study.arms)


def _within(own: object, source: object, key: str) -> bool:
    """Whether an eval asks nothing that its source does not; fewer arms or budgets are fine."""
    if key == "items" or not isinstance(own, list) or not isinstance(source, list):
        return own == source
    return own == source or (bool(own) and (not source or set(own) <= set(source)) and (key != "harness" or bool(source)))


def _asked_problems(study: Study, name: str, spec: EvalConfig, places: Places) -> Iterator[Problem]:
    """Of the arms and budgets that an eval asks."""
    budgets = study.align.budgets_tokens if study.align else []
    for number, arm in enumerate(spec.arms):
        if arm not in study.arms:
            yield places.unknown(("evals", name, "arms", number), "arm", arm, study.arms)
    for number, budget in enumerate(spec.budgets_tokens):
        if budget not in budgets:
            what = f"no arm is trained at {budget:,} tokens"
            yield places.problem(("evals", name, "budgets_tokens", number), what, f"one of {budgets}" if budgets else "no arm aligns")


def _condition_problems(study: Study, name: str, spec: EvalConfig, places: Places) -> Iterator[Problem]:
    """Of the conditions that an eval is asked under, and of arms with a prompt: what its kind can express."""
    source = study.evals.get(EVALS[spec.kind].answers_of(spec))
    kind = EVALS[source.kind if source is not None else spec.kind]  # whoever asks has to put the condition around the question
    for number, condition in enumerate(spec.harness):
        at = ("evals", name, "harness", number)
        if condition not in study.harness:
            yield places.unknown(at, "harness condition", condition, study.harness)
            continue
        missing = sorted(study.harness[condition].features - kind.expresses)
        if missing:
            able = [k.name for k in EVALS if study.harness[condition].features <= k.expresses]
            hint = f"kinds that can: {', '.join(able)}" if able else "no kind of this installation can"
            what = f"'{condition}' sets {', '.join(missing)}, which evals of kind {spec.kind} cannot express"
            yield places.problem(at, what, hint)
    if SYSTEM not in kind.expresses:
        prompted = [a for a, arm in study.arms.items() if arm.prompt and (not spec.arms or a in spec.arms)]
        if prompted:
            what = f"evals of kind {spec.kind} put no prompt before what they ask, and the arm '{prompted[0]}' has one"
            yield places.problem(("evals", name), what, "name the arms that it asks: `arms: [...]`", key=True)
