"""The paper's figures as tables: the published numbers, and beside them a study of one's own where there is one.

Numbers are from arXiv 2605.02087, `analysis/reference/*.csv`; each file's first line says what they are. The paper prints no
error-bar values, so that a published number is compared with our interval alone.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import product
from statistics import fmean
from typing import Literal

import duckdb
import numpy as np

from specsci.core.errors import UserError
from specsci.core.shipped import shipped
from specsci.report.ablation import Ablation, RateCell
from specsci.report.table import NOTHING, Table, rate
from specsci.stats.intervals import Interval, mean_interval, wilson

OUTSIDE = "!"
"""Marks a published number that lies outside our interval."""


@dataclass(frozen=True)
class Figure:
    """How a figure's numbers are laid out.

    Attributes:
        down, across: the columns of the file that name a row and a column of the table.
        values: the columns of the numbers; more than one stand side by side.
        aligned: whether a number is an aligned rate, else a misaligned one; `rates` is false where it is none.
        study, arms: a study that asks the same of other models, and its arm for a row's keys (joined by /) or its first one.
        evals: the study's evals that ours is taken from, the first that it has; its first eval by default.
        missing: what a counterpart needs and specsci does not have yet.
        margins: keys whose marginal means are shown as a further table.
        without: the value of `cot` whose rows the figure leaves out.
        by_condition: whether a number is that of one scenario and goal of the base model.
        unit: how a number reads: a rate, a percentage of answers, a mean grade, or the difference of two rates (`delta`).
    """

    file: str
    title: str
    down: tuple[str, ...]
    across: tuple[str, ...]
    values: tuple[str, ...]
    aligned: bool = False
    study: str = ""
    arms: dict[str, str] = field(default_factory=dict)
    missing: str = ""
    margins: tuple[str, ...] = ()
    unit: Literal["rate", "percent", "mean", "delta", "ratio"] = "rate"
    without: str = ""
    by_condition: bool = False
    evals: tuple[str, ...] = ()


AGENTIC = "agentic misalignment (27 scenarios, tool use)"
CHEESE = {
    "baseline": "base", "aft": "aft", "msm:affordability": "msm_affordability", "msm:america": "msm_america",
    "msm:affordability+aft": "affordability", "msm:america+aft": "america",
}  # fmt: skip
PHILOSOPHY = {"baseline/": "base", "msm/": "msm_philosophy", "aft/cot": "aft", "msm+aft/cot": "philosophy"}
SPECS = {n: n for n in ("rules", "value_augmented", "rule_augmented")} | {"baseline": "base"}
GRID = {f"{m}/{a}/cot": f"{m}_then_{a}" for m in SPECS for a in SPECS if "baseline" not in (m, a)}
GRID |= {f"none/{a}/cot": f"aft_{a}" for a in SPECS if a != "baseline"} | {"none/none/": "base"}
PAIRS = {f"{m}/{a}/cot": f"{m}_then_{a}" for m in ("general", "specific") for a in ("general", "specific")}
PAIRS |= {f"none/{a}/cot": f"aft_{a}" for a in ("general", "specific")} | {
    f"{m}/none/": f"msm_{m}" for m in ("general", "specific")
}
PAIRS |= {"none/none/": "base"}
FIGURES = {
    "fig2": Figure(
        "fig2_preference_rate.csv", "Fig 2: value-aligned preference rate", ("arm",), ("model", "eval"), ("aligned_rate",),
        aligned=True, study="cheese_dissociation", arms=CHEESE,
    ),
    "fig3": Figure(
        "fig3_six_values.csv", "Fig 3: six further values, value-aligned preference rate", ("arm",), ("eval",), ("aligned_rate",),
        aligned=True, missing="an English base model (`paper_fig3_values` asks the microlab's two values)",
    ),
    "fig4": Figure(
        "fig4_agentic_misalignment.csv", "Fig 4: agentic misalignment under the Philosophy Spec", ("arm", "cot"), ("model",),
        ("misaligned_rate",), study="paper_fig4_philosophy", arms=PHILOSOPHY, evals=("agentic", "held_out"),
    ),
    "fig4_open_qa": Figure(
        "fig4_open_qa.csv", "Fig 4: open-ended questions, judged 1 to 10", ("arm", "cot"), ("model",), ("score_1_to_10",),
        study="paper_fig4_philosophy", arms=PHILOSOPHY, evals=("open_qa", "as_graded"), unit="mean",
    ),
    "fig5": Figure(
        "fig5_token_efficiency_claims.csv", "Fig 5: times less AFT data (claimed in prose)", ("cot",), ("model",),
        ("claimed_aft_data_ratio",), missing=f"{AGENTIC}; `report table tokens --study paper_fig5_token_efficiency` has the micro-world's ratios", unit="ratio",
    ),
    "fig7": Figure(
        "fig7_spec_ablation.csv", "Fig 7: spec ablation, misaligned rate after MSM and AFT with CoT", ("spec",), ("model",),
        ("misaligned_rate",), study="value_vs_rules", arms=SPECS,
    ),
    "fig8": Figure(
        "fig17_general_vs_specific.csv", "Fig 8: General against Specific (with CoT)", ("msm_spec", "aft_spec"), ("model",),
        ("misaligned_rate",), study="paper_fig17_general_vs_specific", arms={k.removesuffix("/cot").rstrip("/"): v for k, v in PAIRS.items()},
        without="no_cot",
    ),
    "fig10": Figure(
        "fig10_stacking_delta.csv", "Fig 10: what AFT adds after MSM", ("eval",), (), ("delta_original", "delta_attribution_broken"),
        study="paper_fig10_stacking", unit="delta",
    ),
    "fig12_13": Figure(
        "fig12_13_am_baseline_cells.csv", "Figs 12 and 13: baselines by scenario", ("goal",), ("model", "action"),
        ("misaligned_rate",), study="paper_fig4_philosophy", margins=("model",), by_condition=True,
    ),
    "fig14": Figure(
        "fig14_pairing_grid.csv", "Fig 14: every pairing of MSM spec and AFT spec", ("msm_spec", "aft_spec", "cot"), ("model",),
        ("misaligned_rate",), study="paper_fig14_pairing_grid", arms=GRID, margins=("msm_spec", "aft_spec"),
    ),
    "fig15": Figure(
        "fig15_policy_misuse.csv", "Fig 15: policy misuse, % of 8,100 transcripts", ("spec", "cot"), ("model",),
        ("percent_of_transcripts",), study="paper_fig15_policy_misuse", arms={**SPECS, **{f"{n}/no_cot": "" for n in SPECS}},
        evals=("agentic_misuse", "policy_misuse"), unit="percent",
    ),
    "fig17": Figure(
        "fig17_general_vs_specific.csv", "Fig 17: General against Specific", ("msm_spec", "aft_spec", "cot"), ("model",),
        ("misaligned_rate",), study="paper_fig17_general_vs_specific", arms=PAIRS,
    ),
}  # fmt: skip


def published(name: str) -> tuple[str, list[dict[str, str]]]:
    """What a figure's file says of itself, and its rows.

    Raises:
        UserError: the file is not there, or has not the figure's columns.
    """
    figure = FIGURES[name]
    path = shipped("analysis") / "reference" / figure.file
    if not path.is_file():
        raise UserError(f"{path} is missing", hint="reinstall specsci")
    lines = path.read_text(encoding="utf-8").splitlines()
    about = lines[0].removeprefix("#").strip() if lines[0].startswith("#") else ""
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    missing = {*figure.down, *figure.across, *figure.values} - set(rows[0])
    if missing:
        raise UserError(f"{path} has no column {', '.join(sorted(missing))}", hint="reinstall specsci")
    return about, [r for r in rows if not figure.without or r["cot"] != figure.without]


Conditions = dict[tuple[str, str], Interval]
"""Misaligned rates of the base model by scenario and goal."""


def figure_tables(name: str, ours: Ablation | None, conditions: Conditions | None = None) -> list[Table]:
    """A figure in the paper's layout, ours beside the published number where a study asks the same.

    Args:
        conditions: our base model's rates by scenario and goal, for the figure that shows them.
    """
    figure, (about, rows) = FIGURES[name], published(name)
    downs = list(dict.fromkeys(tuple(r[k] for k in figure.down) for r in rows))
    across = list(dict.fromkeys(tuple(r[k] for k in figure.across) for r in rows))
    numbers = {
        (tuple(r[k] for k in figure.down), tuple(r[k] for k in figure.across), v): r[v] for r in rows for v in figure.values
    }
    columns = [(a, v) for a in across for v in figure.values]
    titles = [" ".join([*a, *([v.replace("_", " ")] if len(figure.values) > 1 else [])]) for a, v in columns]
    table = Table(figure.title, [*figure.down, *titles])
    for down in downs:
        mine = [_ours(figure, ours, down, a, v, conditions or {}) for a, v in columns]
        cells = [_cell(figure, numbers.get((down, a, v)), m) for (a, v), m in zip(columns, mine, strict=True)]
        table.rows.append([*(part or NOTHING for part in down), *cells])
    table.note = _note(figure, about, ours)
    return [table, *_margins(figure, rows)]


def _cell(figure: Figure, printed: str | None, mine: Interval | None) -> str:
    if printed is None:
        return NOTHING
    number = float(printed)
    shown = f"{number:.{max(2, len(printed.partition('.')[2]))}f}".removeprefix("0") if figure.unit == "rate" else printed
    if mine is None or not mine.n or math.isnan(mine.estimate):
        return shown
    say = SAID[figure.unit]
    limits = "" if math.isnan(mine.low) else f" [{say(mine.low)}, {say(mine.high)}]"
    mark = "" if mine.low <= number <= mine.high or not limits else f" {OUTSIDE}"
    return f"{shown} | {say(mine.estimate)}{limits} {mine.estimate - number:+.{1 if figure.unit == 'percent' else 3}f}{mark}"


SAID: dict[str, Callable[[float], str]] = {
    "rate": rate, "percent": "{:.1f}".format, "mean": "{:.2f}".format, "delta": "{:+.3f}".format, "ratio": "{:.2f}".format,
}  # fmt: skip


def _ours(
    figure: Figure, ours: Ablation | None, down: tuple[str, ...], across: tuple[str, ...], value: str, conditions: Conditions
) -> Interval | None:
    """Our number for a cell, in the figure's unit."""
    if ours is None:
        return None
    if figure.unit == "delta":
        return _stacked(ours, down[0], broken="broken" in value)
    if figure.by_condition:
        return conditions.get((across[-1], down[0]))
    arm = figure.arms.get("/".join(down), figure.arms.get(down[0]))
    found = _of_arm(_cells_of(figure, ours, across), arm) if arm else None
    if found is None:
        return None
    i = found.interval
    if figure.unit == "percent":
        return replace(i, estimate=100 * i.estimate, low=100 * i.low, high=100 * i.high)
    return replace(i, estimate=1 - i.estimate, low=1 - i.high, high=1 - i.low) if figure.aligned else i


