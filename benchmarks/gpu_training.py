"""LoRA and QLoRA at an 8B shape on one GPU: tokens a second, MFU and peak memory, packed and padded, with and without gradient checkpointing.

Random weights serve: only time and memory are measured. `python -m benchmarks --only gpu_training`, on a machine that has
one; about 40 GiB of disk and of main memory are used for a moment.
"""

from __future__ import annotations

import gc
import random
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.common import Options, Result, Row, scratch

EIGHT_B = {
    "hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "vocab_size": 128_256, "max_position_embeddings": 8192,
}  # fmt: skip
GOAL_MFU = 0.40
LENGTH, SEQUENCES, UPDATES = 4096, 8, 6
MEDIAN_DOCUMENT, SPREAD = 700, 0.6
"""Tokens of a document, and the spread of its logarithm: documents that a language model writes about a spec."""


@dataclass(frozen=True)
class Way:
    """One thing to measure."""

    name: str
    method: str = "lora"
    packed: bool = True
    gradient_checkpointing: bool = False
    liger: bool = False


WAYS = (
    Way("LoRA, packed"),
    Way("LoRA, packed, gradient checkpointing", gradient_checkpointing=True),
    Way("LoRA, padded", packed=False),
    Way("LoRA, packed, Liger kernels", liger=True),
    Way("QLoRA, packed", method="qlora"),
    Way("QLoRA, packed, gradient checkpointing", method="qlora", gradient_checkpointing=True),
)


def run(options: Options) -> Result:
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError("it needs a CUDA device, and there is none: nothing was measured")
    from specsci.execute.worker import quiet_libraries

    quiet_libraries()
    with scratch() as folder:
        return measure(EIGHT_B, "cuda", folder)


def measure(shape: dict[str, int], device: str, folder: Path, length: int = LENGTH) -> Result:
    """All ways at one shape; a way that does not fit the device, or whose kernels are not installed, says so."""
    base = _saved(shape, device, folder)
    rows = _documents(shape["vocab_size"], length * SEQUENCES * UPDATES, length)
    table = []
    for way in WAYS:
        if way.liger and find_spec("liger_kernel") is None:
            table.append(Row(way.name, "not measured: liger-kernel is not installed"))
            continue
        table.append(_row(way, base, rows, device, folder, length))
    return Result(
        table,
        [
            f"{len(rows)} documents, {sum(len(r.input_ids) for r in rows):,} tokens; sequences of {length:,}, {SEQUENCES} to an update; bf16.",
            "MFU: 4 FLOP per parameter and token for an adapter, over the maker's dense bf16 peak; recomputed work does not count.",
        ],
    )


def _saved(shape: dict[str, int], device: str, folder: Path) -> Path:
    """A `base` artefact of random bf16 weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(**shape, use_cache=False, bos_token_id=None, eos_token_id=1, pad_token_id=0)
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder / "base" / "model", safe_serialization=True)
    return folder / "base"


def _documents(vocabulary: int, tokens: int, longest: int) -> list[Any]:
    from specsci.core.token_row import TokenRow

    rng, rows, left = random.Random(0), [], tokens
    while left > 0:
        size = max(16, min(longest, left, round(rng.lognormvariate(0, SPREAD) * MEDIAN_DOCUMENT * longest / LENGTH)))
        rows.append(TokenRow([rng.randrange(8, vocabulary) for _ in range(size)]))
        left -= size
    return rows


def _row(way: Way, base: Path, rows: list[Any], device: str, folder: Path, length: int) -> Row:
    import torch

    from specsci.models.hf import WeightFormat, load_model
    from specsci.recipe.recipe import Recipe, Runtime
    from specsci.train.adapters import with_adapter
    from specsci.train.stage import train_stage

    recipe = Recipe(
        preset="msm-paper", method=way.method, precision="bf16", weights="bf16", sequences_per_update=SEQUENCES, max_length_tokens=length
    )  # fmt: skip
    runtime = Runtime(device=device, micro_batch_sequences=1, recompute=way.gradient_checkpointing)
    model = load_model(base, weight_format=WeightFormat("bf16", way.method == "qlora"), device=device, trainable=True)
    if way.liger:
        from liger_kernel.transformers import apply_liger_kernel_to_llama

        apply_liger_kernel_to_llama(model=model)
    try:
        # A padded batch is one whose documents share no sequence: each is filled up to the limit.
        given = rows if way.packed else [_filled(row, length) for row in rows[: SEQUENCES * UPDATES]]
        real = sum(len(r.input_ids) for r in (rows if way.packed else rows[: SEQUENCES * UPDATES]))
        report = train_stage(
            with_adapter(model, recipe), _tokenizer(), given, recipe, 1, scratch=str(folder / "s"), runtime=runtime
        )
    except torch.OutOfMemoryError:
        return Row(way.name, "out of memory with one sequence at a time")
    finally:
        del model
        gc.collect()
        if device.startswith("cuda"):
            torch.cuda.empty_cache()
    speed, share = report.speed, real / report.tokens
    mfu = speed.mfu and speed.mfu * share
    peak = "not told" if speed.peak_device_gib is None else f"{speed.peak_device_gib:.1f} GiB"
    said = f"{speed.tokens_per_s * share:,.0f} tokens/s, MFU {'not told' if mfu is None else f'{mfu:.1%}'}, peak {peak}"
    goal = f">= {GOAL_MFU:.0%} MFU" if way == WAYS[0] else ""
    return Row(way.name, f"{said} ({speed.device_name})", goal, None if not goal or mfu is None else mfu >= GOAL_MFU)


def _filled(row: Any, length: int) -> Any:
    from specsci.core.token_row import TokenRow

    missing = length - len(row.input_ids)
    return TokenRow(row.input_ids + [0] * missing, [True] * len(row.input_ids) + [False] * missing)


def _tokenizer() -> Any:
    """What the trainer wants to be given; the rows are tokens already."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(WordLevel({"<pad>": 0, "<eos>": 1}, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>")
