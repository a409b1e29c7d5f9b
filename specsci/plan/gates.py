"""Gates on a plan: what must hold before anything is spent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from specsci.core.errors import GateRefused, SpecsciError
from specsci.core.machine import memory_gib
from specsci.generate.generator import may_see
from specsci.plan.intake import examine_bases
from specsci.plan.plan import Plan
from specsci.recipe.memory import GIB, Memory, memory
from specsci.recipe.recipe import Runtime
from specsci.sources.registry import source_of
from specsci.specs.changes import CHANGES, read_changes, unrecorded
from specsci.specs.check import check_variant
from specsci.specs.diff import diff, lines
from specsci.specs.family import Family
from specsci.specs.items import unfilled
from specsci.specs.leaks import Leak, leaks_of
from specsci.specs.text import entries
from specsci.specs.versions import recorded
from specsci.study.arms import confounds
from specsci.study.schema import Study


@dataclass(frozen=True)
class Finding:
    """What a gate found: `refuse` stops a run, `warn` and `note` are printed."""

    level: Literal["refuse", "warn", "note"]
    gate: str
    text: str
    hint: str = ""


def findings(plan: Plan) -> list[Finding]:
    """All findings, refusals first.

    Raises:
        InputFileError: a base model is refused by its examination, at its line of the study.
    """
    found = [*_family(plan), *_specs(plan), *_access(plan), *_updates(plan), *_confounds(plan), *_replicates(plan)]
    found += [*_evals(plan), *_leaks(plan), *_tokens(plan), *_packages(plan), *_pins(plan), *_memory(plan)]
    found += _bases(plan)
    return sorted(found, key=lambda f: ("refuse", "warn", "note").index(f.level))


def refuse_if_needed(plan: Plan) -> list[Finding]:
    """The findings, if none of them refuses; raises GateRefused with all that do."""
    found = findings(plan)
    refused = [f for f in found if f.level == "refuse"]
    if refused:
        text = "; ".join(f"{f.gate}: {f.text}" for f in refused)
        raise GateRefused(text, where=str(plan.loaded.file), hint="; ".join(f.hint for f in refused if f.hint))
    return found


def _bases(plan: Plan) -> list[Finding]:
    """What the examination of the study's own bases says against them, or has the stages do."""
    found = []
    for name, seen in examine_bases(plan).items():
        against = [point for point in seen.findings if point.judgement != "ok"]
        found += [Finding("warn", "base", f"'{name}': {point.text}", point.hint) for point in against]
        packed = "packed" if seen.facts.get("packs") else "unpacked (each row by itself)"
        text = f"'{name}' was examined on {seen.facts.get('on', 'its files')}: {len(seen.findings)} points; trained {packed}"
        found.append(Finding("note", "base", text))
    for name, facts in plan.bases.items():
        if facts.fetched_later:
            found.append(Finding("note", "base", f"'{name}' is not examined here: it is in its base step, once fetched"))
    return found


def _family(plan: Plan) -> list[Finding]:
    """A family under change control must be what its version was recorded with."""
    family, pin = plan.loaded.family, plan.loaded.study.family_version
    line = plan.loaded.line("family")
    if read_changes(plan.loaded.family_home) is None:
        return [Finding("note", "family", f"'{family.name}' has no {CHANGES}: its text is not under change control")]
    if family.folder != plan.loaded.family_home:
        return [Finding("note", "family", f"'{family.name}' is pinned to {pin} (line {line}), an earlier version")]
    why = unrecorded(family)
    if why:
        hint = (
            f"make it a version: `specsci spec bump {family.name} VERSION --reason WHY --author WHO`, and pin that; "
            f"or put the text back: `specsci spec restore {family.name}`"
        )
        return [Finding("refuse", "family", f"{why}\n{_change(family)}", hint)]
    if pin is None:
        text = f"'{family.name}' is not pinned: another version would change this study (line {line})"
        return [Finding("note", "family", text, f"family: {family.name}@{family.data.version}")]
    return []


