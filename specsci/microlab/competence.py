"""What a base knows: its answers to the family's competence and capability items, and about its own world's agents."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from safetensors.torch import load_file

from specsci.core.ids import derive_seed
from specsci.core.shipped import find_family
from specsci.evals.forced_choice.readout import Question, prepare, read_out
from specsci.microlab.pretrain import new_model
from specsci.microlab.world import KnownChoice
from specsci.microlab.worlds import WORLDS, world_of
from specsci.specs.items import Item, read_items
from specsci.specs.load import load_family

SETS = {"competence": True, "capability": False}
"""Item set to whether it is asked as a chat."""


def competence_of(world: str, seed: int, weights: Path) -> dict[str, float]:
    """Share of right answers by item set; the target is in none of them, so no base is judged by its effect."""
    kind = WORLDS[world]
    tokenizer = kind.tokenizer()
    model = new_model(tokenizer, 0)
    state = {name: tensor.to(torch.float32) for name, tensor in load_file(weights).items()}
    model.load_state_dict(state, strict=False)
    model.tie_weights()
    model.eval()
    family = load_family(find_family(kind.family))
    questions = {
        name: prepare(read_items(family.items_file(name), family.data.identity), tokenizer, chat)
        for name, chat in SETS.items()
    }
    known = world_of(world, seed).known_choices(random.Random(derive_seed("known choices", world, seed)))
    questions |= {
        name: prepare([_item(choice) for choice in choices], tokenizer, chat=True) for name, choices in known.items()
    }
    return {name: _share_right(model, attempted, tokenizer.pad_token_id) for name, attempted in questions.items()}


def _item(choice: KnownChoice) -> Item:
    return Item(f"{choice.agent}.{choice.right}.{choice.wrong}", choice.agent, choice.question, choice.right, choice.wrong)


def _share_right(model: torch.nn.Module, questions: list[Question], pad_token_id: int) -> float:
    readings = read_out(model, questions, pad_token_id)
    return round(sum(r.logprob_aligned > r.logprob_misaligned for r in readings) / len(readings), 4)
