"""Figures of a study's answers: every one shows the replicates behind its means, and is readable at column width."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specsci.core.errors import UserError
from specsci.core.files import write_whole
from specsci.core.findings import worst
from specsci.core.shipped import cache_folder
from specsci.report.ablation import Ablation, RateCell
from specsci.report.harness_table import harness_map
from specsci.report.text_plots import texts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("svg", "png", "pdf")
WIDTH = 7.2
"""Inches of two columns; text is 8 points, so that at one column (half of it) it is still 4."""
SOLVED_PANELS = 16
"""Panels up to which matplotlib solves for their margins."""
LONGEST_LABEL = 40
NO_AFT = 0.5
"""Where models without AFT stand on the logarithmic axis, as a share of the smallest budget."""
STYLE: dict[Any, Any] = {
    "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "xtick.labelsize": 7, "ytick.labelsize": 7, "legend.fontsize": 7,
    "svg.fonttype": "none", "svg.hashsalt": "specsci", "pdf.fonttype": 42, "axes.spines.top": False, "axes.spines.right": False,
    "text.parse_math": False, "figure.constrained_layout.use": True, "font.family": "sans-serif",
}  # fmt: skip


def curves(content: Ablation, name: str | None = None) -> Figure:
    """Misaligned rate over AFT tokens, a panel per aligned arm: mean, interval, every replicate, and AFT alone beside it."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    cells = _outcome(content, name)
    arms = [a for a, spec in content.arms.items() if spec.align and any(k[0] == a for k in cells)]
    budgets = [b for b in content.budgets if b]
    if not arms or not budgets:
        raise UserError("no aligned arm is scored yet", hint="run the study, then draw it")
    reference = next((a for a in arms if not content.arms[a].midtrain and not content.arms[a].prompt and content.arms[a].align != "it_mix"), None)
    columns = min(4, len(arms))
    rows = math.ceil(len(arms) / columns)
    figure, axes = _panels(plt, len(arms), rows, columns)
    palette = sns.color_palette("colorblind")
    starts = _before_aft(content)
    for number, arm in enumerate(arms):
        axis = axes.flat[number]
        if reference and arm != reference:
            _line(axis, cells, reference, budgets, starts, content, "0.6", band=False, replicates=False)
        _line(axis, cells, arm, budgets, starts, content, palette[0])
        axis.set_title(_short(arm))
    _budget_axis(axes.flat[: len(arms)], budgets, columns)
    for axis in axes.flat[len(arms) :]:
        axis.set_visible(False)
    figure.supylabel("misaligned rate", fontsize=8)
    said = f"grey: {reference}" if reference else ""
    figure.supxlabel(f"AFT tokens (none: before AFT){'; ' + said if said else ''}", fontsize=8)
    return figure


def _panels(plt: Any, count: int, rows: int, columns: int) -> tuple[Figure, Any]:
    """A figure and its grid of axes. Many panels get fixed margins: a layout that is solved takes time with their square."""
    height = 1.9 * rows + 0.3
    if count <= SOLVED_PANELS:
        solved: tuple[Figure, Any] = plt.subplots(rows, columns, figsize=(WIDTH, height), squeeze=False)
        return solved
    margins = {"left": 0.55 / WIDTH, "right": 1 - 0.1 / WIDTH, "bottom": 0.65 / height, "top": 1 - 0.25 / height}
    grid = {**margins, "wspace": 0.12, "hspace": 0.35}
    size = (WIDTH, height)
    fixed: tuple[Figure, Any] = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="none", gridspec_kw=grid)
    return fixed


def _short(name: str) -> str:
    """A name that a panel has room for."""
    return name if len(name) <= LONGEST_LABEL else name[: LONGEST_LABEL - 1] + "…"


