"""Regenerate every figure of a store, as SVG and PDF.

python analysis/02_figures.py --store .specsci --out figures
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from specsci.core.errors import SpecsciError, UserError
from specsci.database.connection import connect
from specsci.report.ablation import ablation, study_names
from specsci.report.plots import PLOTS, draw, save


@click.command(help=__doc__)
@click.option("--store", type=click.Path(path_type=Path), default=Path(".specsci"), show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("figures"), show_default=True)
def main(store: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with connect(store) as db:
        contents = [ablation(db, name) for name in study_names(db)]
    for content in contents:
        for name in PLOTS:
            try:
                figure = draw(name, content)
            except UserError as error:
                click.echo(f"{content.study}: no {name}: {error.what}")
                continue
            for ending in ("svg", "pdf"):
                save(figure, out / f"{content.study}_{name}.{ending}")
            click.echo(f"{content.study}: {name}")


if __name__ == "__main__":
    try:
        main()
    except SpecsciError as error:
        sys.exit(str(error))
