"""Tables on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from specsci.core.terminal_text import raw, visible
from specsci.report.latex import latex
from specsci.report.table import Table
from specsci.report.tables import as_csv, markdown

WIDE = 160
"""Columns from which an estimate and its interval stand on one line."""


def console() -> Console:
    """Standard output: a terminal at its own width, a file or pipe wide enough for the tables."""
    real = Console(file=raw(sys.stdout))
    return real if real.is_terminal else Console(file=raw(sys.stdout), width=200)


def print_tables(tables: list[Table], format_: str, lines: Sequence[str] = (), *, titled: bool = True) -> None:
    """Print tables as `table`, `csv`, `md` or `latex`; `lines` stand above them where people read.

    `titled` is false for the CSV of a single table that programs read: its header then comes first.
    """
    if format_ == "csv":
        text = as_csv(tables)
        click.echo(text if titled else text.split("\n", 1)[1], nl=False)
    elif format_ == "md":
        click.echo("\n\n".join([*lines, markdown(tables)]))
    elif format_ == "latex":
        click.echo(latex(tables))
    else:
        show(lines, tables)


def show(lines: Sequence[str], tables: list[Table]) -> None:
    """Print lines and tables; nothing of a study's text is read as markup or as a command."""
    out = console()
    for line in lines:
        out.print(Text(visible(line)))
    for table in tables:
        out.print()
        out.print(Text(visible(table.title), style="bold"))
        grid = RichTable(box=SIMPLE_HEAD, pad_edge=False)
        for number, name in enumerate(table.header):
            grid.add_column(Text(visible(name)), overflow="fold", justify="left" if number == 0 else "right")
        for row in table.rows:
            cells = [visible(cell) for cell in row]
            grid.add_row(*(Text(cell if out.width >= WIDE else cell.replace(" [", "\n[")) for cell in cells))
        out.print(grid)
        if table.note:
            out.print(Text(visible(table.note), style="dim"))
