"""`specsci report`: tables of a study's answers."""

from __future__ import annotations

from pathlib import Path

import click

from specsci.cli.common import format_option, store_option, store_path


@click.group()
def report() -> None:
    """Tables of a study's answers."""


@report.command()
@click.argument("name", type=click.Choice(["ablation"]))
@click.option("--study", "study_name", help="Study in the results [the only one].")
@store_option
@format_option
@click.option("--replicates/--no-replicates", default=True, help="Show every replicate's rates below.")
def table(name: str, study_name: str | None, store_dir: Path | None, format_: str, replicates: bool) -> None:
    """Print the ablation table from results.duckdb."""
    from specsci.report.ablation import ablation
    from specsci.report.tables import as_csv, as_json, markdown, preamble, tables_of
    from specsci.report.terminal import show
    from specsci.results.open import connect

    with connect(store_path(store_dir)) as db:
        content = ablation(db, study_name)
    tables = tables_of(content, per_replicate=replicates)
    if format_ == "json":
        click.echo(as_json(content))
    elif format_ == "csv":
        click.echo(as_csv(tables), nl=False)
    elif format_ == "md":
        click.echo("\n\n".join(preamble(content)) + "\n\n" + markdown(tables))
    else:
        show(preamble(content), tables)
