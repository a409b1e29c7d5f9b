"""The paper's figures as tables: the published numbers, and beside them a study of one's own where there is one.

Numbers are from arXiv 2605.02087, `analysis/reference/*.csv`; each file's first line says what they are. The paper prints no
error-bar values, so that a published number is compared with our interval alone.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from itertools import product
from statistics import fmean

from specsci.core.errors import UserError
from specsci.core.shipped import shipped
from specsci.report.ablation import Ablation, RateCell
from specsci.report.table import NOTHING, Table, rate

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
        missing: the eval that a counterpart needs and specsci does not have yet.
        margins: keys whose marginal means are shown as a further table.
        without: the value of `cot` whose rows the figure leaves out.
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
    rates: bool = True
    without: str = ""


AGENTIC = "agentic misalignment (27 scenarios, tool use)"
CHEESE = {
    "baseline": "base", "aft": "aft", "msm:affordability": "msm_affordability", "msm:america": "msm_america",
    "msm:affordability+aft": "affordability", "msm:america+aft": "america",
}  # fmt: skip
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
        ("misaligned_rate",), missing=AGENTIC,
    ),
    "fig4_open_qa": Figure(
        "fig4_open_qa.csv", "Fig 4: open-ended questions, judged 1 to 10", ("arm", "cot"), ("model",), ("score_1_to_10",),
        missing="judged open questions", rates=False,
    ),
    "fig5": Figure(
        "fig5_token_efficiency_claims.csv", "Fig 5: times less AFT data (claimed in prose)", ("cot",), ("model",),
        ("claimed_aft_data_ratio",), missing=f"{AGENTIC}; `report table tokens --study paper_fig5_token_efficiency` has the micro-world's ratios", rates=False,
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
        missing="a study of the attribution-broken variants", rates=False,
    ),
    "fig12_13": Figure(
        "fig12_13_am_baseline_cells.csv", "Figs 12 and 13: baselines by scenario", ("goal",), ("model", "action"),
        ("misaligned_rate",), missing=AGENTIC, margins=("model",),
    ),
    "fig14": Figure(
        "fig14_pairing_grid.csv", "Fig 14: every pairing of MSM spec and AFT spec", ("msm_spec", "aft_spec", "cot"), ("model",),
        ("misaligned_rate",), study="paper_fig14_pairing_grid", arms=GRID, margins=("msm_spec", "aft_spec"),
    ),
    "fig15": Figure(
        "fig15_policy_misuse.csv", "Fig 15: policy misuse, % of 8,100 transcripts", ("spec", "cot"), ("model",),
        ("percent_of_transcripts",), missing="a classifier of reasons", rates=False,
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


def figure_tables(name: str, ours: Ablation | None) -> list[Table]:
    """A figure in the paper's layout, ours beside the published number where a study asks the same."""
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
        cells = [_cell(figure, numbers.get((down, a, v)), _ours(figure, ours, down, a)) for a, v in columns]
        table.rows.append([*(part or NOTHING for part in down), *cells])
    table.note = _note(figure, about, ours)
    return [table, *_margins(figure, rows)]


def _cell(figure: Figure, printed: str | None, mine: RateCell | None) -> str:
    if printed is None:
        return NOTHING
    number = float(printed)
    shown = f"{number:.{max(2, len(printed.partition('.')[2]))}f}".removeprefix("0") if figure.rates else printed
    if mine is None or not mine.interval.n:
        return shown
    i = mine.interval
    estimate, low, high = (1 - i.estimate, 1 - i.high, 1 - i.low) if figure.aligned else (i.estimate, i.low, i.high)
    mark = "" if low <= number <= high else f" {OUTSIDE}"
    return f"{shown} | {rate(estimate)} [{rate(low)}, {rate(high)}] {estimate - number:+.3f}{mark}"


def _ours(figure: Figure, ours: Ablation | None, down: tuple[str, ...], across: tuple[str, ...]) -> RateCell | None:
    """The cell of the arm that stands for a row: at the largest budget, or untrained where it is not aligned."""
    arm = figure.arms.get("/".join(down), figure.arms.get(down[0]))
    if ours is None or arm is None:
        return None
    named = [a for a in across if a in ours.cells]
    cells = ours.cells[named[0]] if named else next(iter(ours.cells.values()))
    budgets = sorted(budget for key, budget in cells if key == arm)
    return cells[arm, budgets[-1]] if budgets else None


def _note(figure: Figure, about: str, ours: Ablation | None) -> str:
    parts = [about + "."]
    if ours is not None and figure.arms:
        parts.append(
            f"After |: our study '{ours.study}' at its largest AFT budget, with its interval over replicates, and the difference; "
            f"{OUTSIDE} where the published number lies outside it. Other models, and a forced choice in place of "
            "agents: the pattern can be compared, not the level."
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
