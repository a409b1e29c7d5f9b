"""`specsci corpus review`: people read what a model will learn, without knowing which variant it is of."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from specsci.cli.common import emit, json_option, store_option

if TYPE_CHECKING:
    from specsci.core.record import Record
    from specsci.store.artifact import Store
    from specsci.store.reviews import Drawn


@click.command()
@click.argument("match")
@store_option
@json_option
@click.option("--rows", type=click.IntRange(1), default=40, help="Rows of each text set, the same for every clause [40].")
@click.option("--seed", type=click.IntRange(0), default=0, help="Another draw of rows [0].")
@click.option("--reviewer", help="Who reviews [your login name].")
@click.option("--out", "sheet", type=click.Path(path_type=Path, dir_okay=False), help="Write a blind sheet as CSV, to be filled in.")
@click.option("--in", "filled", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Read a sheet that was filled in.")
@click.option("--status", is_flag=True, help="Say what the reviews come to, and ask nothing.")
def review(
    match: str,
    store_dir: Path | None,
    as_json: bool,
    rows: int,
    seed: int,
    reviewer: str | None,
    sheet: Path | None,
    filled: Path | None,
    status: bool,
) -> None:
    """Review rows of all text sets whose label or digest contains MATCH: here on the terminal, or by a CSV sheet.

    Rows come mixed, without their variant. Every verdict is kept at once: stop when you like, and go on with the same command.
    A study asks for reviews by `gates.require_review`.
    """
    from specsci.cli.corpus import matching
    from specsci.store.reviews import add, draw, read_sheet, write_sheet

    store, records = matching(store_dir, match)
    drawn = draw(store, [(r.kind, r.digest) for r in records], rows, seed)
    who = reviewer or getpass.getuser()
    if sheet is not None:
        write_sheet(sheet, drawn)
        click.echo(f"wrote {len(drawn):,} rows of {len(records)} text sets to {sheet}: fill in verdict (good or bad) and reason", err=True)
    elif filled is not None:
        written = add(store, read_sheet(filled, drawn, who))
        click.echo(f"{written:,} verdicts of {who} were added", err=True)
    elif not status:
        _ask(store, drawn, who)
    _tell(store, records, as_json)


def _ask(store: Store, drawn: list[Drawn], who: str) -> None:
    """Show row after row, and keep each verdict."""
    from specsci.core.terminal_text import visible
    from specsci.store.reviews import add, given, reviews

    done = {(r.artefact, r.row) for digest in {d.artefact for d in drawn} for r in reviews(store, digest) if r.reviewer == who}
    left = [row for row in drawn if (row.artefact, row.row) not in done]
    for number, row in enumerate(left, 1):
        click.echo(f"\n--- {number} of {len(left)} ---\n{visible(row.text)}\n")
        answer = click.prompt("good, bad, or stop", type=click.Choice(["good", "bad", "stop", "g", "b", "s"]), show_choices=False)
        if answer.startswith("s"):
            return
        reason = click.prompt("why", default="", show_default=False) if answer.startswith("b") else ""
        add(store, [given(row, who, "good" if answer.startswith("g") else "bad", reason)])


def _tell(store: Store, records: list[Record], as_json: bool) -> None:
    from specsci.corpus.review import reviewed

    found = [(record, reviewed(store, record.digest)) for record in records]
    if as_json:
        emit([{"label": record.label, **review.as_dict()} for record, review in found])
        return
    for record, review in found:
        if not review.rows:
            click.echo(f"{record.label} [{record.digest[:8]}]: no row was reviewed")
            continue
        said = f"{review.good} of {review.rows} rows good [{review.low:.2f}, {review.high:.2f}], by {', '.join(review.reviewers)}"
        both = f"; reviewers agree on {review.agreement:.0%}" if review.agreement is not None else ""
        kappa = f" (kappa {review.kappa:.2f})" if review.kappa is not None else ""
        click.echo(f"{record.label} [{record.digest[:8]}]: {said}{both}{kappa}")