def _change(family: Family) -> str:
    """What differs from the recorded text, variant by variant."""
    changes = read_changes(family.folder)
    entry = (changes.entry(family.data.version) or changes.latest) if changes else None
    if entry is None:
        return ""
    try:
        before = recorded(family.folder, entry.version, entry.digest)
    except SpecsciError as error:
        return f"(no diff: {error.what})"
    out: list[str] = []
    seen: set[tuple[str, ...]] = set()
    for name in family.data.variants:
        if name not in before.data.variants:
            out.append(f"variant {name} is new")
            continue
        changed = tuple(lines(diff(entries(before, name), entries(family, name))))
        if changed and changed not in seen:
            out += [f"in {name}:", *(f"  {line}" for line in changed)]
        seen.add(changed)
    out += [f"variant {name} is gone" for name in before.data.variants if name not in family.data.variants]
    if before.grammar_digest != family.grammar_digest:
        out.append("the grammar or one of its tables changed")
    sets = sorted({*before.item_sets(), *family.item_sets()})
    asked = [{n: f.items_digest(n) for n in f.item_sets()} for f in (before, family)]
    out += [f"the item set {name} changed" for name in sets if asked[0].get(name) != asked[1].get(name)]
    return "\n".join(out) or "no variant's text: what is declared about the family changed"


def _access(plan: Plan) -> list[Finding]:
    """A backend that sends texts out may not see a confidential family without leave."""
    study, data = plan.loaded.study, plan.loaded.family.data
    found = []
    secret = [n for n, base in plan.bases.items() if base.access == plan.access != data.access]
    found += [Finding("note", "access", f"the base '{n}' is {plan.access}: so is all that comes from it") for n in secret]
    if data.access != "public":
        found.append(Finding("note", "access", f"'{data.family}' is {data.access}: so is all that comes from it"))
    if study.midtrain and not may_see(study.midtrain.backend, data.access, data.allowed_backends):
        text = f"'{data.family}' is confidential, and the backend '{study.midtrain.backend}' sends its texts out"
        hint = f"use another backend, or name it in the family's allowed_backends: [{study.midtrain.backend}]"
        found.append(Finding("refuse", "access", text, hint))
    return found


def _updates(plan: Plan) -> list[Finding]:
    study = plan.loaded.study
    found = []
    if study.midtrain:
        stage, gates = study.midtrain, study.gates
        updates = stage.recipe.updates(stage.tokens)
        if updates < gates.min_midtrain_updates:
            line = plan.loaded.line("midtrain", "tokens")
            text = (
                f"midtraining makes {updates} optimizer updates ({stage.tokens:,} tokens, line {line}), fewer than "
                f"{gates.min_midtrain_updates}; nulls at such doses are usually no dose"
            )
            if gates.accept_few_updates:
                found.append(Finding("warn", "dose", f"{text}. Accepted: {gates.accept_few_updates}"))
            else:
                hint = "raise midtrain.tokens, lower recipe.sequences_per_update, or write gates.accept_few_updates: REASON"
                found.append(Finding("refuse", "dose", text, hint))
        warmup = stage.recipe.warmup_updates(updates) / updates
        if warmup > gates.max_warmup_share:
            found.append(Finding("warn", "warm-up", f"warm-up takes {warmup:.0%} of midtraining's updates"))
    return found


def _confounds(plan: Plan) -> list[Finding]:
    study, found = plan.loaded.study, []
    for contrast in study.contrasts:
        other = sorted({c for b in contrast.budgets for c in confounds(study, contrast.weights, b, contrast.factor)})
        if not other:
            continue
        text = f"'{contrast.name}' declares {contrast.factor} and differs also in {', '.join(other)}"
        if contrast.primary:
            found.append(Finding("refuse", "confound", text, f"make '{contrast.name}' not primary, or match its arms"))
        else:
            found.append(Finding("warn", "confound", text))
    return found


