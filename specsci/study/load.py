"""From a study file to a resolved study: profile merged, every name checked, every error located."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from specsci.core.errors import CorruptArtifact, InputFileError, Problem, UserError, nearest
from specsci.core.ids import is_safe_name
from specsci.core.levels import AT, arm_of, level_of, tokens_of
from specsci.core.shipped import find_family, find_study
from specsci.core.terminal_text import visible
from specsci.core.yaml_file import SWITCH, Document, Path_, problems_of, read_yaml, switches
from specsci.specs.family import Family
from specsci.specs.versions import load_version
from specsci.study.arms import budgets_of
from specsci.study.evals import EVALS
from specsci.study.overrides import apply_overrides, label_of, limited
from specsci.study.parts import TokenEfficiency
from specsci.study.schema import DEFAULT_PROFILE, IMPORTED, IT_MIX, MOST_WEIGHT, PROFILE_KEYS, Study
from specsci.study.texts import DEFAULT, WrittenConversations, WrittenCorpus, is_conversation_file

MAX_NAME_CHARS = 100


@dataclass(frozen=True)
class LoadedStudy:
    """A study with the family it draws on, its file and the profile in force."""

    study: Study
    family: Family
    file: Path
    profile: str
    default_profile: str
    document: Document
    overrides: Mapping[str, Any] = field(default_factory=dict)
    item_limit: int | None = None

    @property
    def name(self) -> str:
        """The name in the database: the study, the profile where it is not the default, and what was set beside the file."""
        profile = "" if self.profile == self.default_profile else f"@{self.profile}"
        return f"{self.study.study}{profile}{label_of(self.overrides, self.item_limit)}"

    @property
    def family_home(self) -> Path:
        """The family's own folder, whatever version is pinned."""
        return find_family(self.study.family_name, self.file.parent)

    def problem(self, error: UserError, *path: str | int) -> InputFileError:
        """An error about a value of the file, with the value's place."""
        place = _place(self.document, self.profile, path, self.overrides)
        return InputFileError([Problem(*place, error.what, error.hint)])

    def given(self, *path: str) -> Any:
        """What the file itself says at a path, the profile over the top; None where it says nothing."""
        overlay = (self.document.data.get("profiles") or {}).get(self.profile, {})
        node: Any = _merge({k: v for k, v in self.document.data.items() if k != "profiles"}, overlay)
        node = apply_overrides(node, self.overrides)
        for part in path:
            node = node.get(part) if isinstance(node, dict) else None
        return node

    def line(self, *path: str | int) -> int:
        """The line of a value in the file, from the profile where the profile sets it."""
        return _locate(self.document, self.profile, path)[0]


def load_study(
    name: str, profile: str | None = None, overrides: Mapping[str, Any] | None = None, limit: int | None = None
) -> LoadedStudy:
    """Load a study by path or shipped name.

    Args:
        overrides: values by dotted key, such as `midtrain.tokens`, set over those of the file and its profile.
        limit: cut the study down to a smoke run with so many items to an eval (see `overrides.limited`).

    Raises:
        InputFileError: every problem of the file.
        UserError: no such study, profile or family.
    """
    path = find_study(name)
    document = read_yaml(path)
    data = dict(document.data)
    profiles = data.pop("profiles", None)
    profiles = {} if profiles is None else profiles
    default = data.pop("default_profile", DEFAULT_PROFILE)
    problems = list(_profile_problems(document, profiles))
    if problems:
        raise InputFileError(problems)
    if not isinstance(default, str):
        raise InputFileError([document.problem(("default_profile",), "must be the name of a profile", "write a name")])
    chosen = profile or default
    if chosen not in profiles and (profiles or profile):
        hint = nearest(chosen, profiles)
        if profile:
            raise UserError(f"{path.name} has no profile '{chosen}'", hint=hint)
        raise InputFileError([document.problem(("default_profile",), f"no profile '{chosen}'", hint)])
    overrides = dict(overrides or {})
    merged = apply_overrides(_merge(data, profiles.get(chosen, {})), overrides)
    if limit is not None:
        merged = limited(merged, limit)
    try:
        study = Study.model_validate(merged)
    except ValidationError as error:
        raise InputFileError(_relocate(error, document, chosen, overrides)) from error
    wrong = [Problem(*_place(document, chosen, place, overrides), *SWITCH) for place in switches(merged, study)]
    if wrong:
        raise InputFileError(wrong)
    try:
        family = load_version(find_family(study.family_name, path.parent), study.family_version)
    except InputFileError:
        raise
    except (UserError, CorruptArtifact) as error:
        line, column = _locate(document, chosen, ("family",))
        raise InputFileError([Problem(str(path), line, column, error.what, error.hint)]) from error
    problems = list(_name_problems(study, family, document, chosen))
    if problems:
        raise InputFileError(problems)
    return LoadedStudy(study, family, path, chosen, default, document, overrides, limit)


