"""Adapters: a new one, one that goes on, and the check that it reaches every module it names."""

from __future__ import annotations

from typing import Any

from specsci.errors import SpecsciError
from specsci.train.recipe import Recipe


def with_adapter(model: Any, recipe: Recipe) -> Any:
    """The model ready to train under a recipe: itself for `full`, its adapter going on, or a new adapter.

    Raises:
        SpecsciError: a LoRA target that the model does not have, or full training of an adapted model.
    """
    from peft import LoraConfig, PeftModel, get_peft_model

    adapted = isinstance(model, PeftModel)
    if recipe.method == "full":
        if adapted:
            raise SpecsciError(
                "full-weight training cannot go on from an adapter", mend="use one method in both stages, or merge first"
            )
        return model
    if adapted:
        return model
    names = {name.rsplit(".", 1)[-1] for name, _ in model.named_modules()}
    missing = sorted(set(recipe.lora.targets) - names)
    if missing:
        raise SpecsciError(
            f"LoRA targets {missing} match no module of {type(model).__name__}",
            mend=f"name modules that exist, such as {sorted(n for n in names if n.endswith('proj'))}",
        )
    config = LoraConfig(
        r=recipe.lora.rank,
        lora_alpha=recipe.lora.alpha,
        lora_dropout=recipe.lora.dropout,
        target_modules=list(recipe.lora.targets),
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)


def trainable_parameters(model: Any) -> int:
    """How many parameters the optimizer sees."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
