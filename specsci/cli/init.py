"""`specsci init`: a small study to begin with."""

from __future__ import annotations

from pathlib import Path

import click

from specsci.core.errors import UserError

NAME = "first_study.yaml"


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
def init(folder: Path) -> None:
    """Write a small commented study into DIR; it runs as it is. Nothing that is there is overwritten."""
    from specsci.core.shipped import PACKAGE

    target = folder / NAME
    if target.exists():
        raise UserError(f"{target} is there already", hint="name another folder, or move the file away")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        target.write_text((PACKAGE / "study" / "starter.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{target} cannot be written: {error.strerror or error}", hint="name a folder you may write to"
        ) from error
    click.echo(f"{target}\n  specsci study plan {target}\n  specsci study run {target}")
