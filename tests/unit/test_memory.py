"""The memory estimate: it counts what a model has, and it moves as it should."""

from __future__ import annotations

import json

import pytest

from specsci.recipe.memory import MARGIN, Shape, fitting_micro_batch, memory, shape_in, shape_of
from specsci.recipe.recipe import Recipe, Runtime
from specsci.train.memory_peaks import FILE, LAST, correction, remember, sort_of

EIGHT_B = Shape(hidden=4096, layers=32, vocabulary=128_256, intermediate=14_336)
LORA = {"method": "lora", "precision": "bf16", "weights": "bf16", "sequences_per_update": 16}


def test_the_parameters_are_a_real_models() -> None:
    """Against transformers' own count of a Llama without grouped queries: all but the norms."""
    torch = pytest.importorskip("torch")
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=300, hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4, tie_word_embeddings=True
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    norms = sum(p.numel() for n, p in model.named_parameters() if "norm" in n)
    found = shape_of(config.to_dict())
    assert found == Shape(64, 3, 300, 96, tied=True)
    assert found.parameters == sum(p.numel() for p in model.parameters()) - norms
    assert torch.is_tensor(model.lm_head.weight)


def test_an_8b_model_needs_what_it_is_known_to_need() -> None:
    """bf16 weights of 8B are 15 to 17 GiB; 4 bits leave under 6; full training with Adam is over 100."""
    lora = memory(EIGHT_B, Recipe(**LORA), 1, gradient_checkpointing=False)
    assert 15 < lora.weights_gib < 17 and lora.trained_gib < 4
    quantised = memory(EIGHT_B, Recipe(**{**LORA, "method": "qlora"}), 1, gradient_checkpointing=False)
    assert 4 < quantised.weights_gib < 6.5
    full = memory(EIGHT_B, Recipe(method="full", precision="bf16"), 1, gradient_checkpointing=False)
    assert full.weights_gib + full.trained_gib > 100
    small = memory(EIGHT_B, Recipe(method="full", precision="bf16", optimizer="adamw_8bit"), 1, gradient_checkpointing=False)
    assert small.trained_gib < full.trained_gib - 40


def test_more_tokens_need_more_and_recomputation_less() -> None:
    recipe = Recipe(**LORA)
    one, two = (memory(EIGHT_B, recipe, n, gradient_checkpointing=False) for n in (1, 2))
    assert two.activations_gib == pytest.approx(2 * one.activations_gib, rel=0.01) and two.weights_gib == one.weights_gib
    assert memory(EIGHT_B, recipe, 1, gradient_checkpointing=True).activations_gib < one.activations_gib / 5
    assert one.total_gib == pytest.approx(one.weights_gib + one.trained_gib + one.activations_gib + one.logits_gib)


@pytest.mark.parametrize("device_gib", [24, 40, 80, 141])
def test_the_micro_batch_is_the_largest_divisor_that_fits(device_gib) -> None:
    recipe = Recipe(**LORA)
    found = fitting_micro_batch(EIGHT_B, recipe, device_gib, gradient_checkpointing=False)
    assert 16 % found == 0

    def fits(size: int) -> bool:
        return memory(EIGHT_B, recipe, size, gradient_checkpointing=False).total_gib <= MARGIN * device_gib

    larger = [n for n in (2, 4, 8, 16) if n > found]
    assert not any(fits(n) for n in larger) and (found == 1 or fits(found))


def test_a_model_of_unknown_shape_is_tried_whole(tmp_path) -> None:
    assert fitting_micro_batch(None, Recipe(**LORA), 1.0, gradient_checkpointing=False) == 16
    assert shape_of({"d_model": 512, "n_layer": 6}) is None and shape_in(tmp_path) is None
    experts = {"hidden_size": 8, "num_hidden_layers": 2, "vocab_size": 9, "intermediate_size": 3, "num_local_experts": 4}
    assert shape_of(experts) is None, "a mixture of experts is not a dense model"
    nested = {"text_config": {"hidden_size": 8, "num_hidden_layers": 2, "vocab_size": 9, "intermediate_size": 3}}
    (tmp_path / "config.json").write_text(json.dumps(nested))
    assert shape_in(tmp_path) == Shape(8, 2, 9, 3)


def test_what_a_stage_really_took_corrects_the_next_estimate_of_its_sort(tmp_path) -> None:
    recipe, runtime = Recipe(**LORA), Runtime(device="cuda")
    mine = sort_of(EIGHT_B, recipe, runtime, "H100")
    others = [
        sort_of(EIGHT_B, recipe, runtime, "A100"),
        sort_of(EIGHT_B, recipe, Runtime(recompute=True), "H100"),
        sort_of(EIGHT_B, Recipe(**{**LORA, "method": "qlora"}), runtime, "H100"),
        sort_of(EIGHT_B, recipe, Runtime(devices_per_stage=2), "H100"),
    ]
    assert correction(tmp_path, mine) == 1.0, "nothing was measured"
    for sort in others:
        remember(tmp_path, sort, 10, 90)
    assert correction(tmp_path, mine) == 1.0, "another device, recomputation, method or sharding says nothing"
    remember(tmp_path, mine, 40, 50)
    remember(tmp_path, mine, 40, 44)
    assert correction(tmp_path, mine) == 1.25
    with (tmp_path / FILE).open("a") as file:
        file.write('{"sort": {"hidden"')
    assert correction(tmp_path, mine) == 1.25, "a line that a kill cut short"
    (tmp_path / FILE).write_text((tmp_path / FILE).read_text() + "\n")
    for _ in range(LAST):
        remember(tmp_path, mine, 40, 36)
    assert correction(tmp_path, mine) == 0.9, "what was long ago is forgotten"
    assert sort_of(EIGHT_B, Recipe(**{**LORA, "learning_rate": 1.0}), runtime, "H100") == mine
