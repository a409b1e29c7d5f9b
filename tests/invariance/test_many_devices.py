"""One stage over two processes is the stage of one process: the same losses, for either sharding."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import SHAPE, documents, llama, lora, recipe, saved_base, train
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM, LlamaConfig, LlamaForCausalLM

from specsci.core.errors import SpecsciError
from specsci.models.hf import ADAPTER, load_model, save_model
from specsci.recipe.memory import Shape, fitting_micro_batch, memory
from specsci.recipe.recipe import Recipe, Runtime
from specsci.train.adapters import with_adapter

RANK = Path(__file__).parent / "one_rank.py"
PAIR = 2
SLOW = pytest.mark.slow


def launch(script: Path, *arguments: str, ranks: int = PAIR) -> subprocess.CompletedProcess[str]:
    """Run a script as ranks of one group, or as a single process."""
    group = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)] if ranks > 1 else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(RANK.parents[1])}
    return subprocess.run(
        [sys.executable, *group, str(script), *arguments], capture_output=True, text=True, env=environment, timeout=240
    )


def over_two(folder: Path, **wanted: Any) -> dict[str, Any]:
    """What the first of two ranks reports of the stage in `one_rank.py`; empty where it was stopped."""
    (folder / "report.json").unlink(missing_ok=True)
    done = launch(RANK, str(folder), json.dumps(wanted))
    if "stop_at" in wanted:
        return {}
    assert (folder / "report.json").is_file(), done.stdout + done.stderr
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


LORA = {"method": "lora", "lora": {"rank": 4, "alpha": 8}, "learning_rate": 1e-2}
BF16 = {**LORA, "precision": "bf16"}
FOUR_BIT = {**LORA, "method": "qlora", "optimizer": "paged_adamw"}


@pytest.mark.parametrize(
    ("sharding", "given", "really", "tolerance"),
    [
        pytest.param("ddp", LORA, "ddp", 1e-5, marks=SLOW),
        pytest.param("fsdp2", LORA, "fsdp2", 1e-5, marks=SLOW),
        pytest.param("fsdp2", BF16, "fsdp2", 5e-3, marks=SLOW),
    ],
    ids=["ddp", "fsdp2", "fsdp2-bf16"],
)
def test_two_processes_have_the_losses_of_one(sharding, given, really, tolerance, tokenizer, tmp_path):
    """41 documents make a last update that two ranks cannot share evenly: its gap is filled, unsupervised."""
    torch.manual_seed(0)
    model, with_ = with_adapter(llama(), recipe(**given)), recipe(**given)
    alone = train(model, documents(41), tokenizer, tmp_path, with_)
    shared = over_two(tmp_path, sharding=sharding, recipe=given)
    assert (shared["sharding"], shared["devices"], alone.sharding, alone.devices) == (really, PAIR, "none", 1)
    assert shared["micro_batch_sequences"] * PAIR == alone.micro_batch_sequences and alone.sequences % 4
    assert shared["losses"] == pytest.approx([p["loss"] for p in alone.curve], abs=tolerance)
    assert shared["tokens"] == alone.tokens
    assert set(shared["moved"]) == {"lora_A", "lora_B"} and all(shared["moved"].values())


@pytest.mark.slow
def test_four_bit_weights_are_held_whole_by_every_device(tmp_path):
    """Sharded they would lose their scales, and a paged optimizer cannot work on shards."""
    shared = over_two(tmp_path, sharding="fsdp2", recipe={**FOUR_BIT, "optimizer": "adamw"})
    assert shared["sharding"] == "ddp" and all(shared["moved"].values())


@pytest.mark.parametrize("sharding", ["ddp", "fsdp2"])
@pytest.mark.slow
def test_a_stage_over_two_processes_goes_on_where_it_was_killed(sharding, tmp_path):
    """In the second epoch, whose order is another than the first's, and with a frozen adapter below the trained one."""
    twice = {"sharding": sharding, "beside": True, "recipe": {**LORA, "epochs": 2, "warmup_share": 0.2}}
    straight = over_two(tmp_path, **twice)
    half = len(straight["losses"]) // 2
    over_two(tmp_path, **twice, checkpoints=True, stop_at=half + 2)
    (folder,) = (tmp_path / "checkpoints").iterdir()
    assert folder.name == f"{sharding}-2", "another sharding could not read it"
    resumed = over_two(tmp_path, **twice, checkpoints=True)
    assert resumed["resumed_at_update"] == half + 1
    assert resumed["losses"] == pytest.approx(straight["losses"], abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("chain", ["merge", "full", "continue", "new"])
def test_of_a_model_that_is_sharded_one_process_loads_the_weights_and_all_train_it(chain, tmp_path):
    """The base lies there in another precision than it is held in: as it is, it would be mapped and not copied."""
    full = chain == "full"
    wide = LlamaForCausalLM(LlamaConfig(**{**SHAPE, "vocab_size": 60_000, "hidden_size": 512}, tie_word_embeddings=full))
    base = saved_base(wide.to(torch.bfloat16) if full else wide, tmp_path)
    adapted = with_adapter(load_model(base, trainable=True), lora())
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    save_model(adapted, tmp_path / "first" / ADAPTER)
    given = json.dumps({"method": "full"} if full else {**BF16, "weights": "bf16"})
    for ranks in (1, PAIR):
        launch(RANK.with_name("one_start.py"), str(tmp_path), chain, given, ranks=ranks)
    alone, first, second = (json.loads((tmp_path / f"start-{n}.json").read_text()) for n in ("1-0", "2-0", "2-1"))
    held = (4 if full else 2) * sum(p.numel() for p in wide.parameters())
    assert second["took"] < 0.3 * held < 0.9 * held < first["took"], "bytes"
    for what in ("parameters", "trainable", "buffers"):
        assert alone[what] == first[what] == second[what], what
    assert first["losses"] == pytest.approx(alone["losses"], abs=1e-4 if full else 5e-3) and len(alone["losses"]) > 3


@pytest.mark.slow
def test_a_model_that_saves_buffers_is_loaded_by_every_process(tmp_path):
    """accelerate cannot fill it from the first one."""
    experts = {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1, "moe_intermediate_size": 16}
    heads = {"kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 8}
    config = DeepseekV3Config(**{**SHAPE, "num_key_value_heads": 4}, **experts, **heads, first_k_dense_replace=1)
    saved_base(DeepseekV3ForCausalLM(config), tmp_path)
    for ranks in (1, PAIR):
        launch(RANK.with_name("one_start.py"), str(tmp_path), "full", json.dumps({"method": "full"}), ranks=ranks)
    alone, first, second = (json.loads((tmp_path / f"start-{n}.json").read_text()) for n in ("1-0", "2-0", "2-1"))
    assert first["losses"] == second["losses"] == pytest.approx(alone["losses"], abs=1e-4)
    assert any("e_score_correction_bias" in name for name in first["buffers"])


@pytest.mark.slow
def test_a_silent_fall_to_another_sharding_is_an_error(tmp_path):
    """accelerate itself takes DDP where FSDP is asked for on a CPU, and says nothing."""
    said = over_two(tmp_path, sharding="fsdp2", recipe=LORA, unpatched=True)["error"]
    assert "runs as ddp over 2 processes where the study declares fsdp2 over 2" in said


def test_one_process_where_two_are_declared_is_an_error(tokenizer, tmp_path):
    with pytest.raises(SpecsciError, match="runs as none over 1 processes where the study declares fsdp2 over 2"):
        train(llama(), documents(20), tokenizer, tmp_path, recipe(), runtime=Runtime(devices_per_stage=PAIR))


def test_what_is_sharded_is_counted_once_over_all_devices():
    shape = Shape(hidden=5120, layers=64, vocabulary=152_000, intermediate=25_600)
    full = Recipe(method="full", sequences_per_update=16, precision="bf16")
    one = memory(shape, full, 1, gradient_checkpointing=True)
    eight = memory(shape, full, 1, gradient_checkpointing=True, spread=8)
    assert eight.weights_gib == pytest.approx(one.weights_gib / 8, abs=1e-3)
    assert (eight.activations_gib, eight.logits_gib) == (one.activations_gib, one.logits_gib)
    assert fitting_micro_batch(None, full, 80, gradient_checkpointing=True, devices=8) == 2, (
        "an update's share of each device"
    )
    assert Runtime(devices_per_stage=8).spread(full) == 8
    assert Runtime(devices_per_stage=8, sharding="ddp").spread(full) == 1
    assert Runtime(devices_per_stage=8).spread(Recipe(method="qlora")) == 1, "4-bit weights lie whole on every device"
