"""A plan as text and as data: what will happen, before it does."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from specsci.generate.backend import BACKENDS
from specsci.plan.build import units_by_variant
from specsci.plan.gates import Finding, memory_of
from specsci.plan.plan import Plan
from specsci.plan.price import LEAST_GPU_H, MFU, Estimate, Speeds, estimate, hourly_usd, place_of
from specsci.plan.written import generator_costs
from specsci.recipe.presets import STUDY_LINE, origin_of
from specsci.sources.opening import AS_IT_SAYS
from specsci.study.arms import budgets_of

LEAST_LISTED_GIB = 1.0
"""Disk from which a plan says what takes it."""


def as_dict(
    plan: Plan, have: set[str], found: list[Finding], *, speeds: Speeds | None = None, device: str | None = None
) -> dict[str, Any]:
    """The plan as one JSON document.

    Args:
        have: digests of what the store has.
        speeds: what earlier steps took, where a store tells.
        device: the device to plan for, in place of this machine's.
    """
    missing = [s for s in plan.steps.values() if s.digest not in have]
    return {
        "study": plan.loaded.name,
        "file": str(plan.loaded.file),
        "profile": plan.loaded.profile,
        "arms": {
            a: {**arm.model_dump(), "budgets": budgets_of(plan.loaded.study, a)} for a, arm in plan.loaded.study.arms.items()
        },
        "replicates": [r.model_dump() for r in plan.loaded.study.replicates],
        "stages": _stages(plan),
        "recipes": _recipes(plan),
        "memory": [{"base_model": b, "stage": s, **asdict(m), "total_gib": m.total_gib} for b, s, m in memory_of(plan)],
        "openings": {name: base.opening for name, base in plan.bases.items() if base.opening is not None},
        "kinds": _kinds(plan, have),
        "steps": [
            {
                "digest": s.digest,
                "kind": s.kind,
                "label": s.label,
                "inputs": s.inputs,
                "done": s.digest in have,
                "cost": s.cost,
            }
            for s in plan.steps.values()
        ],
        "to_run": len(missing),
        "estimate": _estimate_dict(estimate(plan, missing, place_of(plan, device), speeds)),
        "generators": _generator_dicts(plan, have),
        "findings": [vars(f) for f in found],
    }


def _estimate_dict(e: Estimate) -> dict[str, Any]:
    """Null stands for what nobody knows."""
    return {
        "training_tokens": e.tokens,
        "updates": e.updates,
        "flop": e.flop,
        "h100_h": _rounded(e.h100_h, 3),
        "device": e.device or None,
        "basis": e.basis,
        "worker_h": _rounded(e.worker_s, 3, 3600),
        "wall_h": _rounded(e.wall_s, 3, 3600),
        "core_seconds": _rounded(e.core_seconds, 1),
        "usd": _rounded(e.usd, 2),
        "gib": None if e.gib_unknown else round(e.total_gib, 3),
        "gib_by_use": {name: round(size, 3) for name, size in e.gib.items()},
    }


def _rounded(value: float | None, digits: int, unit: float = 1.0) -> float | None:
    return None if value is None else round(value / unit, digits)


def lines(
    plan: Plan, have: set[str], found: list[Finding], *, speeds: Speeds | None = None, device: str | None = None
) -> list[str]:
    """The plan as a person reads it; the arguments are those of `as_dict`."""
    study = plan.loaded.study
    subjects = {variant: f"{count} units" for variant, count in units_by_variant(plan.loaded).items()}
    for variant, files in plan.files.items():
        subjects[variant] = f"{sum(f.rows for f in files.values()):,} documents of {', '.join(files)}"
    out = [
        f"{plan.loaded.name}: {study.title}",
        f"file {plan.loaded.file}, profile {plan.loaded.profile}, family {study.family} {plan.loaded.family.data.version}",
        "",
        f"{len(study.replicates)} replicates: " + ", ".join(f"seed {r.seed} on {r.base_model}" for r in study.replicates),
        "arms:",
    ]
    for name, arm in study.arms.items():
        at = f"at {', '.join(f'{b:,}' for b in budgets_of(study, name))} tokens"
        stages = [
            f"align on {t.align} {at}" if t.midtrain is None else f"midtrain on {t.midtrain} ({subjects[t.midtrain]})"
            for t in arm.treatments
        ]
        asked = f", asked with {arm.prompt} in the prompt" if arm.prompt else ""
        out.append(f"  {name}: {'; '.join(stages) or 'the base model (no treatment)'}{asked}")
    out += ["stages (value, and where it comes from):"]
    for stage in _stages(plan):
        share = stage["warmup_updates"] / stage["updates"]
        out.append(
            f"  {stage['stage']}: {stage['tokens']:,} tokens ({stage['origin']}), {stage['updates']:,} updates of "
            f"{stage['tokens_per_update']:,} tokens, warm-up {share:.0%}, {stage['method']}, lr {stage['learning_rate']:g}"
        )
    for name, recipe in _recipes(plan).items():
        out += [f"  {name} recipe, {origin}: {', '.join(values)}" for origin, values in _by_origin(recipe).items()]
    out += _memory_lines(plan)
    out += _opening_lines(plan)
    out += ["steps (asked for -> shared -> to run):"]
    for kind, counts in _kinds(plan, have).items():
        out.append(f"  {kind}: {counts['requested']:,} -> {counts['steps']:,} -> {counts['to_run']:,}")
    missing = [s for s in plan.steps.values() if s.digest not in have]
    e = estimate(plan, missing, place_of(plan, device), speeds)
    out += [
        f"to run: {len(missing):,} of {len(plan.steps):,} steps; {e.tokens:,} training tokens in {e.updates:,} updates",
        f"estimate: {_time(e)}, {_disk(e)}, {_price(plan, e)}",
        *_gpu_line(plan, e),
        *generator_lines(plan, have),
        "",
        *(f"{f.level}: {f.gate}: {f.text}" + (f"\n  hint: {f.hint}" if f.hint else "") for f in found),
    ]
    return out


def generator_lines(plan: Plan, have: set[str]) -> list[str]:
    """What language models will be asked, and what that costs, before it does."""
    out = []
    for cost in generator_costs(plan, have):
        settings = cost.settings
        prices = "price unknown"
        if cost.usd_online is not None and cost.usd_batch is not None:
            prices = f"${cost.usd_online:,.2f} online"
            prices += f", ${cost.usd_batch:,.2f} as batches" if BACKENDS[settings.backend].batches else ""
        cap = f", at most ${settings.max_usd:,.2f}" if settings.max_usd is not None else ""
        within = "within a day" if settings.mode == "batch" else f"about {_duration(cost.hours * 3600)} with {settings.connections} connections"
        out.append(
            f"requests to {cost.name} ({settings.backend} {settings.model}, {settings.mode}): {cost.requests:,}, with "
            f"{cost.input_tokens:,} input and {cost.output_tokens:,} output tokens; {prices}{cap}; {within}"
        )
    return out


def _generator_dicts(plan: Plan, have: set[str]) -> list[dict[str, Any]]:
    return [
        {
            "generator": c.name,
            "backend": c.settings.backend,
            "model": c.settings.model,
            "mode": c.settings.mode,
            "requests": c.requests,
            "input_tokens": c.input_tokens,
            "output_tokens": c.output_tokens,
            "usd": _rounded(c.usd, 6),
            "usd_online": _rounded(c.usd_online, 6),
            "usd_batch": _rounded(c.usd_batch, 6),
            "max_usd": c.settings.max_usd,
            "hours": round(c.hours, 4),
        }
        for c in generator_costs(plan, have)
    ]


def _time(e: Estimate) -> str:
    """How long it takes and on what, or why that is unknown."""
    if e.wall_s is None:
        return f"time unknown ({e.basis})"
    if e.core_seconds is not None:
        cores = round(e.core_seconds / e.wall_s) if e.wall_s else 0
        where = f" on {cores} core{'s' if cores > 1 else ''}" if cores else ""
        return f"about {_duration(e.wall_s)}{where} ({e.core_seconds:,.0f} core-seconds, {e.basis})"
    how = e.basis if e.basis == "measured" else f"at {MFU:.0%} of its bf16 peak, not measured"
    workers = f" with {e.workers} workers" if e.workers > 1 else ""
    return f"about {_duration(e.wall_s)} on {e.device}{workers} ({how})"


def _disk(e: Estimate) -> str:
    """What will be written; the uses are named where it is much."""
    uses = [f"{name} {size:.2f}" for name, size in e.gib.items() if size >= 0.005]
    listed = f" ({', '.join(uses)})" if e.total_gib >= LEAST_LISTED_GIB else ""
    if e.gib_unknown:
        return f"disk unknown (a base's size is not known), at least {e.total_gib:.2f} GiB{listed}"
    return f"{e.total_gib:.2f} GiB of disk{listed}"


def _price(plan: Plan, e: Estimate) -> str:
    if hourly_usd(plan) is None:
        return "price unknown (runtime.usd_per_h is not set)"
    return f"price unknown ({e.basis})" if e.usd is None else f"${e.usd:,.2f}"


def _duration(seconds: float) -> str:
    """Minutes up to two hours, then hours, then days."""
    for unit, size, most in (("min", 60, 120), ("h", 3600, 72)):
        if seconds / size < most:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 86_400:,.0f} days"


def _gpu_line(plan: Plan, e: Estimate) -> list[str]:
    """What the same work would take on GPUs, where it is worth one."""
    if e.h100_h is None or e.h100_h < LEAST_GPU_H:
        return []
    text = f"on GPUs: about {e.h100_h:,.1f} H100 hours ({e.flop:.2g} FLOP at {MFU:.0%} of its bf16 peak), not measured"
    price = hourly_usd(plan)
    if price and e.usd is None and plan.loaded.study.runtime.devices_per_stage == 1:
        text += f"; ${e.h100_h * price:,.2f} if an H100 costs ${price:g} an hour"
    return [text]


def _stages(plan: Plan) -> list[dict[str, Any]]:
    study, stages = plan.loaded.study, []
    if study.midtrain:
        stages.append(("midtrain", study.midtrain.tokens, study.midtrain.recipe, plan.loaded.line("midtrain", "tokens")))
    if study.align:
        where = plan.loaded.line("align", "budgets_tokens")
        stages += [("align", budget, study.align.recipe, where) for budget in study.align.budgets_tokens]
    out = []
    for name, tokens, recipe, line in stages:
        updates = recipe.updates(tokens)
        out.append(
            {
                "stage": name,
                "tokens": tokens,
                "origin": f"study line {line}",
                "updates": updates,
                "tokens_per_update": recipe.tokens_per_update,
                "warmup_updates": recipe.warmup_updates(updates),
                "method": recipe.method,
                "learning_rate": recipe.learning_rate,
            }
        )
    return out


def _recipes(plan: Plan) -> dict[str, dict[str, dict[str, Any]]]:
    """Every value of each stage's recipe that is in force, with where it comes from."""
    out = {}
    for name in ("midtrain", "align"):
        stage = getattr(plan.loaded.study, name)
        if stage is None:
            continue
        given, recipe = plan.loaded.given(name, "recipe"), stage.recipe
        values = recipe.model_dump(mode="json") if recipe.adapter else recipe.model_dump(mode="json", exclude={"lora"})
        out[name] = {
            field: {
                "value": value,
                "origin": origin_of(field, given, recipe.preset, plan.loaded.line(name, "recipe", field)),
            }
            for field, value in values.items()
        }
    return out


