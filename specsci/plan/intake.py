"""The gate of the bases: each one that the study brings along is examined, and checked for what the study does with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from specsci.core.errors import InputFileError, Problem, UserError
from specsci.core.findings import Finding
from specsci.core.ids import file_sha256
from specsci.plan.frames import frame_of
from specsci.recipe.reach import unreached
from specsci.sources.examination import Examination, ok, refuse, warn
from specsci.sources.examine import AskedItems, Use, examine, files_of
from specsci.sources.files import inside
from specsci.sources.identity import is_text_file
from specsci.sources.text_files import read_passages, role_orders
from specsci.study.evals import EVALS, EvalConfig
from specsci.study.parts import Replicate
from specsci.study.schema import BASE_PRETRAINING

if TYPE_CHECKING:
    from specsci.plan.plan import Plan


def examine_bases(plan: Plan) -> dict[str, Examination]:
    """The examination of every base that is a model directory, with what this study asks of it, by the base's name.

    Registered bases were proved when they were entered; one that is fetched later is examined there, in its `base` step.

    Raises:
        InputFileError: a base is refused; each at its line of the study, in one sentence.
    """
    found, problems = {}, []
    for name, base in plan.bases.items():
        if base.path is None:
            continue
        trusted = bool(base.base.get("trust_remote_code"))
        seen = examine(base.path, base.base.get("files") or files_of(base.path), trusted=trusted, use=_use(plan, name))
        if not seen.refused:
            seen = seen.with_findings(*_asked_of(plan, name, seen.facts))
        if seen.refused:
            problems += _problems(plan, name, seen)
        found[name] = seen
    if problems:
        raise InputFileError(problems)
    return found


def _problems(plan: Plan, name: str, seen: Examination) -> list[Problem]:
    """One sentence for a base: all that it is refused for."""
    texts = [f.text for f in seen.refusals]
    hint = seen.refusals[-1].hint
    error = UserError(f"the base '{name}' is refused: {'; '.join(texts)}", hint=hint)
    return plan.loaded.problem(error, "base_models", name, "source").problems


def _use(plan: Plan, name: str) -> Use:
    """What the study does with a base's tokenizer."""
    study, texts = plan.loaded.study, plan.bases[name].tokenizer.get("chat_template", {})
    replicate = next((r for r in study.replicates if r.base_model == name), None)
    identity = _names(plan, replicate) if replicate else {}
    files = {e.items: plan.loaded.family.items_file(e.items) for e in study.evals.values() if e.items}
    asked = tuple(
        AskedItems(
            n + under, str(files[e.items].resolve()), file_sha256(files[e.items]), {**plan.loaded.family.names_of(e.items), **identity}, e.kind,
            {**_settings(e), **frame},
        )
        for n, e in study.evals.items()
        if e.items and not EVALS[e.kind].answers_of(e)
        for under, frame in _frames(plan, e, identity).items()
    )
    chats = _chats(plan)
    aligns = any(a.align for a in study.arms.values())
    orders: dict[tuple[str, ...], None] = {("user", "assistant"): None} if aligns else {}
    for path, _, called in chats:
        orders |= dict.fromkeys(role_orders(read_passages(Path(path), called, "conversations")))
    return Use(texts, tuple(orders), asked, any(EVALS[a.kind].in_chats(a.settings) for a in asked), chats)


def _frames(plan: Plan, spec: EvalConfig, identity: dict[str, str]) -> dict[str, dict[str, Any]]:
    """How an eval's name goes on under each condition and prompt, with what stands around its questions."""
    study = plan.loaded.study
    found: dict[str, dict[str, Any]] = {"": {}}
    prompts = {arm.prompt: name for name, arm in study.arms.items() if not spec.arms or name in spec.arms}
    for condition in spec.harness or [""]:
        for prompt, arm in prompts.items():
            frame = frame_of(plan.loaded, arm, condition, identity)
            if frame:
                under = f" under {condition}" if condition else ""
                found[f"{under} with the prompt {prompt}" if prompt else under] = {"frame": frame}
    return found


