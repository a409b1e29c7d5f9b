"""`specsci results contrast|grid|agreement`: statistics over what the database holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from specsci.cli.common import emit, format_option, store_option, store_path
from specsci.core.findings import sentence
from specsci.core.former import today

METHODS = (
    "auto", "paired_t", "unpaired_t", "cluster_t", "bootstrap", "two_proportion", "exact", "mcnemar", "linear", "mixed", "gee",
)  # fmt: skip
KEYS = ("estimate", "se", "statistic", "p", "ci_low", "ci_high", "n", "method", "flags")


class _Denominator(click.Choice[str]):
    """The two denominators, under the names of earlier versions too."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(today(value), param, ctx)


scale_option = click.option(
    "--scale",
    type=click.Choice(["rate", "logit", "arcsine"]),
    default="rate",
    show_default=True,
    help="Scale of the contrast.",
)
denominator_option = click.option(
    "--denominator",
    type=_Denominator(["valid", "attempted"]),
    default="valid",
    show_default=True,
    help="What a rate is over.",
)
budget_option = click.option(
    "--budget", "budget", type=click.IntRange(0), help="AFT tokens at which arms that have several are read."
)


@click.command()
@click.option("--study", "study", help="Study, run or imported.")
@click.option("--eval", "eval_name", help="Eval that the rates are of.")
@click.option("--weights", metavar="A=1,B=-1", help="A weight for each arm; any number of arms.")
@click.option(
    "--family", "family", type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A YAML file of contrasts, estimated together and corrected.",
)  # fmt: skip
@budget_option
@scale_option
@denominator_option
@click.option("--method", type=click.Choice(METHODS), default="auto", show_default=True, help="How it is estimated.")
@click.option(
    "--margin", type=click.FloatRange(0, 100, min_open=True), help="Test equivalence within ±MARGIN as well (TOST)."
)
@click.option(
    "--looks", metavar="4,6,8", help="Replicates at interim analyses; their boundaries keep the error over all of them."
)
@click.option(
    "--spending", type=click.Choice(["obrien_fleming", "pocock"]), default="obrien_fleming", show_default=True,
    help="How interim analyses spend the error.",
)  # fmt: skip
@click.option(
    "--paired/--unpaired", "paired", default=None,
    help="Compare the arms within replicates that all of them share, or as if none were shared [as the replicates are].",
)  # fmt: skip
@store_option
@format_option
def contrast(
    study: str | None, eval_name: str | None, weights: str | None, family: Path | None, budget: int | None, scale: str,
    denominator: str, method: str, margin: float | None, looks: str | None, spending: str, paired: bool | None, store_dir: Path | None, format_: str,
) -> None:  # fmt: skip
    """A contrast of your own: a weighted sum of arms' aligned rates, with interval, test and flags.

    Weights sum to 0; a single arm of weight 1 gives its rate with an interval. `auto` takes every arm over all its replicates:
    paired where the arms share them, Welch's t where they do not.

    \b
    auto         replicates where an arm has two or more, else clusters of items, else counts
    paired_t     t over replicates (base models, or seeds) that all arms share
    unpaired_t   Welch's t over each arm's own replicates
    cluster_t    ratio of counts, t over clusters of items (CR2)
    bootstrap    replicates, clusters and items resampled
    two_proportion, exact, linear      from counts: z with pooled variance, Fisher, Wald on a scale
    mcnemar      two arms on the same items, one answer each
    mixed        mixed model of single answers: linear (--scale rate), or logistic (--scale logit)
    gee          estimating equations of single answers (--scale logit)
    """  # noqa: D301 - click reads the backspace in it
    from specsci.database.connection import connect
    from specsci.inference.contrast import contrast as answer
    from specsci.inference.contrast_spec import ContrastSpec, parse_weights

    if family:
        _family(family, study, store_dir, format_)
        return
    if not (study and eval_name and weights):
        raise click.UsageError("give --study, --eval and --weights, or --family FILE")
    if paired is not None and method not in ("auto", "paired_t" if paired else "unpaired_t"):
        raise click.UsageError(f"--{'paired' if paired else 'unpaired'} goes with --method auto, not {method}")
    spec = ContrastSpec(
        study, eval_name, parse_weights(weights), budget, scale, denominator, method,  # type: ignore[arg-type]
        margin=margin, looks=_looks(looks), spending=spending, paired=paired,  # type: ignore[arg-type]
    )  # fmt: skip
    with connect(store_path(store_dir)) as db:
        found = answer(db, spec)
    if format_ == "json":
        emit(found)
        return
    _print([(f"{study}, {eval_name}: {weights}", found)], "", format_, _more(found))