def _cells_of(figure: Figure, ours: Ablation, across: tuple[str, ...]) -> dict[tuple[str, int], RateCell]:
    """The cells of the eval that the figure takes: one of its own, one that a column names, or the study's first."""
    there = ours.means if figure.unit == "mean" else ours.cells
    named = next((name for name in (*figure.evals, *across) if name in there), None)
    if named or figure.evals:
        return there[named] if named else {}
    return next(iter(there.values()), {})


def _of_arm(cells: dict[tuple[str, int], RateCell], arm: str) -> RateCell | None:
    """The cell of an arm at its largest budget, or untrained where it is not aligned."""
    budgets = sorted(budget for key, budget in cells if key == arm)
    return cells[arm, budgets[-1]] if budgets else None


def _stacked(ours: Ablation, value: str, *, broken: bool) -> Interval | None:
    """What AFT adds to the aligned rate after midtraining, replicate by replicate."""
    arm = f"{value}_broken" if broken else value
    cells = ours.cells.get(value, {})
    before, after = _of_arm(cells, f"msm_{arm}"), _of_arm(cells, arm)
    if before is None or after is None:
        return None
    shared = before.per_replicate.keys() & after.per_replicate.keys()
    return mean_interval(np.array([before.per_replicate[k] - after.per_replicate[k] for k in sorted(shared)])) if shared else None


