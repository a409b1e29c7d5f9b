"""Invariances of adapters: saved, loaded, going on, standing on one another, on random models of hidden size 32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import SHAPE, chats, documents, llama, logits_of, lora, loud, recipe, saved_base, train
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2MoeConfig, Qwen2MoeForCausalLM

from specsci.core.errors import SpecsciError
from specsci.models.hf import ADAPTER, MODEL, WeightFormat, folded, load_model, save_model
from specsci.recipe.recipe import Recipe, Runtime
from specsci.train.adapters import reach, trainable_parameters, with_adapter


def test_full_weights_saved_and_loaded_give_equal_logits(model, tokenizer, tmp_path):
    base = saved_base(model, tmp_path)
    trained = load_model(base, trainable=True)
    train(trained, documents(20), tokenizer, tmp_path, recipe())
    trained.save_pretrained(tmp_path / "out" / MODEL, safe_serialization=True)
    assert torch.equal(logits_of(load_model(base, tmp_path / "out")), logits_of(trained))
    assert not torch.equal(logits_of(load_model(base)), logits_of(trained))


def test_an_adapter_saved_and_loaded_gives_equal_logits_and_leaves_the_base(model, tokenizer, tmp_path):
    base = saved_base(model, tmp_path)
    trained = with_adapter(load_model(base, trainable=True), lora())
    assert 0 < trainable_parameters(trained) < sum(p.numel() for p in model.parameters())
    frozen = {n: p.detach().clone() for n, p in trained.named_parameters() if not p.requires_grad}
    untouched = logits_of(load_model(base))
    assert torch.equal(logits_of(trained), untouched), "a new adapter changes nothing"
    train(trained, documents(20), tokenizer, tmp_path, lora())
    assert all(torch.equal(p, frozen[n]) for n, p in trained.named_parameters() if n in frozen)
    trained.save_pretrained(tmp_path / "out" / ADAPTER, safe_serialization=True)
    loaded = load_model(base, tmp_path / "out")
    torch.testing.assert_close(logits_of(loaded), logits_of(trained), atol=0, rtol=0)
    assert float((logits_of(loaded) - untouched).abs().max()) > 1e-2


def test_an_adapter_goes_on_as_if_it_had_never_been_saved(model, tokenizer, tmp_path):
    """Midtrain, save, load, align equals midtrain, align in one process; and it is one adapter, not two."""
    base = saved_base(model, tmp_path)
    first, second = documents(20, seed=1), chats(20, tokenizer)
    torch.manual_seed(1)
    straight = with_adapter(load_model(base, trainable=True), lora())
    train(straight, first, tokenizer, tmp_path, lora())
    straight.save_pretrained(tmp_path / "mid" / ADAPTER, safe_serialization=True)
    between = logits_of(straight).clone()
    resumed = with_adapter(load_model(base, tmp_path / "mid", trainable=True), lora())
    straight.train()
    for continued in (straight, resumed):
        train(with_adapter(continued, lora()), second, tokenizer, tmp_path, lora())
    ends = [{n: p for n, p in m.named_parameters() if p.requires_grad} for m in (straight, resumed)]
    assert ends[0].keys() == ends[1].keys()
    assert len({n.split(".")[-2] for n in ends[0]}) == 1, "one adapter"
    for name in ends[0]:
        torch.testing.assert_close(ends[0][name], ends[1][name], atol=1e-6, rtol=0)
    assert float((logits_of(resumed) - between).abs().max()) > 1e-3, "the second stage moved it on"


def test_full_training_of_an_adapter_and_unknown_targets_are_refused(tokenizer, tmp_path):
    adapted = with_adapter(llama(), lora())
    with pytest.raises(SpecsciError, match="full-weight training cannot go on from an adapter"):
        with_adapter(adapted, recipe())
    with pytest.raises(SpecsciError, match="match no module") as caught:
        with_adapter(llama(), recipe(method="lora", lora={"targets": ["c_attn"]}))
    assert "q_proj" in caught.value.hint


def saved(model: Any, tmp_path: Path, name: str) -> Path:
    save_model(model, tmp_path / name / ADAPTER)
    return tmp_path / name


def moved(model: Any, tokenizer: Any, tmp_path: Path, seed: int, with_: Recipe | None = None) -> Any:
    """The model with its adapter trained a little."""
    trained = with_adapter(model, with_ or lora())
    train(trained, documents(20, seed=seed), tokenizer, tmp_path, with_ or lora())
    return trained


def test_merging_the_first_adapter_keeps_the_logits_and_the_second_stands_on_it(model, tokenizer, tmp_path):
    base = saved_base(model, tmp_path)
    first = moved(load_model(base, trainable=True), tokenizer, tmp_path, 1)
    before = logits_of(first).clone()
    below = saved(first, tmp_path, "mid")
    merged = load_model(base, below=below, merge=True)
    torch.testing.assert_close(logits_of(merged), before, atol=1e-4, rtol=0)
    second = moved(load_model(base, below=below, merge=True, trainable=True), tokenizer, tmp_path, 2)
    assert float((logits_of(second) - before).abs().max()) > 1e-2
    out = saved(second, tmp_path, "out")
    loaded = load_model(base, out, below=below, merge=True)
    torch.testing.assert_close(logits_of(loaded), logits_of(second), atol=1e-5, rtol=0)


def test_adapters_folded_for_reading_keep_the_logits_and_leave_no_product_of_their_own(model, tokenizer, tmp_path):
    base = saved_base(model, tmp_path)
    below = saved(moved(load_model(base, trainable=True), tokenizer, tmp_path, 1), tmp_path, "mid")
    out = saved(moved(load_model(base, below=below, merge=False, trainable=True), tokenizer, tmp_path, 2), tmp_path, "out")
    unfolded = logits_of(load_model(base, out, below=below, merge=False))
    alone = folded(load_model(base, out, below=below, merge=False))
    assert not any("lora" in name for name, _ in alone.named_parameters())
    torch.testing.assert_close(logits_of(alone), unfolded, atol=1e-5, rtol=0)
    assert float((unfolded - logits_of(load_model(base, out))).abs().max()) > 1e-3, "both adapters count"
    plain = load_model(base)
    assert folded(plain) is plain


def test_an_adapter_on_an_output_layer_that_shares_its_weights_is_not_folded():
    """Folding it would change the embedding of what is read too."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    tied = LlamaForCausalLM(LlamaConfig(**{**SHAPE, "tie_word_embeddings": True}))
    model = get_peft_model(tied, LoraConfig(r=2, target_modules=["lm_head", "q_proj"], init_lora_weights=False)).eval()
    before = logits_of(model)
    assert folded(model) is model
    torch.testing.assert_close(logits_of(model), before, atol=0, rtol=0)