def _merge(base: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in overlay.items():
        deep = isinstance(value, dict) and isinstance(out.get(key), dict) and key != "base_models"
        out[key] = _merge(out[key], value) if deep else value
    return out


def _locate(document: Document, profile: str, path: Path_, *, key: bool = False) -> tuple[int, int]:
    """The place of a value: in the profile where the profile has it, else at the top."""
    overlay = (document.data.get("profiles") or {}).get(profile, {})
    prefix: Path_ = ("profiles", profile) if path and _is_overlaid(document.data, overlay, path) else ()
    return document.position((*prefix, *path), key=key)


def _is_overlaid(top: Any, overlay: Any, path: Path_) -> bool:
    """Whether a merged study takes a path from the overlay (see `_merge`: mappings go deep, the rest is replaced)."""
    for part in path:
        if not isinstance(overlay, dict):
            return True
        if part not in overlay:
            return False
        if not isinstance(top, dict) or part not in top or part == "base_models":
            return True
        top, overlay = top[part], overlay[part]
    return True


def _place(
    document: Document, profile: str, path: Path_, overrides: Mapping[str, Any], *, key: bool = False
) -> tuple[str, int, int]:
    """File, line and column of a value; `--set KEY` where it was set beside the file."""
    at = ".".join(str(part) for part in path)
    for name in overrides:
        if at == name or at.startswith(f"{name}."):
            return f"--set {name}", 1, 1
    return (document.file, *_locate(document, profile, path, key=key))


def _relocate(error: ValidationError, document: Document, profile: str, overrides: Mapping[str, Any]) -> list[Problem]:
    problems = []
    for item, problem in zip(error.errors(include_url=False), problems_of(error, document, Study), strict=True):
        path: Path_ = tuple(item["loc"])
        at = path[:-1] if item["type"] == "missing" else path
        place = _place(document, profile, at, overrides, key=item["type"] == "extra_forbidden")
        problems.append(Problem(*place, problem.what, problem.hint))
    return problems


def _profile_problems(document: Document, profiles: Any) -> Iterator[Problem]:
    if not isinstance(profiles, dict):
        yield document.problem(("profiles",), "must map profile names to overlays", "write `profiles: {NAME: {...}}`")
        return
    for name, overlay in profiles.items():
        if not is_safe_name(str(name)):
            yield document.problem(("profiles", name), f"'{name}' is not a safe profile name", key=True)
        elif name == IMPORTED:
            what = f"the profile name '{name}' marks results that were made elsewhere"
            yield document.problem(("profiles", name), what, "give the profile another name", key=True)
        if not isinstance(overlay, dict):
            yield document.problem(("profiles", name), f"profile '{name}' must be a mapping")
            continue
        for key in overlay:
            if key in PROFILE_KEYS:
                continue
            what = f"a profile may not set '{key}': it changes scale, not the design"
            known = key in Study.model_fields or not difflib.get_close_matches(str(key), PROFILE_KEYS, 1, 0.6)
            hint = f"a profile may set: {', '.join(PROFILE_KEYS)}" if known else nearest(str(key), PROFILE_KEYS)
            yield document.problem(("profiles", name, key), what, hint, key=True)


def _name_problems(study: Study, family: Family, document: Document, profile: str) -> Iterator[Problem]:
    """Names in the study that refer to nothing: variants, conversations, arms, evals, items, bases."""

    def unknown(path: Path_, kind: str, name: str, valid: Any, *, key: bool = False) -> Problem:
        line, column = document.position(path, key=True) if key else _locate(document, profile, path)
        return Problem(document.file, line, column, f"unknown {kind} '{name}'", nearest(name, valid))

    variants = {**family.data.variants, **study.corpus_files}
    conversations = [*family.data.conversations, *study.conversations, IT_MIX]
    for section, names in (("corpora", study.corpora), ("conversations", study.conversations)):
        for name in names:
            if not is_safe_name(name) or name == IT_MIX:
                line, column = _locate(document, profile, (section, name), key=True)
                yield Problem(document.file, line, column, f"'{name}' is not a safe name here", "use a-z, 0-9, _ - .")
    for place, kind, found, valid in _written_names(study, family):
        yield unknown(place, kind, found, valid)
    for name, arm in study.arms.items():
        if not is_safe_name(name) or AT in name:
            yield document.problem(("arms", name), f"'{name}' is not a safe arm name", "use a-z, 0-9, _ - .", key=True)
        for number, treatment in enumerate(arm.treatments):
            at: Path_ = ("arms", name, "stages", number) if arm.stages else ("arms", name)
            if treatment.midtrain is not None and treatment.midtrain not in variants:
                yield unknown((*at, "midtrain"), "variant", treatment.midtrain, variants)
            if treatment.align is not None and treatment.align not in conversations and not is_conversation_file(treatment.align):
                yield unknown((*at, "align"), "conversation set", treatment.align, conversations)
    items = family.item_sets()
    values = {name for name, spec in study.evals.items() if EVALS[spec.kind].outcome_of(spec) != "binary"}
    for name, spec in study.evals.items():
        if name in values and spec.role not in ("outcome", "trained"):
            line, column = _locate(document, profile, ("evals", name, "role"))
            what = f"'{spec.kind}' gives values, and the role {spec.role} needs answers that are right or wrong"
            yield Problem(document.file, line, column, what, "write role: outcome, or take another kind")
        if not is_safe_name(name):
            yield document.problem(("evals", name), f"'{name}' is not a safe eval name", key=True)
        if spec.items and spec.items not in items:
            yield unknown(("evals", name, "items"), "item set", spec.items, items)
    yield from _bar_problems(study, unknown)
    yield from _contrast_problems(study, document, unknown)
    for name in study.base_models:
        if visible(name) != name or not name.strip() or len(name) > MAX_NAME_CHARS:
            line, column = _locate(document, profile, ("base_models", name), key=True)
            what = f"'{visible(name)[:60]}' is not a valid name for a base model"
            yield Problem(
                document.file, line, column, what, f"give it at most {MAX_NAME_CHARS} characters that can be printed"
            )
    seen: set[tuple[int, str]] = set()
    for number, replicate in enumerate(study.replicates):
        path: Path_ = ("replicates", number)
        if replicate.base_model not in study.base_models:
            yield unknown((*path, "base_model"), "base model", replicate.base_model, study.base_models)
        if (replicate.seed, replicate.base_model) in seen or replicate.seed in {s for s, _ in seen}:
            line, column = _locate(document, profile, path)
            what = f"seed {replicate.seed} is used twice: the same draw would count as two replicates"
            yield Problem(document.file, line, column, what, "give every replicate its own seed")
        seen.add((replicate.seed, replicate.base_model))


def _written_names(study: Study, family: Family) -> Iterator[tuple[Path_, str, str, Any]]:
    """Names in what generators write that refer to nothing: where they stand, what they should be, and the valid ones."""
    known = family.data.variants
    for name, texts in study.corpora.items():
        if isinstance(texts, WrittenCorpus):
            if texts.generator not in study.generators:
                yield ("corpora", name, "generator"), "generator", texts.generator, study.generators
            written = {v: spec for v, spec in known.items() if not spec.rows}
            if name not in (DEFAULT, *written):
                yield ("corpora", name), "variant with a spec to write from", name, written
        elif name == DEFAULT:
            yield ("corpora", name), "generator of the default", "(files)", study.generators
    if (judge := study.audit.policy_judge) and judge.generator not in study.generators:
        yield ("audit", "policy_judge", "generator"), "generator", judge.generator, study.generators
    for name, chats in study.conversations.items():
        if not isinstance(chats, WrittenConversations):
            continue
        if chats.generator not in study.generators:
            yield ("conversations", name, "generator"), "generator", chats.generator, study.generators
        for key in ("variant", "queries_from"):
            variant = getattr(chats, key)
            if variant and variant not in known:
                yield ("conversations", name, key), "variant", variant, known


def _bar_problems(study: Study, unknown: Any) -> Iterator[Problem]:
    """Bars that name an eval without items of right and wrong answers, or a variant that nothing is midtrained on."""
    variants = {v for arm in study.arms.values() for v in arm.variants}
    asked = [name for name, spec in study.evals.items() if EVALS[spec.kind].outcome_of(spec) == "binary" and spec.items]
    for key in ("base_must_misbehave", "in_context_oracle", "spec_recall"):
        bar = getattr(study.gates, key)
        if bar is None:
            continue
        if bar.eval not in asked:
            yield unknown(("gates", key, "eval"), "eval with items", bar.eval, asked)
        for variant in getattr(bar, "variants", []):
            if variant not in variants:
                yield unknown(("gates", key, "variants"), "midtrained variant", variant, variants)


def _contrast_problems(study: Study, document: Document, unknown: Any) -> Iterator[Problem]:
    budgets = [0, *(study.align.budgets_tokens if study.align else [])]
    names: set[str] = set()
    for number, contrast in enumerate(study.contrasts):
        at: Path_ = ("contrasts", number)
        if contrast.name in names or not is_safe_name(contrast.name):
            yield document.problem((*at, "name"), f"'{contrast.name}' is not a new, safe contrast name")
        names.add(contrast.name)
        if contrast.eval not in study.evals:
            yield unknown((*at, "eval"), "eval", contrast.eval, study.evals)
        elif contrast.scale != "rate" and EVALS[study.evals[contrast.eval].kind].outcome_of(study.evals[contrast.eval]) != "binary":
            what = f"answers of '{contrast.eval}' are values, which have no {contrast.scale} scale"
            yield document.problem((*at, "scale"), what, "write scale: rate (means of values)")
        for name in contrast.weights:
            if arm_of(name) not in study.arms:
                yield unknown((*at, "weights", name), "arm", arm_of(name), study.arms, key=True)
            elif level_of(name) is not None:
                yield from _level_problems(study, document, (*at, "weights", name), name)
        largest = max(map(abs, contrast.weights.values()))
        if largest > MOST_WEIGHT:
            what = f"a weight of '{contrast.name}' is {largest:g}; they are at most {MOST_WEIGHT:g}"
            yield document.problem((*at, "weights"), what, "weigh one side 1, one -1")
        elif abs(sum(contrast.weights.values())) > 1e-9 * max(1.0, largest):
            yield document.problem((*at, "weights"), f"weights of '{contrast.name}' must sum to 0")
        elif not any(contrast.weights.values()):
            yield document.problem((*at, "weights"), f"weights of '{contrast.name}' are all 0", "weigh one side 1, one -1")
        plain = [name for name in contrast.weights if level_of(name) is None]
        aligned = [arm for arm in plain if arm in study.arms and study.arms[arm].align]
        if 0 in contrast.budgets and aligned:
            what = f"'{contrast.name}' compares at 0 tokens, where the aligned arm '{aligned[0]}' is not scored"
            yield document.problem((*at, "budget_tokens"), what, f"budget_tokens: one of {budgets[1:]}")
        for budget in contrast.budgets if plain else ():
            if budget not in budgets:
                yield document.problem((*at, "budget_tokens"), f"no arm is scored at {budget} tokens", f"one of {budgets}")
    if study.token_efficiency:
        yield from _efficiency_problems(study, study.token_efficiency, document, unknown)


def _level_problems(study: Study, document: Document, at: Path_, name: str) -> Iterator[Problem]:
    """Of `ARM@LEVEL`: a level that is not an AFT budget of the arm."""
    arm, has = arm_of(name), budgets_of(study, arm_of(name))
    try:
        if tokens_of(name) in has:
            return
        what = f"'{arm}' has no budget of {tokens_of(name):,} tokens"
    except ValueError as error:
        what = str(error)
    yield document.problem(at, what, f"one of {', '.join(f'{arm}@{b}' for b in has)}", key=True)


def _efficiency_problems(
    study: Study, asked: TokenEfficiency, document: Document, unknown: Callable[..., Problem]
) -> Iterator[Problem]:
    """Of token efficiency: unknown names, arms without AFT, pairs and levels that say nothing or say it twice."""
    at: Path_ = ("token_efficiency",)
    if asked.eval not in study.evals:
        yield unknown((*at, "eval"), "eval", asked.eval, study.evals)
    elif EVALS[study.evals[asked.eval].kind].outcome_of(study.evals[asked.eval]) != "binary":
        what = f"answers of '{asked.eval}' are values: token efficiency asks where a misaligned rate falls"
        yield document.problem((*at, "eval"), what, "name an eval whose answers are aligned or not")
    if asked.base not in study.arms:
        yield unknown((*at, "base"), "arm", asked.base, study.arms)
    for number, pair in enumerate(asked.pairs):
        for side, arm in (("arm", pair.arm), ("reference", pair.reference)):
            if arm not in study.arms:
                yield unknown((*at, "pairs", number, side), "arm", arm, study.arms)
            elif not study.arms[arm].align:
                what = f"'{arm}' is not fine-tuned: it has no AFT budgets at which its rate could fall"
                yield document.problem((*at, "pairs", number, side), what, "name an arm with `align`")
        if pair.arm == pair.reference:
            what = f"'{pair.arm}' is compared with itself: the ratio is 1 whatever it is"
            yield document.problem((*at, "pairs", number, "reference"), what, "name another arm")
        if pair in asked.pairs[:number]:
            yield document.problem(
                (*at, "pairs", number), f"'{pair.arm}' over '{pair.reference}' is listed twice", "remove one"
            )
    levels = [asked.level_share, *asked.exploratory_level_shares]
    for number, level in enumerate(asked.exploratory_level_shares):
        if level in levels[: number + 1]:
            what = f"the level {level:g} is asked for twice"
            yield document.problem((*at, "exploratory_level_shares", number), what, "remove one")