def _before_aft(content: Ablation) -> dict[tuple[str | None, str], str]:
    """What an arm was midtrained on and is prompted with, to the first arm that is only that."""
    found: dict[tuple[str | None, str], str] = {}
    for arm, spec in content.arms.items():
        if not spec.align:
            found.setdefault((spec.midtrain, spec.prompt), arm)
    return found


def _line(
    axis: Axes, cells: dict[tuple[str, int], RateCell], arm: str, budgets: list[int], starts: dict[tuple[str | None, str], str],
    content: Ablation, colour: Any, *, band: bool = True, replicates: bool = True,
) -> None:  # fmt: skip
    """An arm's mean over budgets, with its interval and its replicates; before AFT it is the arm that is only midtrained."""
    start = starts.get((content.arms[arm].midtrain, content.arms[arm].prompt))
    points = [(budgets[0] * NO_AFT, cells.get((start, 0)) if start else None), *((b, cells.get((arm, b))) for b in budgets)]
    known = [(x, c) for x, c in points if c is not None]
    if not known:
        return
    xs = [x for x, _ in known]
    if replicates:
        across: list[float] = []
        values: list[float] = []
        for cluster in dict.fromkeys(c for _, cell in known for c in cell.per_replicate):
            own = [(x, cell.per_replicate[cluster]) for x, cell in known if cluster in cell.per_replicate]
            across += [*(x for x, _ in own), math.nan]  # the gap between two replicates' lines
            values += [*(y for _, y in own), math.nan]
        axis.plot(across, values, color=colour, alpha=0.35, linewidth=0.6, marker=".", markersize=2)
    if band:
        axis.fill_between(
            xs, [c.interval.low for _, c in known], [c.interval.high for _, c in known], color=colour, alpha=0.15
        )
    axis.plot(xs, [c.interval.estimate for _, c in known], color=colour, linewidth=1.6, marker="o", markersize=3)


def _budget_axis(panels: Any, budgets: list[int], columns: int) -> None:
    """The same two axes in every panel, with labels on the outer ones."""
    ticks = [budgets[0] * NO_AFT, *budgets]
    shown = ["none", *(f"{b // 1000}k" if b % 1000 == 0 else f"{b:,}" for b in budgets)]
    low, high = math.log10(ticks[0]), math.log10(ticks[-1])
    room = 0.05 * ((high - low) or 1.0)
    for number, axis in enumerate(panels):
        axis.set_xscale("log")
        axis.set_xticks(ticks, shown, rotation=45)
        axis.minorticks_off()
        axis.set_xlim(10 ** (low - room), 10 ** (high + room))
        axis.set_ylim(0, 1)
        lowest = number + columns >= len(panels)
        axis.tick_params(labelbottom=lowest, labelleft=number % columns == 0)


