"""Tokens a second of packed training, against TRL's own defaults, a plain loop, and bare TRL on the same rows.

All train the same random Llama of about 6M parameters on the same generated English corpus, interleaved, and the
fastest of three passes counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.common import Options, Result, Row, scratch

TOKENS = 24_000
LENGTH, SEQUENCES = 512, 4
REPEATS = 3
GOAL_PADDED, GOAL_OVERHEAD = 3.0, 0.03


def run(options: Options) -> Result:
    from specsci.execute.worker import quiet_libraries

    quiet_libraries()
    import torch

    torch.set_num_threads(1)
    texts, tokenizer = _corpus()
    from specsci.models.chat import document_rows

    rows = document_rows(texts, tokenizer)
    tokens = sum(len(r.input_ids) for r in rows)
    lengths = sorted(len(r.input_ids) for r in rows)
    with scratch() as folder:
        ways: dict[str, Callable[[], float]] = {
            "ours": lambda: _ours(rows, tokenizer, folder),
            "bare": lambda: _bare(rows, tokenizer, folder),
            "padded": lambda: _padded(texts, tokenizer, folder),
            "loop": lambda: _loop(rows, tokenizer),
        }
        best = dict.fromkeys(ways, float("inf"))
        for _ in range(REPEATS):
            for name, way in ways.items():
                best[name] = min(best[name], way())
    speed = {name: tokens / seconds for name, seconds in best.items()}
    overhead = best["ours"] / best["bare"] - 1
    padded, loop = speed["ours"] / speed["padded"], speed["ours"] / speed["loop"]
    ours = f"{speed['ours']:,.0f} tokens/s"
    return Result(
        [
            Row("over TRL's default padded batches", ours, ">= 3 times", padded >= GOAL_PADDED, f"{speed['padded']:,.0f} tokens/s", f"{padded:.2f}"),
            Row("over a plain loop, one document at a time", ours, "", None, f"{speed['loop']:,.0f} tokens/s", f"{loop:.2f}"),
            Row("our layer over bare TRL, same rows", f"{overhead:+.1%} time", "< 3 %", overhead < GOAL_OVERHEAD),
        ],
        [
            f"{tokens:,} tokens in {len(rows)} documents (median {lengths[len(lengths) // 2]}, longest {lengths[-1]} tokens), one thread, fp32.",
            "TRL's defaults: 8 rows a batch, padded to the longest, gradient checkpointing on. Tokens of the corpus, no padding, are counted.",
        ],
    )  # fmt: skip


def _corpus() -> tuple[list[str], Any]:
    """Documents of the family `safety`, and a byte-level tokenizer of 4,096 pieces made of them."""
    from itertools import islice

    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    from specsci.core.shipped import find_family
    from specsci.specs.load import load_family
    from specsci.testing.corpora import grammar_documents

    family = load_family(find_family("safety"))
    texts = [d.text for d in islice(grammar_documents(family, "value_augmented", family.data.identity, 1), 400)]
    inner = ByteLevelBPETokenizer()
    inner.train_from_iterator(texts, vocab_size=4096, special_tokens=["<|pad|>", "<|end|>"], show_progress=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner._tokenizer, pad_token="<|pad|>", eos_token="<|end|>")
    kept, total = [], 0
    for text in texts:
        total += len(tokenizer(text)["input_ids"]) + 1
        if total > TOKENS:
            break
        kept.append(text)
    return kept, tokenizer


def _model(tokenizer: Any) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=256, intermediate_size=768, num_hidden_layers=5, num_attention_heads=8,
        num_key_value_heads=4, max_position_embeddings=2048, tie_word_embeddings=True, use_cache=False,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def _recipe() -> Any:
    from specsci.recipe.recipe import Recipe

    return Recipe(method="full", sequences_per_update=SEQUENCES, max_length_tokens=LENGTH)


def _ours(rows: list[Any], tokenizer: Any, folder: Path) -> float:
    from specsci.train.stage import train_stage

    model = _model(tokenizer)
    start = time.perf_counter()
    train_stage(model, tokenizer, rows, _recipe(), 1, scratch=str(folder))
    return time.perf_counter() - start


def _bare(rows: list[Any], tokenizer: Any, folder: Path) -> float:
    """The packed rows through SFTTrainer alone, with the same arguments and collator."""
    import math

    from datasets import Dataset
    from trl import SFTTrainer

    from specsci.recipe.recipe import Runtime
    from specsci.train.data import pack
    from specsci.train.stage import PackedCollator, _config, flushed_denormals

    model, recipe = _model(tokenizer), _recipe()
    start = time.perf_counter()
    packed = pack(rows, recipe.max_length_tokens)
    updates = math.ceil(len(packed.sequences) / recipe.sequences_per_update)
    trainer = SFTTrainer(
        model=model,
        args=_config(recipe, Runtime(), 1, updates, recipe.sequences_per_update, str(folder)),
        train_dataset=Dataset.from_dict(packed.columns()),
        data_collator=PackedCollator(tokenizer.pad_token_id),
        processing_class=tokenizer,
    )
    with flushed_denormals():
        trainer.train()
    return time.perf_counter() - start


def _padded(texts: list[str], tokenizer: Any, folder: Path) -> float:
    """The texts through SFTTrainer as its defaults have it."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from specsci.train.stage import flushed_denormals

    model = _model(tokenizer)
    arguments = SFTConfig(
        output_dir=str(folder), use_cpu=True, bf16=False, num_train_epochs=1, save_strategy="no", report_to="none",
        disable_tqdm=True, dataloader_pin_memory=False,
    )  # fmt: skip
    start = time.perf_counter()
    trainer = SFTTrainer(
        model=model, args=arguments, train_dataset=Dataset.from_dict({"text": texts}), processing_class=tokenizer
    )
    with flushed_denormals():
        trainer.train()
    return time.perf_counter() - start


def _loop(rows: list[Any], tokenizer: Any) -> float:
    """One document, one update: what a first script does."""
    import torch

    from specsci.train.stage import flushed_denormals

    model = _model(tokenizer).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    start = time.perf_counter()
    with flushed_denormals():
        for row in rows:
            ids = torch.tensor([row.input_ids])
            model(input_ids=ids, labels=ids).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
    return time.perf_counter() - start
