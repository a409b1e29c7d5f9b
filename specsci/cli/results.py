"""`specsci results`: query, import, export and rebuild results.duckdb."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from specsci.cli.claims import claim, retire
from specsci.cli.common import (
    access_option,
    declassify_option,
    emit,
    format_option,
    json_option,
    open_store,
    say_left_out,
    store_option,
    store_path,
)
from specsci.cli.results_import import import_
from specsci.cli.statistics import agreement, contrast, grid


@click.group()
def results() -> None:
    """Query, compare, import, export and rebuild results.duckdb."""


for command in (contrast, grid, agreement, claim, retire, import_):
    results.add_command(command)


@results.command(context_settings={"ignore_unknown_options": True})
@click.argument("query", required=False)
@click.option(
    "--file", "file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Read the query from a file."
)
@store_option
@format_option
def sql(query: str | None, file: Path | None, store_dir: Path | None, format_: str) -> None:
    """Run a SQL query on the results: it reads the tables and nothing else, no file and no network, and writes nothing."""
    if not query and file is None:
        raise click.UsageError("give a QUERY or --file FILE")
    from specsci.database.connection import connect
    from specsci.database.sql import answer, json_value, query_in
    from specsci.report.table import Table
    from specsci.report.terminal import print_tables

    query = query_in(file) if file else query or ""
    with connect(store_path(store_dir)) as db:
        names, rows = answer(db, query)
    if format_ == "json":
        emit([dict(zip(names, map(json_value, row), strict=True)) for row in rows])
        return
    table = Table(f"{len(rows)} rows", names, [["" if v is None else str(v) for v in row] for row in rows])
    print_tables([table], format_, titled=False)


@results.command()
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--study", "study_name", required=True, help="Study whose answers people grade.")
@click.option("--eval", "eval_name", required=True, help="Its judged eval.")
@click.option("--rows", "count", type=click.IntRange(1, 5000), default=60, show_default=True, help="Answers, about as many of every arm.")
@store_option
def sheet(target: Path, study_name: str, eval_name: str, count: int, store_dir: Path | None) -> None:
    """Write a blind sheet of judged answers for people to grade, as CSV.

    It has the question and the answer of each row, and nothing of arm, seed or the judge's grade. Fill in the column `score`,
    and give the file to `specsci results grade`.
    """
    from specsci.results.grades import write_sheet

    written = write_sheet(open_store(store_dir, create=False), study_name, eval_name, count, target)
    click.echo(f"wrote {written:,} answers to {target}; give it back with: specsci results grade {target} --study {study_name} --eval {eval_name} --by NAME")


@results.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--study", "study_name", required=True, help="Study whose answers were graded.")
@click.option("--eval", "eval_name", required=True, help="Its judged eval.")
@click.option("--by", required=True, help="Who graded.")
@store_option
def grade(file: Path, study_name: str, eval_name: str, by: str, store_dir: Path | None) -> None:
    """Take in a filled sheet: people's grades, by which the judge's error is known and contrasts are corrected."""
    from specsci.governance.grades import keep_grades
    from specsci.results.build import build
    from specsci.results.grades import read_filled

    store = open_store(store_dir, create=False)
    found = read_filled(store, file, study_name, eval_name)
    count = keep_grades(store, study_name, eval_name, by, found)
    build(store, study_name)
    click.echo(f"{len(found):,} grades taken in; {by} has graded {count:,} answers of {eval_name}")


@results.command()
@store_option
@json_option
def rebuild(store_dir: Path | None, as_json: bool) -> None:
    """Build results.duckdb anew from the store's rows, checking every score file's digest.

    What is damaged is left out and named; the exit code is 1 then.
    """
    import time

    from specsci.results.build import build, left_out

    store = open_store(store_dir, create=False)
    begin = time.perf_counter()
    path = build(store)
    seconds, missing = time.perf_counter() - begin, left_out(store.root)
    if as_json:
        emit({"database": str(path), "seconds": round(seconds, 3), "left_out": missing})
    else:
        click.echo(f"built {path} in {seconds:.2f} s" + (f", without {len(missing)} damaged parts" if missing else ""))
    say_left_out(missing)
    if missing:
        sys.exit(1)


@results.command()
@click.argument("target", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--study", "study_name", required=True, help="Study to export.")
@store_option
@access_option
@declassify_option
@json_option
def export(
    target: Path, study_name: str, store_dir: Path | None, access: str | None, declassify: str | None, as_json: bool
) -> None:
    """Write a study's tables as Parquet files into the new directory DIR, under its access label."""
    from specsci.results.export import export as write

    path = write(open_store(store_dir, create=False), study_name, target, access=access, declassify=declassify)
    if as_json:
        emit({"directory": str(path), **json.loads((path / "export.json").read_text(encoding="utf-8"))})
    else:
        click.echo(f"wrote {path}")
