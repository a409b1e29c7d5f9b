"""Run every SQL file of analysis/sql on a store with plain DuckDB, and keep each answer as a CSV file.

python analysis/03_queries.py --store .specsci --out answers
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import duckdb

SQL = Path(__file__).parent / "sql"


@click.command(help=__doc__)
@click.option("--store", type=click.Path(path_type=Path), default=Path(".specsci"), show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("answers"), show_default=True)
def main(store: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    database = store / "results.duckdb"
    if not database.is_file():
        sys.exit(f"no results in {store}\n  hint: run a study first, or `specsci results rebuild`")
    with duckdb.connect(str(database), read_only=True) as db:
        for file in sorted(SQL.glob("*.sql")):
            answer = db.sql(file.read_text(encoding="utf-8"))
            answer.write_csv(str(out / f"{file.stem}.csv"))
            click.echo(f"{file.stem}: {len(answer)} rows")


if __name__ == "__main__":
    main()
