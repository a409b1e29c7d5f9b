"""Adapters: a new one, one that goes on, and the proof of what it reaches."""

from __future__ import annotations

from typing import Any

from specsci.core.errors import SpecsciError
from specsci.models.structure import is_projection, matrices
from specsci.recipe.recipe import Recipe


def with_adapter(model: Any, recipe: Recipe) -> Any:
    """The model ready to train under a recipe: itself for `full`, its adapter going on, or a new adapter.

    Raises:
        SpecsciError: a LoRA target that the model does not have, a block type that no adapter reaches, or full
            training of an adapted model.
    """
    from peft import LoraConfig, PeftModel, get_peft_model

    adapted = isinstance(model, PeftModel)
    if not recipe.adapter:
        if adapted:
            raise SpecsciError(
                "full-weight training cannot go on from an adapter",
                hint="use one method in both stages, or align.chain: merge",
            )
        return model.requires_grad_(True)  # what an adapter was merged into comes frozen
    config = LoraConfig(
        r=recipe.lora.rank,
        lora_alpha=recipe.lora.alpha,
        lora_dropout=recipe.lora.dropout,
        target_modules=list(recipe.lora.targets),
        task_type="CAUSAL_LM",
    )
    if adapted and trainable_parameters(model):
        _same_shape(model.peft_config[model.active_adapter], config)
    elif adapted:
        _add_beside(model, config)
    else:
        _check_targets(model, recipe)
        model = get_peft_model(model, config)
    _check_reach(model, recipe)
    return model


def _check_targets(model: Any, recipe: Recipe) -> None:
    names = {name.rsplit(".", 1)[-1] for name, _ in model.named_modules()}
    missing = sorted(set(recipe.lora.targets) - names)
    if missing:
        raise SpecsciError(
            f"LoRA targets {missing} match no module of {type(model).__name__}",
            hint=f"name modules that exist, such as {_projections(model)}",
        )


def _projections(model: Any) -> list[str]:
    """The last names of the matrices in a model's layers."""
    found = {name.rsplit(".", 1)[-1] for name, (_, module) in matrices(model).items() if is_projection(module)}
    return sorted(found)


def _same_shape(found: Any, wanted: Any) -> None:
    """An adapter that goes on is the one that the recipe describes."""
    pairs = {"rank": (found.r, wanted.r), "alpha": (found.lora_alpha, wanted.lora_alpha)}
    pairs["targets"] = (sorted(found.target_modules), sorted(wanted.target_modules))
    wrong = [f"{name} {have} (the recipe says {want})" for name, (have, want) in pairs.items() if have != want]
    if wrong:
        raise SpecsciError(
            f"the adapter that goes on has {', '.join(wrong)}",
            hint="give both stages the same `lora:`, or write align.chain: new or merge",
        )


def _add_beside(model: Any, config: Any) -> None:
    """A new adapter beside a frozen one; both act, only the new one is trained."""
    below = list(model.peft_config)
    model.add_adapter("default", config)
    model.base_model.set_adapter([*below, "default"])
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(".default." in name)


def reach(model: Any) -> dict[str, dict[str, int]]:
    """What the adapters reach, by type of block: matrices inside the layers, and how many carry an adapter.

    A block is the innermost module that owns a matrix (an attention, an MLP, a mixture's experts), whatever the class of
    its layers; a type that has matrices and no adapter on any of them is frozen, whatever share the targets match.

    Returns:
        Block type to `{"matrices": n, "adapted": m}`.
    """
    found: dict[str, dict[str, int]] = {}
    for kind, module in matrices(model).values():
        counts = found.setdefault(kind, {"matrices": 0, "adapted": 0})
        counts["matrices"] += 1
        counts["adapted"] += any(p.requires_grad for n, p in module.named_parameters() if "lora_" in n)
    return dict(sorted(found.items()))


def _check_reach(model: Any, recipe: Recipe) -> None:
    frozen = [kind for kind, c in reach(model).items() if not c["adapted"] and kind not in recipe.lora.accept_frozen]
    if frozen:
        raise SpecsciError(
            f"no adapter reaches the blocks of type {', '.join(frozen)}: they would stay as they are",
            hint=f"add their projections to lora.targets, or write lora.accept_frozen: [{', '.join(frozen)}]",
        )


def trainable_parameters(model: Any) -> int:
    """How many parameters the optimizer sees."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
