"""`specsci doctor`: check this installation and a store."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from specsci.cli.common import open_store, store_option

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes", "duckdb", "pyarrow", "statsmodels")


@click.command()
@store_option
@click.option("--verify", is_flag=True, help="Check every artefact's digests in the store.")
@click.option("--repair", is_flag=True, help="Set corrupt artefacts aside, so that the next run makes them anew.")
def doctor(store_dir: Path | None, verify: bool, repair: bool) -> None:
    """Check this installation; with --verify, every artefact of a store. Exits with 1 if something is corrupt."""
    from specsci.plan.cost import cores

    click.echo(f"python {platform.python_version()} on {platform.platform()}, {cores()} cores")
    for name in PACKAGES:
        try:
            click.echo(f"{name} {version(name)}")
        except PackageNotFoundError:
            click.echo(f"{name}: missing; mend: pip install specsci")
    if not (verify or repair):
        return
    from specsci.store.fsck import check

    store = open_store(store_dir, create=False)
    corrupt = list(check(store, repair=repair))
    for error in corrupt:
        click.echo(str(error), err=True)
    click.echo(f"{len(corrupt)} corrupt artefacts in {store.root}" + (", set aside" if repair and corrupt else ""))
    if corrupt:
        sys.exit(1)
