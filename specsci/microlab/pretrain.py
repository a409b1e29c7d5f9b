"""Pretraining a microlab base: the world's rows, a small Llama, the project's own training stage."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase, set_seed

from specsci.core.ids import derive_seed, file_sha256
from specsci.core.token_row import TokenRow
from specsci.microlab.world import Row, rows
from specsci.microlab.worlds import WORLDS, world_of
from specsci.models.chat import conversation_row, document_row
from specsci.recipe.recipe import Recipe, Runtime
from specsci.train.stage import train_stage

RECIPE = Recipe(
    method="full",
    learning_rate=3e-3,
    sequences_per_update=32,
    max_length_tokens=64,
    epochs=2,
    warmup_share=0.01,
    final_learning_rate_share=0.1,
    weight_decay=0.01,
    adam_beta2=0.98,
)


@dataclass(frozen=True)
class Pretrained:
    """The record of one base: what it was trained on and how long it took."""

    world: str
    seed: int
    unique_tokens: int
    updates: int
    final_loss: float
    train_s: float
    weights_sha256: str


def new_model(tokenizer: PreTrainedTokenizerBase, seed: int) -> LlamaForCausalLM:
    """A freshly initialised base of about 0.7M parameters."""
    set_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        use_cache=False,
    )
    return LlamaForCausalLM(config)


def token_row(row: Row, tokenizer: PreTrainedTokenizerBase) -> TokenRow:
    """A pretraining row; in pretraining every token of a conversation is supervised, not only the answer."""
    if isinstance(row, str):
        return document_row(row, tokenizer)
    return TokenRow(conversation_row(row, tokenizer).input_ids)


def pretrain(
    world_name: str,
    seed: int,
    folder: Path,
    *,
    unique_tokens: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    runtime: Runtime | None = None,
) -> Pretrained:
    """Pretrain the base of one seed and save its weights (bf16) and record under `folder`."""
    world_kind = WORLDS[world_name]
    tokenizer = world_kind.tokenizer()
    wanted = unique_tokens or world_kind.unique_tokens
    token_rows: list[TokenRow] = []
    total = 0
    for row in rows(world_of(world_name, seed), seed):
        token_rows.append(token_row(row, tokenizer))
        total += len(token_rows[-1].input_ids)
        if total >= wanted:
            break
    model = new_model(tokenizer, derive_seed("microlab base", world_name, seed))
    start = time.perf_counter()
    report = train_stage(
        model,
        tokenizer,
        token_rows,
        RECIPE,
        derive_seed("microlab order", world_name, seed),
        scratch=str(folder / "scratch"),
        progress=progress,
        runtime=runtime,
    )
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / f"{world_name}-{seed}.safetensors"
    save_file({k: v.to(torch.bfloat16).contiguous() for k, v in _unique(model.state_dict()).items()}, weights)
    tail = [row["loss"] for row in report.curve[-50:]]
    record = Pretrained(
        world=world_name,
        seed=seed,
        unique_tokens=total,
        updates=report.updates,
        final_loss=round(sum(tail) / len(tail), 4),
        train_s=round(time.perf_counter() - start, 1),
        weights_sha256=file_sha256(weights),
    )
    (folder / f"{world_name}-{seed}.json").write_text(json.dumps(asdict(record), indent=1) + "\n")
    return record


def _unique(state: dict[str, Any]) -> dict[str, Any]:
    """The state without the tied output matrix, which safetensors refuses to store twice."""
    return {name: tensor for name, tensor in state.items() if name != "lm_head.weight"}
