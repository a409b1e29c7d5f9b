"""What makes documents: the generation backends, and which of them may see a family's texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Backend:
    """A generation backend. `sends_out`: whether spec texts leave this machine."""

    name: str
    sends_out: bool


BACKENDS = {"grammar": Backend("grammar", sends_out=False)}


def may_see(backend: str, access: str, allowed: Sequence[str]) -> bool:
    """Whether a backend may be given a family's texts: one that sends them out needs leave for a confidential family."""
    return access != "confidential" or not BACKENDS[backend].sends_out or backend in allowed
