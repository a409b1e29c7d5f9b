"""A small random model of the same configuration, for models that are too big to be proved on themselves.

What follows from the code and the configuration (masks, positions, caches) it shows as the model itself would; of the
weights it says nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch

LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
INNER = (
    "intermediate_size",
    "moe_intermediate_size",
    "shared_expert_intermediate_size",
    "ffn_dim",
    "n_inner",
    "ffn_hidden_size",
)
MOST_BYTES = 4 * 2**30
VOCABULARY = 512
SPREAD = 5.0


def small_configs(config: Any) -> Iterator[Any]:
    """Smaller and smaller changes to a configuration: fewer layers, words, experts and inner widths, then fewer layers only."""
    for names in ((*EXPERTS, *INNER, "vocabulary"), ("vocabulary",), ()):
        made = copy.deepcopy(config)
        text = made.get_text_config()
        _few_layers(text)
        for name in names:
            if name == "vocabulary":
                _few_words(text)
            elif isinstance(value := getattr(text, name, None), int):
                setattr(text, name, min(value, 8 if name in EXPERTS else 64))
        yield made


def _few_layers(text: Any) -> None:
    """As many layers as hold one of every kind, at least two and at most eight."""
    name = next((n for n in LAYERS if isinstance(getattr(text, n, None), int)), None)
    if name is None:
        return
    count = int(getattr(text, name))
    kinds = getattr(text, "layer_types", None) or []
    first = {kind: kinds.index(kind) for kind in kinds}
    few = min(count, max(2, min(8, max(first.values(), default=1) + 1)))
    for other, value in list(vars(text).items()):
        if isinstance(value, (list, tuple)) and len(value) == count:
            setattr(text, other, value[:few])
    setattr(text, name, few)


def _few_words(text: Any) -> None:
    if int(text.vocab_size) <= VOCABULARY:
        return
    text.vocab_size = VOCABULARY
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        if isinstance(value := getattr(text, name, None), int) and value >= VOCABULARY:
            setattr(text, name, 1)


def twin_of(config: Any, *, trusted: bool = False) -> Any | None:
    """A random model in fp32, evaluation mode; None where none can be made that fits in `MOST_BYTES`."""
    from transformers import AutoModelForCausalLM

    for small in small_configs(config):
        try:
            with torch.device("meta"):
                shapes: Any = AutoModelForCausalLM.from_config(small, dtype=torch.float32, trust_remote_code=trusted)
            if sum(p.numel() for p in shapes.parameters()) * 4 > MOST_BYTES:
                continue
            state = torch.random.get_rng_state()
            try:
                torch.manual_seed(0)
                model: Any = AutoModelForCausalLM.from_config(small, dtype=torch.float32, trust_remote_code=trusted).eval()
            finally:
                torch.random.set_rng_state(state)
            with torch.no_grad():
                for parameter in model.parameters():
                    if parameter.dim() == 2:
                        parameter.mul_(SPREAD)  # so that what one token does to another shows
                model(input_ids=torch.tensor([[1, 2, 3]]), use_cache=False)
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError, AssertionError, KeyError):
            continue  # a change that this architecture does not take: the next smaller change
        return model
    return None