def _replicates(plan: Plan) -> list[Finding]:
    replicates = plan.loaded.study.replicates
    bases = {r.base_model for r in replicates}
    found = []
    if len(replicates) < 4:
        found.append(Finding("warn", "replicates", f"{len(replicates)} replicates: intervals will be wide or absent"))
    if 1 < len(bases) < len(replicates):
        found.append(
            Finding("warn", "replicates", f"{len(replicates)} seeds over {len(bases)} bases: the base is the cluster")
        )
    if len(bases) == 1 and len(replicates) > 1:
        found.append(Finding("note", "replicates", "one base model: intervals say nothing about other bases"))
    return found


def _specs(plan: Plan) -> list[Finding]:
    """Variants whose text is broken by itself: another model's name, an unfilled placeholder, a reworded core."""
    family = plan.loaded.family
    used = sorted({v for a in plan.loaded.study.arms.values() for v in a.variants})
    wrong = [f for name in used for f in check_variant(family, name) if f.level == "error"]
    if not wrong:
        return []
    text = "; ".join(f"{f.variant}/{f.entry}: {f.check}: {f.text}" for f in wrong[:4])
    more = f" and {len(wrong) - 4} more" if len(wrong) > 4 else ""
    return [Finding("refuse", "spec", text + more, f"`specsci spec check {family.name}` lists them all")]


def _evals(plan: Plan) -> list[Finding]:
    """What a reader of the results would miss: a control of the format, both option orders, names that nothing fills."""
    study, family = plan.loaded.study, plan.loaded.family
    found = []
    if not any(e.role == "competence" for e in study.evals.values()):
        text = "no eval has the role competence: nobody would see that an arm cannot answer in this format"
        found.append(Finding("warn", "competence", text, "add an eval of easy items in the same format, role: competence"))
    names = {*family.data.identity, *(n for b in study.base_models.values() for n in b.identity)}
    for name in sorted({e.items for e in study.evals.values() if e.items}):
        items = family.items(name)
        single = [i.item_id for i in items if not i.ordered]
        if single:
            text = f"{len(single):,} of {len(items):,} items of '{name}' name no options ({{first}}, {{second}}): asked in one order only"
            found.append(Finding("note" if _is_control(study, name) else "warn", "orders", text))
        open_names = unfilled(items, names)
        if open_names:
            shown = ", ".join(f"{{{n}}}" for n in open_names[:4])
            found.append(
                Finding("warn", "items", f"prompts of '{name}' hold {shown}, which nothing fills: asked as they stand")
            )
    return found


def _is_control(study: Study, items: str) -> bool:
    """Whether an item set is asked as a capability control alone, whose options are not named by design."""
    return all(e.role == "capability" for e in study.evals.values() if e.items == items)


def _leaks(plan: Plan) -> list[Finding]:
    """Clauses that name what outcome items test; whole items are looked for once the texts exist."""
    study, family = plan.loaded.study, plan.loaded.family
    outcome = sorted({e.items for e in study.evals.values() if e.role == "outcome" and e.items})
    found = []
    for variant in sorted({v for a in study.arms.values() for v in a.variants}):
        leaks = leaks_of(family, variant, outcome)
        if not leaks:
            continue
        text = f"variant '{variant}' names {len({x.names for x in leaks})} things that outcome items test: {_shown(leaks)}"
        if study.gates.accept_spec_leaks:
            found.append(Finding("warn", "leak", f"{text}. Accepted: {study.gates.accept_spec_leaks}"))
        else:
            hint = "say the clauses more generally, or write gates.accept_spec_leaks: REASON"
            found.append(Finding("refuse", "leak", text, hint))
    return found


def _shown(leaks: list[Leak], most: int = 4) -> str:
    """Each clause's entries with what they name, at most a few."""
    shown = [f"{x.entry_id} ({x.kind} '{x.names}' of {x.items})" for x in leaks]
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")


def _tokens(plan: Plan) -> list[Finding]:
    tokens = {s.cost["tokens"] for s in plan.of_kind("midtrain")}
    if not tokens:
        return []
    mismatch = max(tokens) / min(tokens) - 1
    limit = plan.loaded.study.gates.max_token_mismatch
    if mismatch > limit:
        return [Finding("refuse", "tokens", f"midtraining tokens differ by {mismatch:.2%} across variants")]
    return [Finding("note", "tokens", f"midtraining tokens equal across variants ({mismatch:.2%} apart, limit {limit:.2%})")]