def test_a_new_adapter_beside_a_frozen_one_leaves_it_as_it_was(model, tokenizer, tmp_path):
    base = saved_base(model, tmp_path)
    first = moved(load_model(base, trainable=True), tokenizer, tmp_path, 1)
    before, below = logits_of(first).clone(), saved(first, tmp_path, "mid")
    stacked = load_model(base, below=below, merge=False)
    assert trainable_parameters(stacked) == 0
    torch.testing.assert_close(logits_of(with_adapter(stacked, lora())), before, atol=0, rtol=0)
    frozen = {n: p.detach().clone() for n, p in stacked.named_parameters() if not p.requires_grad}
    train(stacked, documents(20, seed=2), tokenizer, tmp_path, lora())
    assert all(torch.equal(p, frozen[n]) for n, p in stacked.named_parameters() if n in frozen)
    out = saved(stacked, tmp_path, "out")
    loaded = load_model(base, out, below=below, merge=False)
    torch.testing.assert_close(logits_of(loaded), logits_of(stacked), atol=0, rtol=0)
    alone = logits_of(load_model(base, out))
    assert float((alone - logits_of(stacked)).abs().max()) > 1e-3, "without what it stands on it is another model"


def test_full_training_goes_on_from_a_merged_adapter(model, tokenizer, tmp_path):
    base = saved_base(model, tmp_path)
    below = saved(moved(load_model(base, trainable=True), tokenizer, tmp_path, 1), tmp_path, "mid")
    full = load_model(base, below=below, merge=True, trainable=True)
    train(with_adapter(full, recipe()), documents(20, seed=2), tokenizer, tmp_path, recipe())
    save_model(full, tmp_path / "out" / MODEL)
    assert torch.equal(logits_of(load_model(base, tmp_path / "out", below=below)), logits_of(full))


