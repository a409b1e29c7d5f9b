"""Factorial effects of a grid of arms (such as 3 x 3 MSM specs by AFT specs), as weights for contrasts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

Grid = dict[tuple[str, str], str]
"""(row level, column level) to arm."""


@dataclass(frozen=True)
class Effect:
    """One effect of a grid: `main` (two levels of one factor, averaged over the other) or `interaction` of one cell."""

    name: str
    kind: str
    weights: dict[str, float]


def effects(grid: Grid, row: str, column: str) -> list[Effect]:
    """All pairwise main effects of both factors, and the interaction of every cell.

    A main effect is the difference of two levels, each averaged over the other factor. The interaction of a cell is its
    difference from what the two main effects add up to: cell - row mean - column mean + grand mean.

    Raises:
        ValueError: a cell of the grid is missing, or a factor has one level.
    """
    rows, columns = (list(dict.fromkeys(key[axis] for key in grid)) for axis in (0, 1))
    missing = [(r, c) for r in rows for c in columns if (r, c) not in grid]
    if missing:
        raise ValueError("the grid lacks " + ", ".join(f"{row} {r} with {column} {c}" for r, c in missing))
    if len(rows) < 2 or len(columns) < 2:
        raise ValueError("a grid needs two levels of either factor")
    found = []
    sides: tuple[tuple[str, Sequence[str], Sequence[str], Callable[[str, str], str]], ...] = (
        (row, rows, columns, lambda level, other: grid[level, other]),
        (column, columns, rows, lambda level, other: grid[other, level]),
    )
    for factor, levels, others, of in sides:
        for first, second in combinations(levels, 2):
            weights = {of(first, o): 1 / len(others) for o in others} | {of(second, o): -1 / len(others) for o in others}
            found.append(Effect(f"{factor}: {first} - {second}", "main", weights))
    if len(rows) == len(columns) == 2:  # all four cells say the same
        (a, b), (c, d) = rows, columns
        weights = {grid[a, c]: 1.0, grid[a, d]: -1.0, grid[b, c]: -1.0, grid[b, d]: 1.0}
        return [*found, Effect(f"interaction: ({a} - {b}) at {c} - at {d}", "interaction", weights)]
    for r in rows if len(rows) > 2 else rows[:1]:  # with two levels the other's interactions are these with the sign turned
        for c in columns if len(columns) > 2 else columns[:1]:
            weights = {
                arm: (i == r and j == c) - (i == r) / len(columns) - (j == c) / len(rows) + 1 / (len(rows) * len(columns))
                for (i, j), arm in grid.items()
            }
            found.append(Effect(f"interaction: {r} with {c}", "interaction", weights))
    return found