def _memory_lines(plan: Plan) -> list[str]:
    """What a stage needs of a device's memory, for every base whose shape is known."""
    out, run = [], plan.loaded.study.runtime
    each = f" on each of {run.devices_per_stage} devices ({run.sharding})" if run.devices_per_stage > 1 else ""
    for base, name, found in memory_of(plan):
        parts = f"weights {found.weights_gib:.2f}, trained {found.trained_gib:.2f}"
        parts += f", activations {found.activations_gib:.2f}, logits {found.logits_gib:.2f}"
        out.append(f"  {name} of {base} needs about {found.total_gib:.1f} GiB{each} for one sequence at a time ({parts})")
    return out


def _opening_lines(plan: Plan) -> list[str]:
    """How the texts of every base from a directory or a hub begin: documents, chats and what evals ask."""
    out = []
    for name, base in plan.bases.items():
        if base.opening is not None:
            begun = base.opening or "no BOS token"
            how = begun if begun == AS_IT_SAYS else f"with {begun}, as its tokenizer begins them"
            out.append(f"  texts for {name} begin {how}")
    return out


def _by_origin(recipe: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """The values of a recipe as text, grouped by origin; lines of the study are one group."""
    grouped: dict[str, list[str]] = {}
    for field, entry in recipe.items():
        origin, text = entry["origin"], f"{field} {_value(entry['value'])}"
        if origin.startswith(STUDY_LINE):
            origin, text = "from the study", f"{text} (line {origin.removeprefix(STUDY_LINE)})"
        elif origin == "paper":
            origin = "from the paper"
        grouped.setdefault(origin, []).append(text)
    return grouped


def _value(value: Any) -> str:
    if isinstance(value, dict):  # the adapter
        return f"r{value['rank']} alpha {value['alpha']}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _kinds(plan: Plan, have: set[str]) -> dict[str, dict[str, int]]:
    out: dict[str, dict[str, int]] = {}
    for step in plan.steps.values():
        counts = out.setdefault(step.kind, {"requested": plan.requested[step.kind], "steps": 0, "to_run": 0})
        counts["steps"] += 1
        counts["to_run"] += step.digest not in have
    return out