def test_an_adapter_of_another_shape_does_not_go_on(tokenizer, tmp_path):
    base = saved_base(llama(), tmp_path)
    mid = saved(with_adapter(load_model(base), lora()), tmp_path, "mid")
    other = recipe(method="lora", lora={"rank": 8, "alpha": 8})
    with pytest.raises(SpecsciError, match=r"has rank 4 \(the recipe says 8\)") as caught:
        with_adapter(load_model(base, mid, trainable=True), other)
    assert "align.chain" in caught.value.hint


def wide_llama() -> Any:
    """A model whose matrices have whole blocks of 64 numbers, as the 4-bit kernels want them."""
    return LlamaForCausalLM(LlamaConfig(**{**SHAPE, "hidden_size": 64, "intermediate_size": 128}))


@pytest.mark.parametrize("weights", ["fp32", "bf16"])
def test_a_four_bit_base_learns_through_its_adapter(weights, tokenizer, tmp_path):
    """QLoRA on the CPU: the loss falls, the base does not move, the adapter is fp32, and it loads again."""
    torch.manual_seed(3)
    base = saved_base(loud(wide_llama()), tmp_path)
    with_ = recipe(method="qlora", lora={"rank": 8, "alpha": 16}, learning_rate=1e-2, epochs=6, weights=weights)
    weight_format = WeightFormat(weights, quantised=True)
    model = with_adapter(load_model(base, weight_format=weight_format, trainable=True), with_)
    frozen = {n: p.detach().clone() for n, p in model.named_parameters() if not p.requires_grad}
    assert any(type(m).__name__ == "Linear4bit" for m in model.modules())
    report = train(model, documents(24), tokenizer, tmp_path, with_)
    losses = [p["loss"] for p in report.curve]
    assert sum(losses[-3:]) / 3 < sum(losses[:3]) / 3 - 0.5
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    assert all(torch.equal(p, frozen[n]) for n, p in model.named_parameters() if n in frozen)
    out = saved(model, tmp_path, "out")
    loaded = load_model(base, out, weight_format=weight_format)
    torch.testing.assert_close(logits_of(loaded), logits_of(model), atol=0.25, rtol=0)
    bare = logits_of(load_model(base, weight_format=weight_format))
    assert float((logits_of(loaded) - bare).abs().max()) > 1.0


def test_a_four_bit_base_that_was_asked_something_trains_as_one_that_was_not(tmp_path):
    """On processors with AVX512-BF16 bitsandbytes repacks weights in a forward outside training; gradients then stop at each layer."""
    torch.manual_seed(3)
    base = saved_base(loud(wide_llama()), tmp_path)
    with_ = recipe(method="qlora", lora={"rank": 4, "alpha": 8}, learning_rate=1e-2)
    found = []
    for asked in (False, True):
        torch.manual_seed(5)
        model = with_adapter(load_model(base, weight_format=WeightFormat("fp32", quantised=True), trainable=True), with_)
        ids = torch.arange(12).reshape(2, 6)
        if asked:
            with torch.no_grad():
                model.eval()(input_ids=ids)
        layers = [m for m in model.modules() if type(m).__name__ == "Linear4bit"]
        assert layers and not any(getattr(m.weight.quant_state, "packing_format_for_cpu", False) for m in layers)
        model.train()(input_ids=ids, labels=ids).loss.backward()
        found.append({n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad})
    assert max(float(g.abs().max()) for g in found[0].values()) > 0
    for name, gradient in found[0].items():
        assert torch.equal(gradient, found[1][name]), name


