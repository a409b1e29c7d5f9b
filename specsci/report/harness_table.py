"""One eval under its harness conditions: a table, and a heat map of arm by condition."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from specsci.core.errors import UserError
from specsci.report.ablation import Ablation, RateCell
from specsci.report.table import Table, shown_mean, shown_rate, tokens

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_INCHES = 7.2


def harness_tables(content: Ablation) -> list[Table]:
    """A table for each eval that is asked under several conditions: a row for an arm at a budget, a column for a condition."""
    return [_table(content, name, conditions) for name, conditions in content.conditions.items()]


def _table(content: Ablation, name: str, conditions: list[str]) -> Table:
    cells, binary = content.by_condition[name], name not in content.means
    what = "Misaligned rate" if binary else "Mean value of answers"
    table = Table(f"Harness: {what.lower()} on {name} by condition, mean over replicates [95 % interval]", ["arm", "AFT tokens", *conditions])
    for arm in content.arms:
        for budget in content.budgets:
            row = [cells.get((arm, budget, c)) for c in conditions]
            if any(row):
                shown = shown_rate if binary else shown_mean
                table.rows.append([arm, tokens(budget) if budget else "none", *(shown(c) for c in row)])
    gone = sorted({c for (_, _, c), cell in cells.items() if not cell.valid})
    table.note = f"The first condition, {conditions[0]}, is the one of the other tables. Contrasts name conditions as ARM@CONDITION."
    if gone:
        table.note += f" Without a valid answer of some arm: {', '.join(gone)} (see the states of the rows: not_expressible, unparsed and others)."
    return table


def harness_map(content: Ablation, name: str | None = None) -> Figure:
    """Heat map of arm by condition: misaligned rate and its interval, every arm at its largest budget that is asked."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    evals = [n for n in content.conditions if n not in content.means]
    chosen = name or next(iter(evals), None)
    if chosen is None or chosen not in evals:
        known = f"the evals that are: {', '.join(evals)}" if evals else "an eval names its conditions in `harness`"
        raise UserError(f"'{chosen or content.study}' is not asked under several harness conditions", hint=known)
    cells, conditions = content.by_condition[chosen], content.conditions[chosen]
    top = {arm: max((b for a, b, _ in cells if a == arm), default=None) for arm in content.arms}
    arms = [arm for arm, budget in top.items() if budget is not None]
    found = [[cells.get((arm, top[arm] or 0, c)) for c in conditions] for arm in arms]
    values = [[math.nan if c is None else c.interval.estimate for c in row] for row in found]
    figure, axis = plt.subplots(figsize=(min(MOST_INCHES, 2.4 + 1.4 * len(conditions)), 0.8 + 0.4 * len(arms)))
    labels = [f"{arm}, {tokens(budget)}" if (budget := top[arm]) else arm for arm in arms]
    sns.heatmap(
        values, annot=[[_said(c) for c in row] for row in found], fmt="", cmap="cividis_r", vmin=0, vmax=1, ax=axis,
        annot_kws={"fontsize": 6}, xticklabels=conditions, yticklabels=labels, cbar_kws={"label": f"misaligned rate on {chosen}"},
    )  # fmt: skip
    axis.set_xlabel("harness condition")
    axis.tick_params(axis="y", rotation=0)
    return figure


def _said(cell: RateCell | None) -> str:
    if cell is None or math.isnan(cell.interval.estimate):
        return ""
    i = cell.interval
    return f"{i.estimate:.2f}" if math.isnan(i.low) else f"{i.estimate:.2f} [{i.low:.2f}, {i.high:.2f}]"