def forest(content: Ablation) -> Figure:
    """Every contrast with its interval and the value in each replicate; open markers where confounded or withheld."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    rows = [c for c in content.contrasts if c["estimate"] is not None]
    if not rows:
        raise UserError("no contrast has an estimate yet", hint="run the study, then draw it")
    scales = list(dict.fromkeys(c["scale"] for c in rows))
    heights = [sum(c["scale"] == s for c in rows) for s in scales]
    figure, axes = plt.subplots(
        len(scales), 1, figsize=(WIDTH, 0.32 * len(rows) + 0.7 * len(scales)), squeeze=False, height_ratios=heights
    )
    palette = sns.color_palette("colorblind")
    for axis, scale in zip(axes.flat, scales, strict=True):
        mine = [c for c in rows if c["scale"] == scale]
        axis.axvline(0, color="0.5", linewidth=0.8)
        for y, c in enumerate(mine):
            colour = palette[1] if c["primary"] else palette[0]
            doubtful = bool(c["confounds"]) or worst(c["flags"]) in ("withheld", "invalid")
            axis.scatter(
                c["per_replicate"], [y + 0.22] * len(c["per_replicate"]), s=6, color="0.45", alpha=0.7, linewidths=0
            )
            if c["ci_low"] is not None:
                axis.plot([c["ci_low"], c["ci_high"]], [y, y], color=colour, linewidth=1.4)
            axis.plot(c["estimate"], y, "o", markersize=4.5, color=colour, markerfacecolor="none" if doubtful else colour)
        axis.set_yticks(range(len(mine)), [f"{_short(c['contrast'])}{' (primary)' if c['primary'] else ''}" for c in mine])
        axis.set_ylim(len(mine) - 0.4, -0.6)
        what = "aligned rate" if scale == "rate" else f"aligned rate, {scale} scale"
        axis.set_xlabel(f"difference in {what}, 95 % interval; small points: replicates; open: doubtful")
    return figure


def heat_map(content: Ablation, name: str | None = None) -> Figure:
    """The grid MSM spec by AFT spec at the largest budget: misaligned rate and its interval in every cell."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    cells = _outcome(content, name)
    rows = list(dict.fromkeys(s.midtrain for s in content.arms.values() if s.align and s.align != "it_mix"))
    columns = list(dict.fromkeys(s.align for s in content.arms.values() if s.align and s.align != "it_mix"))
    if not rows or not columns:
        raise UserError(
            "the study has no aligned arm: there is no grid to draw", hint="`report plot forest` draws its contrasts"
        )
    top = max(content.budgets)
    by_pair = {(s.midtrain, s.align): cells.get((a, top)) for a, s in content.arms.items() if s.align}
    values = [[c.interval.estimate if (c := by_pair.get((r, k))) else math.nan for k in columns] for r in rows]
    texts = [[_cell_text(by_pair.get((r, k))) for k in columns] for r in rows]
    figure, axis = plt.subplots(figsize=(min(WIDTH, 1.8 + 1.5 * len(columns)), 0.8 + 0.55 * len(rows)))
    sns.heatmap(
        values, annot=texts, fmt="", cmap="cividis_r", vmin=0, vmax=1, ax=axis, annot_kws={"fontsize": 7},
        xticklabels=columns, yticklabels=[r or "none" for r in rows], cbar_kws={"label": "misaligned rate"},
    )  # fmt: skip
    axis.set_xlabel(f"AFT on ({top:,} tokens)")
    axis.set_ylabel("midtrained on")
    axis.tick_params(axis="y", rotation=0)
    return figure


def _cell_text(cell: RateCell | None) -> str:
    return "" if cell is None else f"{cell.interval.estimate:.2f}\n[{cell.interval.low:.2f}, {cell.interval.high:.2f}]"


PARTS = {
    "base_share": "base model", "replicate_share": "replicate (base, corpus, order)", "cluster_share": "cluster of items",
    "item_share": "item", "replicate_cluster_share": "replicate by cluster", "replicate_item_share": "replicate by item",
    "repeat_share": "repeated answer",
}  # fmt: skip