def _looks(text: str | None) -> tuple[int, ...]:
    if not text:
        return ()
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise click.UsageError(f"--looks {text}: give numbers of replicates, such as 4,6,8") from error


def _family(file: Path, study: str | None, store_dir: Path | None, format_: str) -> None:
    from specsci.database.connection import connect
    from specsci.inference.families import family_contrasts

    with connect(store_path(store_dir)) as db:
        found = family_contrasts(db, file, study)
    if format_ == "json":
        emit(found)
        return
    title = f"{found['study']}, family {found['family']} ({found['correction']})"
    _print([(row["name"], row) for row in found["contrasts"]], title, format_)


@click.command()
@click.option("--study", required=True, help="Study, run or imported.")
@click.option("--eval", "eval_name", required=True, help="Eval that the rates are of.")
@budget_option
@scale_option
@denominator_option
@store_option
@format_option
def grid(
    study: str, eval_name: str, budget: int | None, scale: str, denominator: str, store_dir: Path | None, format_: str
) -> None:
    """Main effects and interactions of a study's grid of MSM spec by AFT spec, corrected (Holm) within either kind."""
    from specsci.database.connection import connect
    from specsci.inference.grid import grid_effects

    with connect(store_path(store_dir)) as db:
        found = grid_effects(db, study, eval_name, budget, scale, denominator)  # type: ignore[arg-type]
    if format_ == "json":
        emit(found)
        return
    _print([(row["effect"], row) for row in found["effects"]], f"{study}, {eval_name}: effects on the aligned rate", format_)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--human", help="The rater that is right: the others' errors are counted against it.")
@click.option(
    "--level", type=click.Choice(["nominal", "ordinal", "interval"]), default="nominal", show_default=True,
    help="What the labels are, for Krippendorff's alpha.",
)  # fmt: skip
@format_option
def agreement(file: Path, human: str | None, level: str, format_: str) -> None:
    """How far raters agree, from a CSV FILE of item_id, rater, label; and a judge's error by strata of a human audit.

    \b
    item_id, rater, label    one row per rating
    stratum, population      with --human: the stratum that an item was drawn from, and how many items it holds
    """  # noqa: D301 - click reads the backspace in it
    from specsci.report.agreement import agreement_tables
    from specsci.report.terminal import print_tables
    from specsci.results.ratings import agreement as agreement_of
    from specsci.results.ratings import read_ratings

    found = agreement_of(read_ratings(file), human, level)  # type: ignore[arg-type]
    if format_ == "json":
        emit(found)
    else:
        print_tables(agreement_tables(found), format_)


def _more(found: dict[str, Any]) -> list[str]:
    """What each interim analysis said, as lines."""
    lines = []
    for analysis in found.get("looks", []):
        p = "none" if analysis["p"] is None else f"{analysis['p']:.4f}"
        said = "stop" if analysis["stop"] else "go on"
        lines.append(
            f"after {analysis['replicates']} replicates: {analysis['estimate']:+.3f}, p {p}, level {analysis['level']:.4f}: {said}"
        )
    return lines


def _print(rows: list[tuple[str, dict[str, Any]]], title: str, format_: str, lines: list[str] | None = None) -> None:
    from specsci.report.table import Table
    from specsci.report.terminal import print_tables

    corrected = any("p_adj" in row for _, row in rows)
    keys = [*KEYS[:4], *(["p_adj"] if corrected else []), *KEYS[4:]]
    single = len(rows) == 1 and not title
    table = Table(title or rows[0][0], keys if single else ["contrast", *keys])
    for name, row in rows:
        cells = [_shown(row.get(k)) for k in keys]
        table.rows.append(cells if single else [name, *cells])
    table.note = "; ".join(_counts(rows))
    if lines:
        table.note = "\n".join([table.note, *lines])
    print_tables([table], format_, titled=not single)


def _counts(rows: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """What each arm answered; with the contrast's name where contrasts count an arm differently (another eval or budget)."""
    every: dict[str, dict[str, list[str]]] = {}
    for name, row in rows:
        for arm, c in row["counts"].items():
            n = row["replicates"][arm]
            said = f"{arm}: {c['aligned']:,} of {c['valid']:,} valid, {c['attempted']:,} attempted, {n} replicate{'' if n == 1 else 's'}"
            every.setdefault(arm, {}).setdefault(said, []).append(name)
    return [
        said if len(by_text) == 1 else f"{said} ({', '.join(names)})"
        for by_text in every.values()
        for said, names in by_text.items()
    ]


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, list):
        return sentence(value) or "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
