"""Each architecture passes the examination, trains one stage and scores to the values of an independent forward."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import plain
import pytest
import torch
import zoo

from specsci.core.token_row import TokenRow
from specsci.evals.forward import log_probabilities
from specsci.intake.model import examine_model
from specsci.models.hf import load_weights, save_model
from specsci.recipe.recipe import Recipe
from specsci.sources.folder import examine_folder
from specsci.train.stage import train_stage

UNPACKED = set(
    "qwen3_next opt bloom falcon falcon_alibi mpt gpt_oss mamba mamba2 falcon_mamba rwkv recurrent_gemma lfm2 falcon_h1 jamba "
    "xglm openai_gpt biogpt".split()
)
"""In transformers 5.19 these let packed rows see each other."""
QUICK = ("llama", "gpt2", "mixtral", "opt", "mamba", "gpt_oss", "falcon_h1", "gemma3_text", "deepseek_v3", "rwkv")
RECIPE = Recipe(method="full", learning_rate=1e-3, sequences_per_update=8, max_length_tokens=64, warmup_share=0.0)


@dataclass(frozen=True)
class Option:
    ids: tuple[int, ...]
    start: int


def rows(seed: int = 0, sizes: tuple[int, ...] = (9, 30, 17, 5, 22, 12, 3, 28)) -> list[TokenRow]:
    generator = torch.Generator().manual_seed(seed)
    return [TokenRow(torch.randint(8, zoo.VOCABULARY, (size,), generator=generator).tolist()) for size in sizes]


def options() -> list[Option]:
    """Options of one to five tokens after prompts of several lengths, longer than the zoo's attention windows."""
    generator = torch.Generator().manual_seed(1)

    def some(size: int) -> tuple[int, ...]:
        return tuple(torch.randint(8, zoo.VOCABULARY, (size,), generator=generator).tolist())

    return [Option(prompt + some(size), len(prompt)) for prompt in map(some, (5, 9, 30, 70)) for size in (1, 1, 2, 3, 5)]


CASES = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in zoo.CAUSAL]


@pytest.mark.parametrize("name", CASES)
def test_examined_trained_and_scored(name: str, tmp_path: Path) -> None:
    folder = zoo.write(zoo.CAUSAL[name], tmp_path / "base")
    assert not [f for f in examine_folder(folder) if f.judgement == "refuse"]
    found = examine_model(folder)
    assert not found.refused, found.refusals
    assert found.facts["packs"] is (name not in UNPACKED)
    asked = options()
    before = log_probabilities(load_weights(folder).eval(), asked, 0)
    one = plain.load(folder)
    for option in asked:
        assert before[option] == pytest.approx(plain.log_probability(one, option.ids, option.start), abs=5e-4)

    model = load_weights(folder)
    report = train_stage(model, zoo.tokenizer(), rows(), RECIPE, 7, scratch=str(tmp_path / "scratch"))
    assert report.packed is (name not in UNPACKED) and report.updates == 1
    assert report.curve[0]["loss"] == pytest.approx(plain.loss(one, rows()), rel=2e-5)
    save_model(model, tmp_path / "trained")
    trained = plain.load(tmp_path / "trained")
    assert plain.loss(trained, rows()) < plain.loss(one, rows())
    scores = log_probabilities(load_weights(tmp_path / "trained").eval(), asked, 0)
    for option in asked:
        assert scores[option] == pytest.approx(plain.log_probability(trained, option.ids, option.start), abs=5e-4)


PACKED = [
    pytest.param(n, marks=() if n in ("gpt2", "gemma3_text") else pytest.mark.slow) for n in zoo.CAUSAL if n not in UNPACKED
]


@pytest.mark.parametrize("name", PACKED)
def test_long_sequences_are_trained_as_a_plain_forward_says(name: str, tmp_path: Path) -> None:
    """From 256 tokens on, attention goes document by document on a CPU: its own way, so its own proof."""
    folder = zoo.write(zoo.CAUSAL[name], tmp_path / "base", spread=10.0)
    many = rows(2, sizes=(9, 30, 107, 5, 222, 60, 33, 28))
    long = RECIPE.model_copy(update={"max_length_tokens": 256})
    report = train_stage(load_weights(folder), zoo.tokenizer(), many, long, 7, scratch=str(tmp_path / "scratch"))
    assert report.packed and report.curve[0]["loss"] == pytest.approx(plain.loss(plain.load(folder), many), rel=2e-5)


@pytest.mark.parametrize("name", list(zoo.REFUSED))
def test_what_is_no_causal_model_is_refused(name: str, tmp_path: Path) -> None:
    folder = zoo.write(zoo.REFUSED[name], tmp_path / "base")
    found = [*examine_folder(folder), *examine_model(folder).findings]
    assert [f for f in found if f.judgement == "refuse" and f.text and f.hint]


@pytest.mark.parametrize("name", ["opt", "mamba", "gpt_oss"])
def test_an_unpacked_update_is_that_of_every_row_by_itself(name: str, tmp_path: Path) -> None:
    """One update of plain SGD-like AdamW, worked by hand from each row's own gradient, gives the same weights."""
    folder = zoo.write(zoo.CAUSAL[name], tmp_path / "base", spread=3.0)
    model, hand = load_weights(folder), plain.load(folder)
    train_stage(model, zoo.tokenizer(), rows(), RECIPE, 7, scratch=str(tmp_path / "scratch"))
    tokens = sum(len(row.input_ids) - 1 for row in rows())
    hand.train()
    for row in rows():
        ids = torch.tensor([row.input_ids])
        logits = hand(input_ids=ids).logits.float()[0, :-1]
        (torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum") / tokens).backward()
    torch.nn.utils.clip_grad_norm_(hand.parameters(), RECIPE.clip_norm)
    torch.optim.AdamW(hand.parameters(), lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0).step()
    wanted = dict(hand.named_parameters())
    gaps = [float((p.detach() - wanted[n].detach()).abs().median()) for n, p in model.named_parameters()]
    assert max(gaps) < 1e-4 < 1e-3  # a step moves every weight by about the learning rate, 1e-3


def test_a_change_of_the_first_row_reaches_no_logit_of_the_second_as_it_is_trained(tmp_path: Path) -> None:
    """The batch that an unpacked model really gets: rows on their own lines, positions and padding its own."""
    from specsci.train.apart import rows_apart
    from specsci.train.data import pack
    from specsci.train.stage import PackedCollator

    columns = pack(rows(), 64).columns()
    examples = [{k: columns[k][n] for k in columns} for n in range(len(columns["input_ids"]))]
    packed = PackedCollator(0)(examples)
    batches = rows_apart(packed)
    got = sorted(
        tuple(ids[mask == 1].tolist()) for b in batches for ids, mask in zip(b.input_ids, b.attention_mask, strict=True)
    )
    assert got == sorted(tuple(row.input_ids) for row in rows())
    assert all(2 * int(b.attention_mask.sum(1).min()) >= b.input_ids.shape[1] for b in batches)
    labels = sum(int((b.labels != -100).sum()) for b in batches)
    assert labels == sum(len(row.input_ids) - 1 for row in rows())
    one = rows_apart(packed, in_one=True)
    assert len(one) == 1 and one[0].tokens == sum(b.tokens for b in batches)


def test_the_table_names_at_least_thirty() -> None:
    assert len(zoo.CAUSAL) + len(zoo.REFUSED) >= 30 and os.environ.get("HF_HUB_OFFLINE") == "1"
