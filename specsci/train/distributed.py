"""One stage over several processes (ranks): which one this is, and what all must do alike.

What a stage of one process calls too is a plain no-op there, so that both ways share their code.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import torch

LOADING = timedelta(hours=12)
"""How long ranks wait for the first one to load and merge a model."""


def world_size() -> int:
    """Processes of this stage."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return world_size() == 1 or os.environ["RANK"] == "0"


def meet(*, cpu: bool) -> None:
    """Meet the other ranks before a model that will be sharded is loaded, for as long as the first may take to load it."""
    if not cpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group("gloo" if cpu else "cpu:gloo,cuda:nccl", timeout=LOADING)


def fills(model: Any) -> bool:
    """Whether the other ranks may begin with empty weights (meta tensors), which sharding then fills from rank 0.

    They may not where the file's weights have other shapes than the configuration says, or where buffers are saved too.
    """
    named = [*model.named_parameters(), *model.named_buffers()]
    here = {name: (list(tensor.shape), str(tensor.dtype)) for name, tensor in named}
    layouts: list[Any] = [None] * world_size()
    torch.distributed.all_gather_object(layouts, here)
    return all(layout == layouts[0] for layout in layouts) and not saved_buffers(model)


def saved_buffers(model: Any) -> bool:
    """Whether a model saves buffers with its weights."""
    state = model.state_dict()
    return any(name in state for name, _ in model.named_buffers())


def share_buffers(model: Any) -> None:
    """Give every rank the first one's buffers, which are not sharded."""
    for buffer in model.buffers():
        torch.distributed.broadcast(buffer, src=0)


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor in main memory; a sharded one is gathered, for which every rank must ask."""
    gather = getattr(tensor, "full_tensor", None)
    found: torch.Tensor = gather() if gather else tensor
    return found.detach().cpu()


def whole_state(model: Any, *, trained_only: bool) -> dict[str, torch.Tensor]:
    """Weights of a sharded model in main memory, tied ones once; on ranks that do not write they are let go at once.

    `trained_only` leaves out what is frozen below an adapter.
    """
    names = dict(model.named_parameters(remove_duplicate=False))
    once = {n: p for n, p in model.named_parameters() if p.requires_grad or not trained_only}
    found = {}
    for name, tensor in model.state_dict().items():
        if name in once or (name not in names and not trained_only):
            gathered = whole(tensor)
            if is_first():
                found[name] = gathered
    return found


def agreed(value: Any) -> Any:
    """What the first rank says: a decision, by its clock or by what it found, that all ranks must take alike."""
    if world_size() == 1:
        return value
    said = [value]
    torch.distributed.broadcast_object_list(said, src=0)
    return said[0]


def summed(value: float | None) -> float | None:
    """The sum over ranks; None where one of them has no value."""
    if world_size() == 1:
        return value
    found: list[Any] = [None] * world_size()
    torch.distributed.all_gather_object(found, value)
    return None if None in found else sum(found)