def test_reach_counts_matrices_by_block_type(model):
    adapted = with_adapter(model, lora())
    found = reach(adapted)
    assert len(found) == 2 and all(c["adapted"] == c["matrices"] for c in found.values())
    assert sorted(c["matrices"] for c in found.values()) == [6, 8]


def test_a_block_type_that_no_adapter_reaches_is_an_error_unless_it_is_said(tokenizer):
    """All targets exist, and every layer has some: the MLPs would still be frozen without a word."""
    attention = {"rank": 4, "alpha": 8, "targets": ["q_proj", "k_proj", "v_proj", "o_proj"]}
    with pytest.raises(SpecsciError, match="no adapter reaches the blocks of type LlamaMLP"):
        with_adapter(llama(), recipe(method="lora", lora=attention))
    said = recipe(method="lora", lora={**attention, "accept_frozen": ["LlamaMLP"]})
    assert reach(with_adapter(llama(), said))["LlamaMLP"] == {"matrices": 6, "adapted": 0}


@pytest.mark.parametrize("method", ["full", "lora"])
def test_recomputation_and_the_precision_of_the_computation(method, tokenizer, tmp_path):
    """Recomputing activations changes no loss; computing in bf16 changes them a little, and trains fp32 weights."""
    with_ = recipe() if method == "full" else lora()
    curves = []
    for recompute, precision in ((False, "fp32"), (True, "fp32"), (False, "bf16")):
        torch.manual_seed(4)
        used = Recipe.model_validate({**with_.model_dump(), "precision": precision})
        model = with_adapter(loud(llama()), used)
        report = train(model, documents(60), tokenizer, tmp_path, used, runtime=Runtime(recompute=recompute))
        curves.append([p["loss"] for p in report.curve])
        assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert curves[1] == pytest.approx(curves[0], abs=1e-5)
    assert curves[2] != curves[0] and curves[2] == pytest.approx(curves[0], abs=0.1)


def test_experts_that_stay_frozen_are_an_error(tokenizer):
    """The attention and the shared expert carry adapters; most of the model would not move."""
    shape = {**SHAPE, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, "num_experts": 4}
    built = Qwen2MoeForCausalLM(Qwen2MoeConfig(**shape, num_experts_per_tok=2))
    with pytest.raises(SpecsciError, match=r"no adapter reaches the blocks of type .*Experts"):
        with_adapter(built, lora())


def test_a_new_adapter_that_misses_what_the_frozen_one_has_is_an_error(tokenizer, tmp_path):
    base = saved_base(llama(), tmp_path)
    below = saved(moved(load_model(base, trainable=True), tokenizer, tmp_path, 1), tmp_path, "mid")
    attention = recipe(method="lora", lora={"rank": 4, "alpha": 8, "targets": ["q_proj", "k_proj", "v_proj", "o_proj"]})
    with pytest.raises(SpecsciError, match="no adapter reaches the blocks of type LlamaMLP"):
        with_adapter(load_model(base, below=below, merge=False), attention)


def test_a_four_bit_adapter_that_goes_on_is_not_rounded(tokenizer, tmp_path):
    """TRL would round it to bf16 on the way; with a learning rate of nothing it stays as it was."""
    torch.manual_seed(3)
    base = saved_base(loud(wide_llama()), tmp_path)
    weight_format = WeightFormat("fp32", quantised=True)
    first = recipe(method="qlora", lora={"rank": 8, "alpha": 16}, learning_rate=1e-2)
    below = saved(
        moved(load_model(base, weight_format=weight_format, trainable=True), tokenizer, tmp_path, 1, first), tmp_path, "mid"
    )
    still = recipe(method="qlora", lora={"rank": 8, "alpha": 16}, learning_rate=1e-30, weight_decay=0.0)
    model = with_adapter(load_model(base, below, weight_format=weight_format, trainable=True), still)
    before = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    train(model, documents(20), tokenizer, tmp_path, still)
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters() if n in before)
