"""Gates on a plan: what must hold before anything is spent."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from specsci.errors import GateRefused, InputFileError, Problem
from specsci.plan.build import Plan
from specsci.specs.variants import markdown
from specsci.study.arms import confounds


@dataclass(frozen=True)
class Finding:
    """What a gate found: `refuse` stops a run, `warn` and `note` are printed."""

    level: Literal["refuse", "warn", "note"]
    gate: str
    text: str
    mend: str = ""


def findings(plan: Plan) -> list[Finding]:
    """All findings, refusals first."""
    found = [*_updates(plan), *_confounds(plan), *_replicates(plan), *_leaks(plan), *_tokens(plan)]
    return sorted(found, key=lambda f: ("refuse", "warn", "note").index(f.level))


def refuse_if_needed(plan: Plan) -> list[Finding]:
    """The findings, if none of them refuses; raises GateRefused with all that do."""
    found = findings(plan)
    refused = [f for f in found if f.level == "refuse"]
    if refused:
        text = "; ".join(f"{f.gate}: {f.text}" for f in refused)
        raise GateRefused(text, where=str(plan.loaded.file), mend="; ".join(f.mend for f in refused if f.mend))
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
                mend = "raise midtrain.tokens, lower recipe.sequences_per_update, or write gates.accept_few_updates: REASON"
                found.append(Finding("refuse", "dose", text, mend))
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


def _leaks(plan: Plan) -> list[Finding]:
    """Options of outcome items that a spec variant names; whole items are looked for once the texts exist."""
    study, family = plan.loaded.study, plan.loaded.family
    outcome = {e.items for e in study.evals.values() if e.role == "outcome"}
    tested: set[str] = set()
    for name in outcome:
        for number, line in enumerate(family.items_text(name).splitlines(), 1):
            if not line.strip():
                continue
            try:
                item = json.loads(line)
                tested.update((item["aligned"], item["misaligned"]))
            except (ValueError, KeyError, TypeError) as error:
                raise InputFileError([Problem(str(family.items_file(name)), number, 1, f"not an item: {error}")]) from error
    found = []
    for variant in sorted({a.midtrain for a in study.arms.values() if a.midtrain}):
        named = tested & {w.strip(".,;:") for w in markdown(family, variant).split()}
        if named:
            text = f"variant '{variant}' names {len(named)} options that outcome items test ({', '.join(sorted(named)[:4])})"
            found.append(Finding("warn", "leak", text))
    return found


def _tokens(plan: Plan) -> list[Finding]:
    tokens = {s.cost["tokens"] for s in plan.of_kind("midtrain")}
    if not tokens:
        return []
    mismatch = max(tokens) / min(tokens) - 1
    limit = plan.loaded.study.gates.max_token_mismatch
    if mismatch > limit:
        return [Finding("refuse", "tokens", f"midtraining tokens differ by {mismatch:.2%} across variants")]
    return [Finding("note", "tokens", f"midtraining tokens equal across variants ({mismatch:.2%} apart, limit {limit:.2%})")]
