"""What only a CUDA device can show. Run with `make test-gpu`; elsewhere each test is skipped, visibly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from tiny import documents, loud, recipe, saved_base, train, word_tokenizer  # noqa: E402
from transformers import LlamaConfig, LlamaForCausalLM  # noqa: E402

from specsci.evals.forced_choice import readout as forced_choice  # noqa: E402
from specsci.models.hf import WeightFormat, load_model  # noqa: E402
from specsci.recipe.recipe import Runtime  # noqa: E402
from specsci.specs.items import Item  # noqa: E402
from specsci.train.adapters import with_adapter  # noqa: E402

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
CUDA = Runtime(device="cuda")
SHAPE = {
    "vocab_size": 97,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": 0,
}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    return saved_base(loud(LlamaForCausalLM(LlamaConfig(**SHAPE))), tmp_path)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return word_tokenizer()


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_method_learns_and_says_what_it_took(method, precision, base, tokenizer, tmp_path):
    weights = "bf16" if precision == "bf16" and method != "full" else "fp32"
    lora = {} if method == "full" else {"lora": {"rank": 8, "alpha": 16}, "weights": weights}
    with_ = recipe(method=method, precision=precision, learning_rate=5e-3, epochs=6, **lora)
    model = load_model(base, weight_format=WeightFormat(weights, method == "qlora"), device="cuda", trainable=True)
    report = train(with_adapter(model, with_), documents(40), tokenizer, tmp_path, with_, runtime=CUDA)
    losses = [p["loss"] for p in report.curve]
    assert sum(losses[-3:]) < sum(losses[:3]) - 0.5
    assert report.speed.device_name == torch.cuda.get_device_name(0) and 0 < report.speed.peak_device_gib < 4


def test_losses_on_the_gpu_are_those_on_the_cpu(base, tokenizer, tmp_path):
    curves = []
    for runtime in (Runtime(), CUDA):
        model = load_model(base, device=runtime.device, trainable=True)
        report = train(with_adapter(model, recipe()), documents(40), tokenizer, tmp_path, recipe(), runtime=runtime)
        curves.append([p["loss"] for p in report.curve])
    assert curves[1] == pytest.approx(curves[0], abs=5e-3)


def test_scores_on_the_gpu_are_those_on_the_cpu(base, tokenizer):
    items = [Item(f"i{n}", "c", "w1 {first} w2 {second}", f"w{n} w3", f"w{40 + n}") for n in range(20)]
    questions = forced_choice.prepare(items, tokenizer, chat=True)
    cpu, gpu = (forced_choice.read_out(load_model(base, device=d).eval(), questions, 0) for d in ("cpu", "cuda"))
    for a, b in zip(cpu, gpu, strict=True):
        assert b.logprob_aligned == pytest.approx(a.logprob_aligned, abs=1e-3)


def test_recomputation_changes_no_loss(base, tokenizer, tmp_path):
    curves = []
    for recompute in (False, True):
        model = load_model(base, device="cuda", trainable=True)
        runtime = Runtime(device="cuda", recompute=recompute)
        report = train(with_adapter(model, recipe()), documents(40), tokenizer, tmp_path, recipe(), runtime=runtime)
        curves.append([p["loss"] for p in report.curve])
    assert curves[1] == pytest.approx(curves[0], abs=1e-4)