def noise(content: Ablation) -> Figure:
    """Where each contrast's squared standard error comes from, and its half-width now and with twice as many replicates."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    rows = content.noise
    if not rows:
        raise UserError(
            "no variance components: they need single answers of two replicates", hint="run the study, then draw it"
        )
    figure, axis = plt.subplots(figsize=(WIDTH, 0.3 * len(rows) + 1.1))
    palette = sns.color_palette("colorblind")
    left = [0.0] * len(rows)
    for number, (key, label) in enumerate(PARTS.items()):
        widths = [r[key] or 0.0 for r in rows]
        if any(widths):
            axis.barh(range(len(rows)), widths, left=left, color=palette[number], label=label, height=0.7)
            left = [a + b for a, b in zip(left, widths, strict=True)]
    for y, r in enumerate(rows):
        said = f"±{r['half_width']:.3f}; twice the replicates ±{r['half_width_twice_replicates']:.3f}"
        axis.text(1.02, y, f"{said}, items ±{r['half_width_twice_items']:.3f}", va="center", fontsize=7)
    axis.set_yticks(range(len(rows)), [_short(r["contrast"]) for r in rows])
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_xlim(0, 1)
    axis.set_xlabel("share of the squared standard error; right: half of a 95 % interval")
    figure.legend(loc="outside lower center", ncols=5, frameon=False)
    return figure


def denominators(content: Ablation, name: str | None = None) -> Figure:
    """What became of every question: aligned, misaligned or without a valid answer, for each arm at its largest budget."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    cells = _outcome(content, name)
    last = {arm: max(b for a, b in cells if a == arm) for arm in dict.fromkeys(a for a, _ in cells)}
    figure, axis = plt.subplots(figsize=(WIDTH, 0.24 * len(last) + 0.9))
    palette = sns.color_palette("colorblind")
    left = [0.0] * len(last)
    counts = [cells[arm, b] for arm, b in last.items()]
    parts: list[tuple[str, Callable[[RateCell], int], Any]] = [
        ("misaligned", lambda c: c.valid - c.aligned, palette[1]),
        ("aligned", lambda c: c.aligned, palette[0]),
        ("not valid", lambda c: c.attempted - c.valid, "0.75"),
    ]
    for label, count, colour in parts:
        widths = [count(c) / c.attempted for c in counts]
        axis.barh(range(len(last)), widths, left=left, color=colour, label=label, height=0.75)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    for y, c in enumerate(counts):
        axis.text(1.01, y, f"{c.valid:,} of {c.attempted:,} valid", va="center", fontsize=7)
    axis.set_yticks(range(len(last)), [f"{_short(arm)}{f', {b:,}' if b else ''}" for arm, b in last.items()])
    axis.set_ylim(len(last) - 0.4, -0.6)
    axis.set_xlim(0, 1)
    axis.set_xlabel("share of the attempted answers")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return figure


def _outcome(content: Ablation, name: str | None) -> dict[tuple[str, int], RateCell]:
    """The cells of an outcome eval; the first one if none is named."""
    if name is not None and name not in content.cells:
        known = ", ".join(content.cells)
        raise UserError(f"no outcome eval '{name}'", hint=f"the study has {known}")
    found = content.cells[name] if name is not None else next(iter(content.cells.values()), {})
    if not found:
        raise UserError("nothing is scored yet", hint="run the study, then draw it")
    return found


PLOTS: dict[str, Callable[..., Figure]] = {
    "forest": forest, "curves": curves, "grid": heat_map, "noise": noise, "denominators": denominators, "texts": texts,
    "harness": harness_map,
}  # fmt: skip
BY_EVAL = ("curves", "grid", "denominators", "harness")


def draw(plot: str, content: Ablation, name: str | None = None, style: dict[Any, Any] | None = None) -> Figure:
    """A figure by name, in the house's style or another.

    Raises:
        UserError: the study has not (yet) what the figure shows.
    """
    if not os.environ.get("MPLCONFIGDIR") and not os.access(os.path.expanduser("~"), os.W_OK):  # noqa: PTH111 - an account may have no home
        os.environ["MPLCONFIGDIR"] = str(cache_folder("matplotlib"))  # else matplotlib warns, and lists all fonts anew in every run
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.close("all")
    with plt.rc_context(style or STYLE):
        figure = PLOTS[plot](content, name) if plot in BY_EVAL else PLOTS[plot](content)
        figure.draw_without_rendering()
        return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure as SVG, PNG or PDF, by the file's ending; the same figure gives the same bytes.

    Raises:
        UserError: another ending.
        StoreError: the file cannot be written.
    """
    import matplotlib.pyplot as plt

    kind = path.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise UserError(
            f"'{path.name}' has no ending of {', '.join(FORMATS)}", hint="give --out a name with one of these endings"
        )
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[kind]
    with plt.rc_context(STYLE):
        write_whole(path, lambda part: figure.savefig(part, dpi=200, metadata=dates, format=kind))
