"""Memory and loading on this machine."""

from __future__ import annotations

from specsci.core.machine import memory_gib
from specsci.plan.gates.finding import Finding
from specsci.plan.plan import Plan
from specsci.recipe.memory import GIB, Memory, memory


def memory_of(plan: Plan) -> list[tuple[str, str, Memory]]:
    """Base, stage and estimate for one sequence at a time, of every base whose shape is known."""
    study = plan.loaded.study
    stages = {"midtrain": study.midtrain, "align": study.align}
    run = study.runtime
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


def memory_of_stages(plan: Plan) -> list[Finding]:
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
    return found + _loading(plan, needs)


def _loading(plan: Plan, needs: list[tuple[str, str, Memory]]) -> list[Finding]:
    """Before a model is sharded one process of a stage has it whole in main memory, and else every process has."""
    study, found = plan.loaded.study, []
    run = study.runtime
    for name, stage, _ in needs if run.devices_per_stage > 1 else []:
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
