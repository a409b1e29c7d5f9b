"""Figures of a search: the expected best after so many trials, and the objective over each setting."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def tuning_figures(found: dict[str, Any], folder: Path) -> list[Path]:
    """Write the figures of a search's record as SVG; returns their files."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    better = "rate, higher is better" if found["maximise"] else "nats per token, lower is better"
    files = []
    for name, draw in (("tuning_curve", _curve), ("tuning_sensitivity", _sensitivity)):
        figure = draw(found, plt, better)
        path = folder / f"{name}.svg"
        figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
        plt.close(figure)
        files.append(path)
    return files


def _curve(found: dict[str, Any], plt: Any, better: str) -> Any:
    figure, ax = plt.subplots(figsize=(6, 3.6))
    every = [v for points in found["curves"].values() for p in points for v in (p["expected_best"], p["low"], p["high"]) if v is not None]
    low, high = (min(every), max(every)) if every else (0, 1)
    for number, (arm, points) in enumerate(found["curves"].items()):
        x = [p["trials"] for p in points]
        ax.plot(x, [p["expected_best"] for p in points], marker="o", label=arm, color=f"C{number}")
        ends = ([p[end] if p[end] is not None else edge for p in points] for end, edge in (("low", low), ("high", high)))
        ax.fill_between(x, *ends, alpha=0.12, color=f"C{number}", linewidth=0)
    ax.set(xlabel="trials", ylabel=better, title="Expected best after so many trials, with a band of at least 95 %")
    ax.legend(frameon=False)
    return figure


def _sensitivity(found: dict[str, Any], plt: Any, better: str) -> Any:
    keys = list(found["space"])
    figure, grid = plt.subplots(1, len(keys), figsize=(4.2 * len(keys), 3.6), squeeze=False, sharey=True)
    for ax, key in zip(grid[0], keys, strict=True):
        for number, arm in enumerate(found["curves"]):
            mine = sorted((r["config"][key], r["objective"], r["feasible"]) for r in found["results"] if r["arm"] == arm and r["objective"] is not None)
            ax.plot([m[0] for m in mine], [m[1] for m in mine], color=f"C{number}", alpha=0.4)
            for feasible, marker in ((True, "o"), (False, "x")):
                some = [m for m in mine if m[2] is feasible]
                ax.scatter([m[0] for m in some], [m[1] for m in some], color=f"C{number}", marker=marker, label=arm if feasible else None)
        ax.axvline(found["settings_now"][key], color="grey", linestyle=":", linewidth=1)
        ax.set(xlabel=f"{key.rpartition('.')[2]} (dotted: as it was)", ylabel=better if ax is grid[0][0] else "")
        if found["space"][key]["scale"] == "log":
            ax.set_xscale("log")
    grid[0][0].legend(frameon=False)
    figure.suptitle("The objective over each setting, a point for each trial (crosses broke the constraint)", fontsize=10)
    return figure
