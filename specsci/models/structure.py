"""What a model's own modules tell: how long a row it can take, and which blocks hold its matrices."""

from __future__ import annotations

import re
from typing import Any

import torch

from specsci.recipe.reach import without_numbers

LIMITS = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length")
FIXED = ("wpe", "embed_positions", "position_embeddings", "positions_embed", "embed_position")
"""Names of tables of positions: a row that is longer is an error."""
_LAYER = re.compile(r"^(?P<layer>.*?\.\d+)\.(?P<rest>.+)$")


def positions_of(model: Any) -> tuple[int | None, bool]:
    """The most tokens that a row may have, and whether a longer one is an error (else it is only untrained).

    Returns:
        None where the model has no such limit: it carries a state, or its attention falls off with distance.
    """
    config = model.config.get_text_config()
    limit = next((n for name in LIMITS if isinstance(n := getattr(config, name, None), int) and n > 0), None)
    if limit is None:
        return None, False
    names = {name.rsplit(".", 1)[-1]: module for name, module in model.named_modules()}
    names.update({name.rsplit(".", 1)[-1]: buffer for name, buffer in model.named_buffers()})
    if any(name in names for name in FIXED) or getattr(config, "model_type", "") == "mpt":
        return limit, True
    rotary = any("rotary" in name or "rope" in name for name in names) and not getattr(config, "alibi", False)
    return (limit, False) if rotary else (None, False)


def is_projection(module: Any) -> bool:
    """Whether a module is one matrix that belongs to the block around it, whatever its class: `Linear`, `Conv1D`, `Conv1d`.

    A module that holds several matrices of its own (a mixture's experts) or does more with its weight (a router) is a
    block by itself.
    """
    if isinstance(module, torch.nn.Linear):
        return True
    if next(module.children(), None) is not None or not {n for n, _ in module.named_parameters()} <= {"weight", "bias"}:
        return False
    kind = type(module)
    return kind.__module__.startswith("torch.nn.") or any(part in kind.__name__.lower() for part in ("linear", "conv1d"))


def is_matrix(module: Any) -> bool:
    """Whether a module itself holds a weight of two or more dimensions (a quantised one is stored flat)."""
    return isinstance(module, torch.nn.Linear) or any(p.dim() >= 2 for _, p in module.named_parameters(recurse=False))


def matrices(model: Any) -> dict[str, tuple[str, Any]]:
    """The matrices inside a model's layers: name to the type of the block that owns it, and the module (adapted or not).

    A block is the innermost module that owns a matrix: an attention, an MLP, a mixture's experts.
    """
    modules = dict(model.named_modules())
    found = {}
    for name, module in modules.items():
        weight = getattr(module, "base_layer", module)
        inside = _LAYER.match(name) is not None and not name.endswith("base_layer") and ".lora_" not in name
        if inside and is_matrix(weight):
            owner = modules[name.rsplit(".", 1)[0]] if is_projection(weight) else weight
            found[name] = (type(owner).__name__, module)
    return found


def blocks_of(model: Any) -> dict[str, list[str]]:
    """Block type to the names of its matrices, each once, with N for the layer's number."""
    found: dict[str, set[str]] = {}
    for name, (kind, _) in matrices(model).items():
        found.setdefault(kind, set()).add(without_numbers(name))
    return {kind: sorted(names) for kind, names in sorted(found.items())}
