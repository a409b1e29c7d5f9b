"""A plan's arithmetic against torch's own counting of every product of a real model at the paper's scale, without its weights."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen3Config, Qwen3ForCausalLM

from specsci.core.step import Step
from specsci.plan.cost import CostModel
from specsci.recipe.recipe import Recipe

TOKENS = 2048
SHAPES = {
    "8B": {"hidden_size": 4096, "num_hidden_layers": 36, "intermediate_size": 12288, "num_attention_heads": 32, "num_key_value_heads": 8},
    "32B": {"hidden_size": 5120, "num_hidden_layers": 64, "intermediate_size": 25600, "num_attention_heads": 64, "num_key_value_heads": 8},
}
LORA = {"method": "lora", "lora": {"rank": 64, "alpha": 128}}


def counted(shape: dict[str, int], method: str, *, recompute: bool) -> tuple[float, int]:
    """FLOP of one sequence forward and backward, counted product by product on meta tensors; and the base's parameters."""
    from peft import LoraConfig, get_peft_model

    with torch.device("meta"):
        model = Qwen3ForCausalLM(Qwen3Config(vocab_size=151936, head_dim=128, tie_word_embeddings=False, attn_implementation="eager", **shape))
        parameters = model.num_parameters()
        if method == "lora":
            model = get_peft_model(model, LoraConfig(r=64, lora_alpha=128, target_modules="all-linear", task_type="CAUSAL_LM"))
            model.enable_input_require_grads()
        if recompute:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.train()
        ids = torch.zeros((1, TOKENS), dtype=torch.long)
        with FlopCounterMode(display=False) as counter:
            whole = {"full_attention": None}  # building a mask would look at values
            model(input_ids=ids, attention_mask=whole, labels=ids, use_cache=False).loss.backward()
    return float(counter.get_total_flops()), parameters


@pytest.mark.parametrize(("name", "method", "recompute"), [("8B", "full", False), ("32B", "lora", False), pytest.param("8B", "lora", True, marks=pytest.mark.slow)])
def test_two_ways_of_counting_agree_within_a_fifth(name: str, method: str, recompute: bool) -> None:
    recipe = Recipe(learning_rate=1e-4, sequences_per_update=1, max_length_tokens=TOKENS, **(LORA if method == "lora" else {"method": "full"}))
    want, parameters = counted(SHAPES[name], method, recompute=recompute)
    step = CostModel().train(Step("midtrain", {}, runtime={"recompute": recompute}), recipe, TOKENS, parameters)
    assert step.cost["flop"] == pytest.approx(want, rel=0.2), f"{step.cost['flop'] / want:.2f} of what torch counts"
