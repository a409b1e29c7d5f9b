"""Tables on a terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from specsci.report.tables import Table


def show(console: Console, lines: list[str], tables: list[Table]) -> None:
    """Print lines and tables; nothing of a study's text is read as markup."""
    for line in lines:
        console.print(Text(line))
    for table in tables:
        console.print()
        console.print(Text(table.title, style="bold"))
        grid = RichTable(box=SIMPLE_HEAD, pad_edge=False)
        for number, name in enumerate(table.header):
            grid.add_column(Text(name), overflow="fold", justify="left" if number == 0 else "right")
        for row in table.rows:
            grid.add_row(*(Text(cell) for cell in row))
        console.print(grid)
        if table.note:
            console.print(Text(table.note, style="dim"))
