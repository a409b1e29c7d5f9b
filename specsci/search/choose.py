"""Which settings win: of each arm its own, and one that all share. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from specsci.search.space import Config
from specsci.search.trials import Result


@dataclass(frozen=True)
class Winners:
    """The best setting of each arm, and the one that costs all arms the least on average; None where none may be chosen."""

    own: dict[str, Config | None]
    shared: Config | None


def winners(results: Sequence[Result], arms: Sequence[str], *, maximise: bool) -> Winners:
    """The settings with the best objective among those that keep the constraint; of equal ones the first that was tried.

    The shared one has the smallest mean regret (how far an arm is from its own best), over settings that every arm tried and that
    no arm failed under.
    """
    sign = 1.0 if maximise else -1.0
    value = {(r.arm, r.config): sign * r.objective for r in results if r.counts and r.objective is not None}
    tried = list(dict.fromkeys(r.config for r in results))
    own: dict[str, Config | None] = {}
    for arm in arms:
        mine = [c for c in tried if (arm, c) in value]
        own[arm] = max(mine, key=lambda c: value[arm, c]) if mine else None
    everywhere = [c for c in tried if all((arm, c) in value for arm in arms)]
    best = {arm: value[arm, c] for arm, c in own.items() if c is not None}
    shared = min(everywhere, key=lambda c: sum(best[a] - value[a, c] for a in arms), default=None)
    return Winners(own, shared)