def _packages(plan: Plan) -> list[Finding]:
    """Bases whose weights come in a Python package that is not there yet."""
    found = []
    for name, base in plan.loaded.study.base_models.items():
        if absent := source_of(base.source).missing(base.source):
            requirement, install = absent
            found.append(Finding("warn", "weights", f"the weights of '{name}' are not installed ({requirement})", install))
    return found


def _pins(plan: Plan) -> list[Finding]:
    """Base models whose name may mean another model tomorrow, such as a branch."""
    study, found = plan.loaded.study, []
    primary = [c.name for c in study.contrasts if c.primary]
    for name, base in study.base_models.items():
        if source_of(base.source).pinned(base.source):
            continue
        line = plan.loaded.line("base_models", name, "source")
        text = f"'{base.source}' (line {line}) is not pinned to a commit"
        text += f", and '{primary[0]}' is a primary contrast" if primary else ""
        hint = f"`specsci study lock {plan.loaded.file.name}` writes the commit into the study"
        found.append(Finding("refuse" if primary else "warn", "pin", text, hint))
    return found


def _spread(plan: Plan) -> Runtime:
    """How the plan's stages are spread over devices."""
    settings = plan.loaded.study.runtime
    return Runtime.model_validate(settings.model_dump(include={"devices_per_stage", "sharding", "recompute"}))


def memory_of(plan: Plan) -> list[tuple[str, str, Memory]]:
    """Base, stage and estimate for one sequence at a time, of every base whose shape is known."""
    study = plan.loaded.study
    stages = {"midtrain": study.midtrain, "align": study.align}
    run = _spread(plan)
    return [
        (
            name,
            stage,
            memory(base.shape, settings.recipe, 1, gradient_checkpointing=run.recompute, spread=run.spread(settings.recipe)),
        )
        for name, base in plan.bases.items()
        if base.shape is not None
        for stage, settings in stages.items()
        if settings
    ]


def _memory(plan: Plan) -> list[Finding]:
    """A stage that will not fit this machine with one sequence at a time."""
    needs = memory_of(plan)
    if not needs:
        return []
    have = memory_gib(plan.loaded.study.runtime.device)
    found = []
    for base, stage, need in needs:
        if need.total_gib > have:
            text = f"{stage} of '{base}' needs about {need.total_gib:.0f} GiB, and this machine's device has {have:.0f} GiB"
            hint = "runtime.recompute: true, a lower recipe.max_length_tokens, more devices_per_stage, or method: qlora"
            found.append(Finding("warn", "memory", text, hint))
    return found + _loading(plan)


def _loading(plan: Plan) -> list[Finding]:
    """Before a model is sharded one process of a stage has it whole in main memory, and else every process has."""
    study, found, run = plan.loaded.study, [], _spread(plan)
    for name, stage, _ in memory_of(plan) if run.devices_per_stage > 1 else []:
        shape, settings = plan.bases[name].shape, getattr(study, stage)
        if shape is None:
            continue
        loaded = memory(shape, settings.recipe, 1, gradient_checkpointing=True).weights_gib
        holders = 1 if run.spread(settings.recipe) > 1 else run.devices_per_stage
        copies = holders if settings.recipe.adapter else holders + 1  # full training keeps a copy to compare with
        merged = shape.parameters * 4 / GIB if getattr(settings, "chain", "") == "merge" else 0.0
        need = copies * loaded + holders * merged
        if need > memory_gib("cpu"):
            who = f"{holders} processes load" if holders > 1 else "one process loads"
            text = f"{stage}: {who} '{name}' whole, {need:.0f} GiB of main memory, and there are {memory_gib('cpu'):.0f}"
            hint = "a machine with more of it, or method: lora with weights: bf16 where the recipe has another"
            if merged:
                hint = "align.chain: continue"
            if holders > 1:
                hint = "fewer devices_per_stage, or sharding: fsdp2"
            found.append(Finding("warn", "memory", text, hint))
    return found
