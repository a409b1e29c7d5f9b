"""Which of a model's blocks adapters reach, from their names alone."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)|^\d+(?=\.)")


def without_numbers(name: str) -> str:
    """A module's name with N for every layer's number."""
    return _NUMBER.sub("N", name)


def unreached(
    blocks: dict[str, list[str]], targets: tuple[str, ...], accepted: tuple[str, ...]
) -> tuple[list[str], list[str]]:
    """Targets that match no matrix, and block types that no target reaches and that are not accepted as frozen."""
    wanted = [without_numbers(target) for target in targets]

    def matches(name: str, target: str) -> bool:
        return name == target or name.endswith(f".{target}")

    every = [name for names in blocks.values() for name in names]
    unknown = [t for t, w in zip(targets, wanted, strict=True) if not any(matches(name, w) for name in every)]
    frozen = [
        k for k, names in blocks.items() if k not in accepted and not any(matches(n, t) for n in names for t in wanted)
    ]
    return unknown, frozen
