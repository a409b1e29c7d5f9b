"""`specsci report`: tables, figures, pages and cards of a study's answers."""

from __future__ import annotations

from pathlib import Path

import click

from specsci.cli.common import open_store, store_option, store_path

PARTS = {"tokens": ("Token efficiency",), "controls": ("Controls", "Absorption")}
JSON_PARTS = {"tokens": ("token_efficiency",), "controls": ("controls", "absorption")}
OTHERS = ("reasons", "side_effects")
TABLES = (
    "ablation", "tokens", "controls", *OTHERS, "fig2", "fig3", "fig4", "fig4_open_qa", "fig5", "fig7", "fig8", "fig10", "fig12_13", "fig14", "fig15", "fig17",
)  # fmt: skip

PLOTS = ("forest", "curves", "grid", "noise", "denominators", "texts", "harness")


@click.group()
def report() -> None:
    """Tables, figures, pages and cards of a study's answers."""


@report.command()
@click.argument("name", type=click.Choice(TABLES))
@click.option(
    "--study", "study_name", help="Study in the results [ablation, reasons: the only one; side_effects: all; fig*: the figure's counterpart]."
)
@store_option
@click.option(
    "--format", "format_", type=click.Choice(["table", "json", "csv", "md", "latex"]), default="table", show_default=True
)
@click.option("--replicates/--no-replicates", default=True, help="Show every replicate's rates below.")
def table(name: str, study_name: str | None, store_dir: Path | None, format_: str, replicates: bool) -> None:
    """Print a table: `ablation` of a study, its `tokens` or `controls` alone, `reasons` in answers, `side_effects`, or a figure of the paper.

    `side_effects` shows every arm on every item set, over all studies of the store where none is named.

    Figures show the published numbers, and ours beside them where the store holds a study that asks the same.
    """
    if name in OTHERS:
        _other(name, study_name, store_dir, format_)
        return
    if name not in ("ablation", *PARTS):
        _figure(name, study_name, store_dir, format_)
        return
    from specsci.database.connection import connect
    from specsci.report.ablation import ablation
    from specsci.report.tables import as_json, preamble, tables_of
    from specsci.report.terminal import print_tables

    with connect(store_path(store_dir)) as db:
        content = ablation(db, study_name)
    tables = tables_of(content, per_replicate=replicates)
    if name in PARTS:
        tables = [t for t in tables if t.title.startswith(PARTS[name])]
    if format_ == "json":
        click.echo(as_json(content, JSON_PARTS.get(name, ())))
    else:
        print_tables(tables, format_, preamble(content))


def _other(name: str, study: str | None, store_dir: Path | None, format_: str) -> None:
    """Tables that no ablation table holds."""
    from dataclasses import asdict

    from specsci.cli.common import emit
    from specsci.core.errors import UserError
    from specsci.database.connection import connect
    from specsci.report.ablation import chosen_study, study_names
    from specsci.report.reason_table import reason_tables
    from specsci.report.side_effects import side_effects
    from specsci.report.terminal import print_tables

    with connect(store_path(store_dir)) as db:
        if name == "reasons":
            manifest = chosen_study(db, study)
            tables = reason_tables(db, manifest.study, manifest)
            if not tables:
                raise UserError(f"'{manifest.study}' has no eval of reasons that is scored", hint="add one: {kind: reasons, of: EVAL, judge: GENERATOR}")
        else:
            tables = [side_effects(db, [chosen_study(db, study).study] if study else study_names(db))]
    if format_ == "json":
        emit([asdict(table) for table in tables])
    else:
        print_tables(tables, format_)


def _figure(name: str, study: str | None, store_dir: Path | None, format_: str) -> None:
    """A figure of the paper; ours beside it where the store holds its counterpart."""
    from dataclasses import asdict

    from specsci.cli.common import emit
    from specsci.database.connection import connect
    from specsci.database.stamp import DATABASE
    from specsci.report.ablation import ablation, study_names
    from specsci.report.paper_figures import FIGURES, condition_rates, figure_tables
    from specsci.report.terminal import print_tables

    ours, conditions, wanted, root = None, None, study or FIGURES[name].study, store_path(store_dir)
    if study or (wanted and (root / DATABASE).is_file()):
        with connect(root) as db:
            ours = ablation(db, wanted) if study or wanted in study_names(db) else None
            conditions = condition_rates(db, wanted) if ours is not None and FIGURES[name].by_condition else None
    tables = figure_tables(name, ours, conditions)
    if format_ == "json":
        emit([asdict(table) for table in tables])
    else:
        print_tables(tables, format_)


@report.command()
@click.argument("name", type=click.Choice(PLOTS))
@click.option("--study", "study_name", help="Study in the results [the only one].")
@click.option("--eval", "eval_name", help="Eval of curves, grid, denominators and harness [the first].")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="An .svg, .png or .pdf file [NAME.svg].")
@store_option
def plot(name: str, study_name: str | None, eval_name: str | None, out: Path | None, store_dir: Path | None) -> None:
    """Draw a figure of a study.

    \b
    forest        every contrast with its interval and replicates
    curves        misaligned rate over AFT tokens, a panel per arm
    grid          heat map of MSM spec by AFT spec
    noise         where the contrasts' noise comes from
    denominators  aligned, misaligned and not valid answers of every arm
    texts         how variants' texts differ in more than their specs
    harness       heat map of arm by harness condition
    """  # noqa: D301 - click reads the backspace in it
    from specsci.database.connection import connect
    from specsci.report.ablation import ablation
    from specsci.report.plots import draw, save

    with connect(store_path(store_dir)) as db:
        content = ablation(db, study_name)
    path = out or Path(f"{name}.svg")
    save(draw(name, content, eval_name), path)
    click.echo(f"wrote {path}")


@report.command()
@click.option("--study", "study_name", help="Study in the results [the only one].")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="The file [STUDY.html].")
@store_option
def html(study_name: str | None, out: Path | None, store_dir: Path | None) -> None:
    """Write one self-contained page about a study: no network, no script, everything in it."""
    from specsci.database.connection import connect
    from specsci.report.ablation import study_names
    from specsci.report.html import write_page
    from specsci.report.study_page import study_page

    root = store_path(store_dir)
    with connect(root) as db:
        text = study_page(db, study_name)
        names = study_names(db)
    path = out or Path(f"{study_name or names[0]}.html")
    write_page(path, text)
    click.echo(f"wrote {path}")


@report.command()
@click.argument("digest", metavar="MODEL|CORPUS")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="The file [standard output].")
@store_option
def card(digest: str, out: Path | None, store_dir: Path | None) -> None:
    """Write the card of a trained model, with its lineage and scores, or of a corpus, from its digest or the start of it."""
    from specsci.report.cards import card_of
    from specsci.report.html import write_page

    text = card_of(open_store(store_dir, create=False), digest)
    if out is None:
        click.echo(text)
        return
    write_page(out, text)
    click.echo(f"wrote {out}")
