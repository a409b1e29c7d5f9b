"""Arms at a level of a factor, as contrasts name them: `rules@4000` is the arm `rules` at 4,000 AFT tokens."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable

AT = "@"


def arm_of(name: str, arms: Container[str] = ()) -> str:
    """The arm of `ARM@LEVEL`, or of `ARM`; a name that is one of the known `arms` as it stands is that arm."""
    return name if name in arms else name.partition(AT)[0]


def level_of(name: str) -> str | None:
    """The level of `ARM@LEVEL`; None where no level is named."""
    _, at, level = name.partition(AT)
    return level if at else None


def tokens_of(name: str) -> int | None:
    """The AFT tokens that a level names; None where it names none.

    Raises:
        ValueError: the level is not a number of tokens.
    """
    level = level_of(name)
    if level is None:
        return None
    if not (level.isascii() and level.isdigit() and len(level) < 19):
        raise ValueError(f"'{level}' is not a number of AFT tokens")
    return int(level)


def reads(names: Iterable[str], budgets: Collection[int], arm: str, aft_tokens: int) -> bool:
    """Whether a contrast of the named arms, at its budgets, is of an arm's cell at so many AFT tokens."""
    levels = [tokens_of(name) for name in names if arm_of(name) == arm]
    return any(aft_tokens in (0, *budgets) if level is None else level == aft_tokens for level in levels)
