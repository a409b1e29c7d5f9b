"""What a base can do: its answers to the world's competence and capability items."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from specsci.evals.forced_choice import prepare, read_out
from specsci.evals.items import read_items
from specsci.microlab.pretrain import new_model
from specsci.microlab.worlds import WORLDS
from specsci.shipped import find_family
from specsci.specs.load import load_family

SETS = {"competence": True, "capability": False}
"""Item set to whether it is asked as a chat."""


def competence_of(world: str, weights: Path) -> dict[str, float]:
    """Share of right answers by item set; the target is in none of them, so no base is judged by its effect."""
    kind = WORLDS[world]
    tokenizer = kind.tokenizer()
    model = new_model(tokenizer, 0)
    state = {name: tensor.to(torch.float32) for name, tensor in load_file(weights).items()}
    model.load_state_dict(state, strict=False)
    model.tie_weights()
    model.eval()
    family = load_family(find_family(kind.family))
    out = {}
    for name, chat in SETS.items():
        items = read_items(family.items_file(name), family.data.identity)
        readings = read_out(model, prepare(items, tokenizer, chat), tokenizer.pad_token_id)
        out[name] = round(sum(r.logprob_aligned > r.logprob_misaligned for r in readings) / len(readings), 4)
    return out
