"""`specsci report`: tables of a study's answers."""

from __future__ import annotations

from pathlib import Path

import click

from specsci.cli.common import store_option, store_path

PARTS = {"tokens": ("Token efficiency",), "controls": ("Controls", "Absorption")}
TABLES = (
    "ablation", "tokens", "controls", "fig2", "fig3", "fig4", "fig4_open_qa", "fig5", "fig7", "fig8", "fig10", "fig12_13", "fig14", "fig15", "fig17",
)  # fmt: skip


@click.group()
def report() -> None:
    """Tables of a study's answers."""


@report.command()
@click.argument("name", type=click.Choice(TABLES))
@click.option("--study", "study_name", help="Study in the results [ablation: the only one; fig*: the figure's counterpart].")
@store_option
@click.option(
    "--format", "format_", type=click.Choice(["table", "json", "csv", "md", "latex"]), default="table", show_default=True
)
@click.option("--replicates/--no-replicates", default=True, help="Show every replicate's rates below.")
def table(name: str, study_name: str | None, store_dir: Path | None, format_: str, replicates: bool) -> None:
    """Print a table: `ablation` of a study, its `tokens` or `controls` alone, or a figure of the paper.

    Figures show the published numbers, and ours beside them where the store holds a study that asks the same.
    """
    if name not in ("ablation", *PARTS):
        _figure(name, study_name, store_dir, format_)
        return
    from specsci.report.ablation import ablation
    from specsci.report.tables import as_json, preamble, tables_of
    from specsci.report.terminal import print_tables
    from specsci.results.open import connect

    with connect(store_path(store_dir)) as db:
        content = ablation(db, study_name)
    tables = tables_of(content, per_replicate=replicates)
    if name in PARTS:
        tables = [t for t in tables if t.title.startswith(PARTS[name])]
    if format_ == "json":
        click.echo(as_json(content))
    else:
        print_tables(tables, format_, preamble(content))


def _figure(name: str, study: str | None, store_dir: Path | None, format_: str) -> None:
    """A figure of the paper; ours beside it where the store holds its counterpart."""
    from dataclasses import asdict

    from specsci.cli.common import emit
    from specsci.report.ablation import ablation, study_names
    from specsci.report.published import FIGURES, figure_tables
    from specsci.report.terminal import print_tables
    from specsci.results.open import connect
    from specsci.results.stamp import DATABASE

    ours, wanted, root = None, study or FIGURES[name].study, store_path(store_dir)
    if study or (wanted and (root / DATABASE).is_file()):
        with connect(root) as db:
            ours = ablation(db, wanted) if study or wanted in study_names(db) else None
    tables = figure_tables(name, ours)
    if format_ == "json":
        emit([asdict(table) for table in tables])
    else:
        print_tables(tables, format_)
