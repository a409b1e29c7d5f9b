"""Arms at levels of factors, as contrasts name them.

`rules@4000` is the arm `rules` at 4,000 AFT tokens, `rules@operator` the same arm under the harness condition `operator`, and
`rules@operator@4000` both. An arm without a condition is asked under its eval's first condition: its *subject* is the arm's name
alone, and `ARM@CONDITION` under any other.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Sequence

AT = "@"


def arm_of(name: str, arms: Container[str] = ()) -> str:
    """The arm of `ARM@LEVEL`, or of `ARM`; a name that is one of the known `arms` as it stands is that arm."""
    return name if name in arms else name.partition(AT)[0]


def levels_of(name: str) -> list[str]:
    """The levels that a name has behind its arm."""
    return name.split(AT)[1:]


def tokens_of(name: str) -> int | None:
    """The AFT tokens that a name holds; None where it holds none.

    Raises:
        ValueError: it holds several.
    """
    found = [level for level in levels_of(name) if _is_number(level)]
    if len(found) > 1:
        raise ValueError(f"'{name}' has several numbers of AFT tokens")
    return int(found[0]) if found else None


def condition_of(name: str) -> str | None:
    """The harness condition that a name holds; None where it holds none.

    Raises:
        ValueError: it holds several.
    """
    found = [level for level in levels_of(name) if not _is_number(level)]
    if len(found) > 1:
        raise ValueError(f"'{name}' has several harness conditions")
    return found[0] if found else None


def _is_number(level: str) -> bool:
    return level.isascii() and level.isdigit() and len(level) < 19


def subject(arm: str, condition: str | None, conditions: Sequence[str]) -> str:
    """The name of an arm under a condition of an eval that is asked under `conditions`."""
    return arm if condition is None or (conditions and condition == conditions[0]) else f"{arm}{AT}{condition}"


def subject_of(name: str, conditions: Sequence[str] = ()) -> str:
    """The subject that a name means in an eval that is asked under `conditions`; raises ValueError as `condition_of` does."""
    return subject(arm_of(name), condition_of(name), conditions)


def reads(names: Iterable[str], budgets: Collection[int], of: str, aft_tokens: int, conditions: Sequence[str] = ()) -> bool:
    """Whether a contrast of the named arms, at its budgets, is of a subject's cell at so many AFT tokens."""
    levels = [tokens_of(name) for name in names if subject_of(name, conditions) == of]
    return any(aft_tokens in (0, *budgets) if level is None else level == aft_tokens for level in levels)
