"""`specsci corpus`: look at the texts that a study generated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from specsci.cli.common import emit, json_option, open_store, store_option
from specsci.core.kinds import names

if TYPE_CHECKING:
    from specsci.core.record import Record
    from specsci.store.artifact import Store


@click.group()
def corpus() -> None:
    """Look at the texts a study generated."""


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
