"""`specsci results`: query, export and rebuild results.duckdb."""

from __future__ import annotations

import json
from pathlib import Path

import click

from specsci.cli.common import emit, format_option, json_option, open_store, store_option, store_path

METHODS = ("auto", "paired_t", "cluster_t", "bootstrap", "two_proportion", "exact", "mcnemar", "linear", "mixed", "gee")


@click.group()
def results() -> None:
    """Query, export and rebuild results.duckdb."""


@results.command(context_settings={"ignore_unknown_options": True})
@click.argument("query", required=False)
@click.option(
    "--file", "file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Read the query from a file."
)
@store_option
@format_option
def sql(query: str | None, file: Path | None, store_dir: Path | None, format_: str) -> None:
    """Run a SQL query on the results, read-only."""
    query = file.read_text(encoding="utf-8") if file else query
    if not query:
        raise click.UsageError("give a QUERY or --file FILE")
    import duckdb

    from specsci.errors import UserError
    from specsci.report.tables import Table
    from specsci.report.terminal import print_tables
    from specsci.results.open import connect

    with connect(store_path(store_dir)) as db:
        try:
            cursor = db.execute(query)
            names = [d[0] for d in cursor.description or []]
            rows = cursor.fetchall()
        except duckdb.Error as error:
            raise UserError(
                f"the query failed: {error}", mend='`specsci results sql "SHOW TABLES"` lists the tables'
            ) from error
    if format_ == "json":
        emit([dict(zip(names, row, strict=True)) for row in rows])
        return
    table = Table(f"{len(rows)} rows", names, [["" if v is None else str(v) for v in row] for row in rows])
    print_tables([table], format_, titled=False)


@results.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--study", required=True, help="Name that the results get in the database.")
@click.option("--title", default="", help="Title of the study in tables.")
@click.option("--replace", is_flag=True, help="Replace an import of this name from another file.")
@store_option
@json_option
def import_(file: Path, study: str, title: str, replace: bool, store_dir: Path | None, as_json: bool) -> None:
    """Take results made elsewhere into the database, from a CSV or Parquet FILE.

    \b
    One row per arm, seed and eval, or one per answer:
      arm, seed, eval, aligned, decided, asked     always
      item_id, cluster_id, state                   for single answers
      base_model, msm_spec, aft_spec, aft_tokens   where they differ
    """
    from specsci.results.build import build
    from specsci.results.imports import import_file

    store = open_store(store_dir)
    done = import_file(store, file, study, title=title, replace=replace)
    path = build(store)
    if as_json:
        emit({**done.__dict__, "database": str(path)})
    else:
        click.echo(
            f"imported {done.rows:,} rows ({done.answers:,} answers in {done.cells:,} cells) as '{study}' into {path}"
        )


@results.command()
@click.option("--study", "study", required=True, help="Study, run or imported.")
@click.option("--eval", "eval_name", required=True, help="Eval that the rates are of.")
@click.option("--weights", required=True, metavar="A=1,B=-1", help="A weight for each arm; any number of arms.")
@click.option("--budget", "budget", type=click.IntRange(0), help="AFT tokens at which arms that have several are read.")
@click.option("--scale", type=click.Choice(["rate", "logit", "arcsine"]), default="rate", show_default=True)
@click.option("--denominator", type=click.Choice(["decided", "asked"]), default="decided", show_default=True)
@click.option("--method", type=click.Choice(METHODS), default="auto", show_default=True, help="How it is estimated.")
@store_option
@format_option
def contrast(
    study: str, eval_name: str, weights: str, budget: int | None, scale: str, denominator: str, method: str,
    store_dir: Path | None, format_: str,
) -> None:  # fmt: skip
    """A contrast of your own: a weighted sum of arms' aligned rates, with interval, test and flags.

    \b
    auto         replicates where there are two or more, else clusters of items, else counts
    paired_t     t over replicates (base models, or seeds), arms paired within them
    cluster_t    t over clusters of items
    bootstrap    replicates, clusters and items resampled
    two_proportion, exact, linear      from counts: z with pooled variance, Fisher, Wald on a scale
    mcnemar      two arms on the same items, one answer each
    mixed, gee   logistic models of single answers (--scale logit)
    """
    from specsci.report.tables import Table
    from specsci.report.terminal import print_tables
    from specsci.results.open import connect
    from specsci.results.query import Asked, parse_weights
    from specsci.results.query import contrast as answer

    asked = Asked(study, eval_name, parse_weights(weights), budget, scale, denominator, method)  # type: ignore[arg-type]
    with connect(store_path(store_dir)) as db:
        found = answer(db, asked)
    if format_ == "json":
        emit(found)
        return
    keys = ("estimate", "se", "statistic", "p", "ci_low", "ci_high", "n", "method", "flags")
    cells = [("–" if found[k] is None else f"{found[k]:.4g}" if isinstance(found[k], float) else found[k]) for k in keys]
    row = [("; ".join(c) or "–") if isinstance(c, list) else str(c) for c in cells]
    table = Table(f"{study}, {eval_name}: {weights}", list(keys), [row])
    table.note = "; ".join(
        f"{a}: {c['aligned']:,} of {c['decided']:,} decided, {c['asked']:,} asked" for a, c in found["counts"].items()
    )
    print_tables([table], format_, titled=False)


@results.command()
@store_option
@json_option
def rebuild(store_dir: Path | None, as_json: bool) -> None:
    """Build results.duckdb anew from the store's rows, checking every score file's digest."""
    import time

    from specsci.results.build import build

    store = open_store(store_dir, create=False)
    begin = time.perf_counter()
    path = build(store)
    seconds = time.perf_counter() - begin
    if as_json:
        emit({"database": str(path), "seconds": round(seconds, 3)})
    else:
        click.echo(f"built {path} in {seconds:.2f} s")


@results.command()
@click.argument("target", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--study", "study_name", required=True, help="Study to export.")
@store_option
@click.option(
    "--access", type=click.Choice(["public", "internal", "confidential"]), help="Label of what leaves [that of the study]."
)
@click.option("--declassify", metavar="REASON", help="Why the label may be lowered; it is recorded.")
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
