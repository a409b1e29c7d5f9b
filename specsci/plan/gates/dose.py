"""Updates and tokens: enough of them to tell anything."""

from __future__ import annotations

from specsci.plan.gates.finding import Finding
from specsci.plan.plan import Plan


def enough_updates(plan: Plan) -> list[Finding]:
    """Stages with so few optimizer updates that nothing can be learnt from a null."""
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


def equal_tokens(plan: Plan) -> list[Finding]:
    """Arms that are midtrained on unequal numbers of tokens."""
    tokens = {s.cost["tokens"] for s in plan.of_kind("midtrain")}
    if not tokens:
        return []
    mismatch = max(tokens) / min(tokens) - 1
    limit = plan.loaded.study.gates.max_token_mismatch
    if mismatch > limit:
        return [Finding("refuse", "tokens", f"midtraining tokens differ by {mismatch:.2%} across variants")]
    return [Finding("note", "tokens", f"midtraining tokens equal across variants ({mismatch:.2%} apart, limit {limit:.2%})")]
