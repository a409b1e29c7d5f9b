"""Regenerate every table of a store: the studies' own, and the paper's figures with ours beside them.

    python analysis/01_tables.py --store .specsci --out tables

One Markdown, CSV and LaTeX file per table, and nothing that is not in results.duckdb.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from specsci.core.errors import SpecsciError
from specsci.database.connection import connect
from specsci.report.ablation import ablation, study_names
from specsci.report.latex import latex
from specsci.report.paper_figures import FIGURES, figure_tables
from specsci.report.table import Table
from specsci.report.tables import as_csv, markdown, tables_of


def write(tables: list[Table], stem: Path) -> None:
    """One file per format."""
    for ending, text in ((".md", markdown(tables)), (".csv", as_csv(tables)), (".tex", latex(tables))):
        stem.with_suffix(ending).write_text(text, encoding="utf-8")


@click.command(help=__doc__)
@click.option("--store", type=click.Path(path_type=Path), default=Path(".specsci"), show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("tables"), show_default=True)
def main(store: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with connect(store) as db:
        names = study_names(db)
        for name in names:
            write(tables_of(ablation(db, name)), out / f"study_{name}")
        for name, figure in FIGURES.items():
            ours = ablation(db, figure.study) if figure.study in names else None
            write(figure_tables(name, ours), out / name)
    click.echo(f"wrote {len(names) + len(FIGURES)} tables in three formats to {out}")


if __name__ == "__main__":
    try:
        main()
    except SpecsciError as error:
        sys.exit(str(error))
