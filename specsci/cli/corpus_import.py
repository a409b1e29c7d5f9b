"""`specsci corpus import`: texts of a hub's data set or of a file, as a file that a study names."""

from __future__ import annotations

from pathlib import Path

import click

from specsci.cli.common import emit, json_option


@click.command("import")
@click.argument("source")
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--column", "columns", metavar="OLD=NEW", multiple=True, help="Rename a column, such as content=text; several times.")
@click.option("--files", multiple=True, metavar="PATTERN", help="Files of the data set, such as 'data/train-*'; several times [all data].")
@click.option("--config", help="Configuration of the data set, where it has several.")
@click.option("--split", default="train", help="Split of the data set [train].")
@click.option("--limit", type=click.IntRange(1), help="The most rows.")
@click.option("--access", type=click.Choice(["public", "internal", "confidential"]), default="public", help="Who may see the file [public].")
@click.option("--skip-unusable", is_flag=True, help="Leave out rows that are no text or conversation, and count them.")
@json_option
def import_(
    source: str,
    target: Path,
    columns: tuple[str, ...],
    files: tuple[str, ...],
    config: str | None,
    split: str,
    limit: int | None,
    access: str,
    skip_unusable: bool,
    as_json: bool,
) -> None:
    """Import documents or conversations from SOURCE as FILE.jsonl, with a card beside it.

    SOURCE is a data set of a hub, `hub:ORG/NAME@REVISION` (a branch is resolved to its commit, which is recorded), or a JSON Lines or
    Parquet file. Rows have `text`, or `messages` (ShareGPT's form is read too). The access label goes with the file: a study that
    reads it has at least that label.
    """
    from dataclasses import asdict

    from specsci.core.errors import UserError
    from specsci.corpus.importing import Request, import_texts

    renamed = {}
    for column in columns:
        old, equals, new = column.partition("=")
        if not (old and equals and new):
            raise UserError(f"'{column}' renames nothing", hint="write --column OLD=NEW")
        renamed[old] = new
    done = import_texts(Request(source, target, renamed, files, config, split, limit, access, skip_unusable))
    if as_json:
        emit({"file": str(done.file), "card": str(done.card), "what": done.what, "left_out": done.left_out, **asdict(done.origin)})
        return
    click.echo(f"wrote {done.origin.rows:,} {done.what} of {done.origin.source} to {done.file} ({done.origin.access})")
    click.echo(f"wrote its card to {done.card}; licence: {done.origin.licence or 'not told by the source'}")
    for why, count in sorted(done.left_out.items()):
        click.echo(f"left out: {count:,} rows: {why}")
