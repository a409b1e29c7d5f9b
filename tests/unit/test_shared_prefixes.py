"""Scores over shared beginnings equal whole passes, for prompts that share all, some or nothing; what is shared is run once."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from tiny import save_tiny_chat
from transformers import AutoModelForCausalLM

from specsci.evals.forward import LONG_BEGINNING_TOKENS, log_probabilities, read_whole, shares_cache
from specsci.evals.shared_prefixes import clustered, read_shared


@dataclass(frozen=True)
class Option:
    ids: tuple[int, ...]
    start: int


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("m") / "m"
    save_tiny_chat(folder)
    made = AutoModelForCausalLM.from_pretrained(Path(folder)).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for p in made.parameters():
            if p.dim() == 2:
                p.copy_(torch.randn_like(p))
    return made


def prompts(shape: str, draws: random.Random, vocabulary: int) -> list[tuple[int, ...]]:
    def some(count: int) -> tuple[int, ...]:
        return tuple(draws.randrange(4, vocabulary) for _ in range(count))

    if shape == "nothing shared":
        return [some(draws.randint(1, 20)) for _ in range(9)]
    begin = some(5)
    if shape == "a beginning alone":
        return [begin + some(draws.randint(1, 12)) for _ in range(9)]
    if shape == "one prompt":
        return [some(7)]
    if shape == "one is the beginning of another":
        stem = some(12)
        return [begin + stem, begin + stem + some(3), begin + stem + some(9), begin + some(1)]
    clusters = [some(9 + n) for n in range(3)]
    return [begin + c + s + some(draws.randint(1, 5)) for c in clusters for s in (some(20), some(24)) for _ in range(2)] + [begin + some(4)]


SHAPES = ("nothing shared", "a beginning alone", "one prompt", "one is the beginning of another", "clusters of items in both orders")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("limit", [1, 120, 10_000])
def test_scores_are_those_of_whole_passes(shape: str, limit: int, model) -> None:
    draws = random.Random(shape)
    vocabulary = model.config.vocab_size
    options = []
    for prompt in dict.fromkeys(prompts(shape, draws, vocabulary)):
        for length in (2, 3, 6):
            options.append(Option(prompt + tuple(draws.randrange(4, vocabulary) for _ in range(length)), len(prompt)))
    options = list(dict.fromkeys(options))
    whole, found = read_whole(model, options, 0), read_shared(model, options, 0, limit)
    assert found.keys() == whole.keys()
    assert max(abs(found[o] - whole[o]) for o in options) < 1e-3
    assert shares_cache(model, 0)


def test_a_beginning_is_run_once_and_items_in_both_orders_share_their_scenario(model) -> None:
    draws = random.Random(3)
    scenario = tuple(draws.randrange(4, 60) for _ in range(40))
    system = tuple(draws.randrange(4, 60) for _ in range(300 // 10))
    items = [system + tuple(draws.randrange(4, 60) for _ in range(20)) + scenario[n:] for n in range(4)]
    asked = [item + end for item in items for end in ((5, 6), (6, 5))]
    common, clusters = clustered(asked)
    assert common[: len(system)] == system and sum(len(c.groups) for c in clusters) <= 8
    assert {p for c in clusters for g in c.groups for p in g.prompts} == set(asked)
    for cluster in clusters:
        for group in cluster.groups:
            for prompt in group.prompts:
                assert prompt[: group.end] == common + cluster.stem + group.stem and len(prompt) > group.end
    seen = []
    handle = model.get_input_embeddings().register_forward_hook(lambda module, given, out: seen.append(given[0].numel()))
    options = [Option(p + tail, len(p)) for p in asked for tail in ((7, 8), (9, 10))]
    read_shared(model, options, 0, 10_000)
    handle.remove()
    assert sum(seen) < 0.5 * sum(len(o.ids) for o in options[::2]), seen


def test_options_of_one_token_behind_a_long_beginning_are_read_over_it(model) -> None:
    """A spec in the prompt is run once, and mixed lengths of options are the same as alone."""
    draws = random.Random(4)
    spec = tuple(draws.randrange(4, 60) for _ in range(LONG_BEGINNING_TOKENS + 6))
    asked = [spec + tuple(draws.randrange(4, 60) for _ in range(8)) for _ in range(6)]
    words = [Option((*p, tail), len(p)) for p in asked for tail in (7, 9)]
    mixed = [*words, *(Option((*p, 8, 9), len(p)) for p in asked[:2])]
    whole, seen = read_whole(model, mixed, 0), []
    assert shares_cache(model, 0)
    handle = model.get_input_embeddings().register_forward_hook(lambda module, given, out: seen.append(given[0].numel()))
    found = log_probabilities(model, words, 0)
    handle.remove()
    assert max(abs(found[o] - whole[o]) for o in words) < 1e-3
    assert sum(seen) < 0.5 * sum(len(p) for p in asked), seen
    again = log_probabilities(model, mixed, 0)
    assert max(abs(again[o] - whole[o]) for o in mixed) < 1e-3
