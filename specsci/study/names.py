"""Names in a study file that refer to nothing: variants, conversations, arms, generators, evals, items, bases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from specsci.core.errors import Problem
from specsci.core.ids import is_safe_name
from specsci.core.levels import AT
from specsci.core.terminal_text import visible
from specsci.core.yaml_file import Path_
from specsci.specs.family import Family
from specsci.study.contrast_names import contrast_problems
from specsci.study.eval_names import SAFE, eval_problems, with_spec
from specsci.study.evals import EVALS
from specsci.study.harness import is_text_name
from specsci.study.places import Places
from specsci.study.schema import IT_MIX, Study
from specsci.study.texts import DEFAULT, WrittenConversations, WrittenCorpus, is_conversation_file
from specsci.study.tuning_names import tuning_problems

MAX_NAME_CHARS = 100


def name_problems(study: Study, family: Family, places: Places) -> Iterator[Problem]:
    """Names in the study that refer to nothing: variants, conversations, arms, evals, items, bases."""
    variants = {**family.data.variants, **study.corpus_files}
    conversations = [*family.data.conversations, *study.conversations, IT_MIX]
    for section, names in (("corpora", study.corpora), ("conversations", study.conversations)):
        for name in names:
            if not is_safe_name(name) or name == IT_MIX:
                yield places.problem((section, name), f"'{name}' is not a safe name here", SAFE, key=True)
    for place, kind, found, valid in _written_names(study, family):
        yield places.unknown(place, kind, found, valid)
    for name, arm in study.arms.items():
        if not is_safe_name(name) or AT in name:
            yield places.problem(("arms", name), f"'{name}' is not a safe arm name", SAFE, key=True)
        for number, treatment in enumerate(arm.treatments):
            at: Path_ = ("arms", name, "stages", number) if arm.stages else ("arms", name)
            if treatment.midtrain is not None and treatment.midtrain not in variants:
                yield places.unknown((*at, "midtrain"), "variant", treatment.midtrain, variants)
            if treatment.align is not None and treatment.align not in conversations and not is_conversation_file(treatment.align):
                yield places.unknown((*at, "align"), "conversation set", treatment.align, conversations)
        if arm.prompt and not is_text_name(arm.prompt) and arm.prompt not in with_spec(family):
            yield places.unknown(("arms", name, "prompt"), "variant with a spec, nor a .md or .txt file", arm.prompt, with_spec(family))
    yield from eval_problems(study, family, places)
    yield from _bar_problems(study, places)
    yield from contrast_problems(study, places)
    yield from tuning_problems(study, places)
    for name in study.engines:
        if name not in study.base_models:
            yield places.unknown(("engines", name), "base model", name, study.base_models, key=True)
    for name in study.base_models:
        if visible(name) != name or not name.strip() or len(name) > MAX_NAME_CHARS:
            what = f"'{visible(name)[:60]}' is not a valid name for a base model"
            hint = f"give it at most {MAX_NAME_CHARS} characters that can be printed"
            yield places.problem(("base_models", name), what, hint, key=True)
    seen: set[tuple[int, str]] = set()
    for number, replicate in enumerate(study.replicates):
        path: Path_ = ("replicates", number)
        if replicate.base_model not in study.base_models:
            yield places.unknown((*path, "base_model"), "base model", replicate.base_model, study.base_models)
        if (replicate.seed, replicate.base_model) in seen or replicate.seed in {s for s, _ in seen}:
            what = f"seed {replicate.seed} is used twice: the same draw would count as two replicates"
            yield places.problem(path, what, "give every replicate its own seed")
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


def _bar_problems(study: Study, places: Places) -> Iterator[Problem]:
    """Bars that name an eval without items of right and wrong answers, or a variant that nothing is midtrained on."""
    variants = {v for arm in study.arms.values() for v in arm.variants}
    asked = [name for name, spec in study.evals.items() if EVALS[spec.kind].outcome_of(spec) == "binary" and spec.items]
    for key in ("base_must_misbehave", "in_context_oracle", "spec_recall"):
        bar = getattr(study.gates, key)
        if bar is None:
            continue
        if bar.eval not in asked:
            yield places.unknown(("gates", key, "eval"), "eval with items", bar.eval, asked)
        for variant in getattr(bar, "variants", []):
            if variant not in variants:
                yield places.unknown(("gates", key, "variants"), "midtrained variant", variant, variants)
