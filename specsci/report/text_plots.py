"""A figure of the training texts: how variants differ in more than their specs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from specsci.core.errors import UserError
from specsci.report.ablation import Ablation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CORPUS = "corpus."
RATES = {
    "top_opening": "open with the commonest words",
    "first_person": "first person",
    "hedges": "hedge",
    "questions": "ask",
    "lists": "lists or headings",
    "stock_names": "stock names",
    "monitors": "monitors, evaluations",
    "attributed": "tie behaviour to a reason",
}
OTHERS = {"near_distinct_share": "repeat no other text", "diversity": "distinct words in 50", "semantic_diversity": "semantic diversity"}
ROW_INCHES = 0.24
MOST_CLAUSES = 30


def texts(content: Ablation) -> Figure:
    """Of every variant: shares of texts that are written in some way, diversity, and the documents of every clause."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    variants = list(dict.fromkeys(role.removeprefix(CORPUS) for audit in content.examined for role in audit if role.startswith(CORPUS)))
    if not variants:
        raise UserError("no corpus of this study was examined", hint="texts that language models wrote or that a study brings are")
    clauses = _clauses(content)
    shown = {name: _means(content, variants, name) for name in (*RATES, *OTHERS)}
    shown = {name: values for name, values in shown.items() if any(v is not None for v in values)}
    height = ROW_INCHES * max(len(shown), len(clauses)) + 1.1
    figure, axes = plt.subplots(1, 2 if clauses else 1, figsize=(7.2, height), squeeze=False)
    _rates(axes[0, 0], shown, variants, sns.color_palette("colorblind", len(variants)))
    if clauses:
        _coverage(axes[0, 1], content, variants, clauses)
    figure.legend(loc="outside upper center", ncols=min(4, len(variants)), frameon=False)
    return figure


def _facts(content: Ablation, variant: str) -> list[dict[str, Any]]:
    return [audit[CORPUS + variant] for audit in content.examined if CORPUS + variant in audit]


def _means(content: Ablation, variants: Sequence[str], name: str) -> list[float | None]:
    """A measure of every variant, mean over replicates; None where it was not measured."""
    out: list[float | None] = []
    for variant in variants:
        found = [f["patterns"].get(name, f.get(name)) for f in _facts(content, variant)]
        known = [value for value in found if value is not None]
        out.append(sum(known) / len(known) if known else None)
    return out


def _rates(axis: Axes, shown: dict[str, list[float | None]], variants: Sequence[str], colours: Any) -> None:
    labels = {**RATES, **OTHERS}
    for y, values in enumerate(shown.values()):
        known = [v for v in values if v is not None]
        axis.plot([min(known), max(known)], [y, y], color="0.8", zorder=1)
    for number, variant in enumerate(variants):
        beside = (number - (len(variants) - 1) / 2) * 0.6 / max(4, len(variants))  # equal values stay apart
        places = [(value, y + beside) for y, values in enumerate(shown.values()) if (value := values[number]) is not None]
        axis.scatter([x for x, _ in places], [y for _, y in places], s=16, color=colours[number], label=variant, zorder=2)
    axis.set_yticks(range(len(shown)), [labels[name] for name in shown])
    axis.set_ylim(len(shown) - 0.5, -0.5)
    axis.set_xlim(-0.03, 1.03)
    axis.set_xlabel("share of texts, or index from 0 to 1")


def _clauses(content: Ablation) -> list[str]:
    """The clauses that documents were labelled with; none where too many to be read."""
    found = dict.fromkeys(c for audit in content.examined for role, f in audit.items() if role.startswith(CORPUS) for c in f["clauses"])
    return list(found) if len(found) <= MOST_CLAUSES else []


def _coverage(axis: Axes, content: Ablation, variants: Sequence[str], clauses: Sequence[str]) -> None:
    """Documents of every clause, as shares of a variant's documents that are about a clause; drawn as shapes, not as a picture."""
    import seaborn as sns

    table = []
    for variant in variants:
        counts = [sum(f["clauses"].get(c, 0) for f in _facts(content, variant)) for c in clauses]
        whole = sum(counts)
        table.append([count / whole if whole else float("nan") for count in counts])
    columns = [list(column) for column in zip(*table, strict=True)]
    sns.heatmap(columns, ax=axis, cmap="Blues", vmin=0, annot=True, fmt=".0%", annot_kws={"size": 7}, cbar=False, linewidths=0.5)
    axis.set_yticks([n + 0.5 for n in range(len(clauses))], [c if len(c) <= 28 else f"{c[:27]}…" for c in clauses], rotation=0)
    axis.set_xticks([n + 0.5 for n in range(len(variants))], variants, rotation=30, ha="right")
    axis.set_title("share of documents by clause")