def _settings(spec: EvalConfig) -> dict[str, Any]:
    """What decides how long questions and answers are, and whether they are asked in chats."""
    kind = EVALS[spec.kind]
    return {**kind.identity(spec), **kind.sampling(spec)}


def _chats(plan: Plan) -> tuple[tuple[str, str, str], ...]:
    """The study's files of conversations: path, SHA-256 and name."""
    study, folder = plan.loaded.study, plan.loaded.file.resolve().parent
    mix = study.align.it_mix if study.align and any(a.align for a in study.arms.values()) else BASE_PRETRAINING
    names = list(study.mixes[mix].files) if mix in study.mixes else [] if mix == BASE_PRETRAINING or not is_text_file(mix) else [mix]
    found = {name: file_sha256(inside(name, folder, "text file")) for name in names}
    for step in plan.of_kind("conversations"):
        found |= step.params.get("files", {})
    return tuple((str(folder / name), sha256, name) for name, sha256 in found.items())


def _names(plan: Plan, replicate: Replicate) -> dict[str, str]:
    return {**plan.loaded.family.data.identity, **plan.loaded.study.base_models[replicate.base_model].identity}


def _asked_of(plan: Plan, name: str, facts: dict[str, Any]) -> list[Finding]:
    """What the study's recipes and items ask of a model: long enough rows, and adapters that reach its blocks."""
    study = plan.loaded.study
    if not any(r.base_model == name for r in study.replicates):
        return []
    stages = {"midtrain": study.midtrain, "align": study.align}
    trained = {
        stage: settings.recipe
        for stage, settings in stages.items()
        if settings and any(getattr(arm, stage) for arm in study.arms.values())
    }
    found = []
    limit, fixed = facts.get("positions"), facts.get("fixed_positions")
    for eval_, tokens in facts.get("longest_item", {}).items() if limit else ():
        if tokens > limit:
            text = f"an item of '{eval_}' has {tokens:,} tokens with its option, and the model {limit:,} positions"
            found.append(refuse("positions", text, "shorten the items, or choose a base that takes longer texts"))
    for stage, recipe in trained.items():
        if limit and recipe.max_length_tokens > limit:
            found.append(_too_long(stage, recipe.max_length_tokens, limit, fixed=bool(fixed)))
        if recipe.adapter and facts.get("blocks"):
            found += _reach(stage, recipe.lora.targets, recipe.lora.accept_frozen, facts["blocks"])
    return found or [ok("positions", "rows and items fit the model's positions")]


def _too_long(stage: str, length: int, limit: int, *, fixed: bool) -> Finding:
    text = f"{stage}.recipe.max_length_tokens is {length:,}, and the model has {limit:,} positions"
    hint = f"write {stage}.recipe.max_length_tokens: {limit}"
    return refuse("positions", text, hint) if fixed else warn("positions", f"{text}: longer rows would be untrained", hint)


def _reach(stage: str, targets: tuple[str, ...], accepted: tuple[str, ...], blocks: dict[str, list[str]]) -> list[Finding]:
    unknown, frozen = unreached(blocks, targets, accepted)
    last = sorted({name.rsplit(".", 1)[-1] for names in blocks.values() for name in names})
    if unknown:
        text = f"{stage}.recipe.lora.targets {unknown} match no matrix of the model's layers"
        return [refuse("adapters", text, f"name some of {', '.join(last)}")]
    if frozen:
        text = f"{stage}: no adapter reaches the blocks of type {', '.join(frozen)}, which would stay as they are"
        hint = f"add their projections to lora.targets, or write lora.accept_frozen: [{', '.join(frozen)}]"
        return [refuse("adapters", text, hint)]
    return [ok("adapters", f"{stage}: adapters reach all {len(blocks)} types of block")]
