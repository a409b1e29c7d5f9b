"""`specsci corpus`: look at the texts that a study generated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from specsci.cli.common import access_option, declassify_option, emit, json_option, open_store, store_option
from specsci.core.kinds import names

if TYPE_CHECKING:
    from specsci.core.record import Record
    from specsci.store.artifact import Store


@click.group()
def corpus() -> None:
    """Look at the texts a study generated, and export them."""


def _records(store_dir: Path | None, kinds: tuple[str, ...], match: str | None) -> tuple[Store, list[Record]]:
    from specsci.core.errors import UserError

    store = open_store(store_dir, create=False)
    records = [r for kind in kinds for r in store.records(kind)]
    chosen = [r for r in records if match is None or match in r.label or r.digest.startswith(match)]
    if not chosen:
        labels = ", ".join(sorted({r.label for r in records})[:6])
        raise UserError(
            f"nothing generated matches '{match}'", hint=f"there are: {labels}" if labels else "run a study first"
        )
    return store, chosen


@corpus.command()
@click.argument("match", required=False)
@store_option
@click.option("--rows", type=click.IntRange(1), default=5, help="Rows to show of each.")
def peek(match: str | None, store_dir: Path | None, rows: int) -> None:
    """Show the first rows of corpora, conversations and pools whose label or digest contains MATCH."""
    from specsci.core.rows import ROWS, read_texts

    store, records = _records(store_dir, names(lambda kind: kind.holds_texts), match)
    for record in records:
        store.verify(record.kind, record.digest, ROWS)
        click.echo(f"{record.label} [{record.digest}]: {record.facts['tokens']:,} tokens")
        for text in read_texts(store.path(record.kind, record.digest))[:rows]:
            click.echo("  " + text.replace("\n", "\n    "))


@corpus.command()
@click.argument("match")
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@store_option
@access_option
@declassify_option
@json_option
def export(
    match: str, target: Path, store_dir: Path | None, access: str | None, declassify: str | None, as_json: bool
) -> None:
    """Write one corpus, set of conversations or pool as FILE.jsonl or FILE.parquet, with a data card beside a corpus.

    MATCH is a part of its label or the beginning of its digest (`specsci corpus peek` lists them). A study reads the file back as
    texts of its own: `corpora: {VARIANT: {files: FILE}}`, `align: FILE`.
    """
    from specsci.core.errors import UserError
    from specsci.report.text_export import export_texts

    store, records = _records(store_dir, names(lambda kind: kind.holds_texts), match)
    if len(records) > 1:
        labels = "; ".join(f"{r.label} [{r.digest[:8]}]" for r in records[:4])
        raise UserError(f"{len(records)} of the store's texts match '{match}'", hint=f"give more of one: {labels}")
    done = export_texts(store, records[0], target, access=access, declassify=declassify)
    if as_json:
        emit({"file": str(done.file), "card": str(done.card) if done.card else None, "rows": done.rows, "access": done.access})
        return
    click.echo(f"wrote {done.rows:,} rows of {records[0].label} to {done.file} ({done.access})")
    if done.card:
        click.echo(f"wrote its card to {done.card}")


@corpus.command()
@click.argument("match", required=False)
@store_option
@json_option
def audit(match: str | None, store_dir: Path | None, as_json: bool) -> None:
    """Show the audits: leaked items, distinct share and tokens of every training text."""
    store, records = _records(store_dir, ("audit",), match)
    reports = {r.label: store.read_json("audit", r.digest, "audit.json") for r in records}
    if as_json:
        emit(reports)
        return
    for label, report in reports.items():
        click.echo(f"{label}: {report['items']} outcome items looked for")
        for role, facts in report["texts"].items():
            shown = f"{facts['tokens']:,} tokens in {facts['rows']:,} rows, {facts['distinct_share']:.1%} distinct"
            click.echo(f"  {role}: {shown}, {facts['leaked_items']} leaked items")