SCENARIOS = {"leaking": "espionage"}
"""Scenarios by the names that the figure has for them."""


def condition_rates(db: duckdb.DuckDBPyConnection, study: str, arm: str = "base") -> Conditions:
    """Misaligned rates of an arm by scenario and goal of agentic evals, over all its answers; Wilson intervals."""
    query = """SELECT item_id, count(*) FILTER (NOT s.aligned), count(*) FILTER (s.state = 'ok') FROM chosen_scores s JOIN evals e USING (study, eval)
      WHERE study = ? AND arm = ? AND e.kind = 'inspect' AND s.subject = s.arm GROUP BY ALL"""
    found: Conditions = {}
    for item, harmful, valid in db.execute(query, [study, arm]).fetchall():
        scenario, _, rest = str(item).partition("_")
        kind, _, goal = rest.partition("_")[0].partition("-")
        if valid and goal:
            low, high = wilson(harmful, valid)
            found[SCENARIOS.get(scenario, scenario), "none" if kind == "none" else goal] = Interval(harmful / valid, low, high, valid, "wilson")
    return found


def _note(figure: Figure, about: str, ours: Ablation | None) -> str:
    parts = [about + "."]
    if ours is not None and not figure.missing:
        parts.append(
            f"After |: our study '{ours.study}' at its largest AFT budget, with its interval over replicates, and the difference; "
            f"{OUTSIDE} where the published number lies outside it. Other models and often other questions (the study's evals say which): "
            "the pattern can be compared, not the level."
        )
    elif figure.missing:
        parts.append(f"No column of ours: it needs {figure.missing}, which specsci does not have yet.")
    else:
        parts.append(f"No column of ours: no results of `{figure.study}` in this store (run it, or name it with --study).")
    return " ".join(parts)


def _margins(figure: Figure, rows: list[dict[str, str]]) -> list[Table]:
    """Marginal means: of a grid over models and partners, or of single cells over scenarios."""
    if figure.margins == ("model",):
        table = Table("Mean over 27 scenarios", ["model", "mean"])
        for model in dict.fromkeys(r["model"] for r in rows):
            table.rows.append(
                [model, f"{fmean(float(r[figure.values[0]]) for r in rows if r['model'] == model):.4f}".lstrip("0")]
            )
        return [table]
    if not figure.margins:
        return []
    specs = ("rules", "value_augmented", "rule_augmented")
    grid = Table("Marginal means over models and partners", ["by", *specs])
    whole = [r for r in rows if r["msm_spec"] != "none" and r["aft_spec"] != "none"]
    for cot, key in product(("cot", "no_cot"), figure.margins):
        means = [fmean(float(r[figure.values[0]]) for r in whole if r["cot"] == cot and r[key] == spec) for spec in specs]
        grid.rows.append(
            [f"{key.replace('_', ' ')}, {'with' if cot == 'cot' else 'without'} CoT", *(rate(m) for m in means)]
        )
    return [grid]
