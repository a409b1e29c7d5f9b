"""`specsci store`: what takes space, what may go, taking a study out, bringing stores together."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from specsci.cli.common import emit, json_option, open_store, store_option

if TYPE_CHECKING:
    from specsci.store.artifact import Store
    from specsci.upkeep.sweep import Keep, Removal

UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
MOST_LINES = 20


@click.group()
def store() -> None:
    """Look after a store: its space, what may go, and bringing two together."""


def _age(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float:
    if value is None:
        return 0.0
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h|d|w)", value.strip())
    if found is None:
        raise click.BadParameter(f"'{value}' is no age; write 30d, 12h, 2w")
    return float(found[1]) * UNITS[found[2]]


older_option = click.option("--older-than", "older_than_s", callback=_age, metavar="AGE", help="Only what was made longer ago: 30d, 12h, 2w.")
yes_option = click.option("--yes", is_flag=True, help="Do it; without, what would go is only shown.")
force_option = click.option("--force", is_flag=True, help="Also what a study names, or a runner may be at work with.")


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**27 else f"{count / 2**20:.1f} MiB"


@store.command()
@store_option
@older_option
@json_option
def du(store_dir: Path | None, older_than_s: float, as_json: bool) -> None:
    """Show the space that artefacts take, by kind and by study."""
    from dataclasses import asdict

    from specsci.report.table import Table
    from specsci.report.terminal import show
    from specsci.upkeep.usage import usage

    found = usage(open_store(store_dir, create=False), older_than_s)
    if as_json:
        emit(asdict(found))
        return
    kinds = Table("Space by kind of step", ["kind", "artefacts", "size"], [[k.name, f"{k.artefacts:,}", _gib(k.bytes)] for k in found.kinds])
    studies = Table(
        "Space by study (studies share artefacts)",
        ["study", "artefacts", "size", "of it named by no other"],
        [[s.name or "named by no study", f"{s.artefacts:,}", _gib(s.bytes), _gib(s.alone_bytes or 0)] for s in found.studies],
    )
    beside = Table("Beside artefacts", ["what", "size"], [[b.name, _gib(b.bytes)] for b in found.beside])
    show([f"{_gib(found.total_bytes)} in all"], [kinds, studies, beside])


@store.command()
@store_option
@older_option
@click.option("--kind", "kinds", multiple=True, help="Only artefacts of this kind of step; several times.")
@click.option("--keep-models", type=click.Choice(["none", "last", "all"]), default="all", show_default=True,
              help="Weights that stay where all scores of their studies are there; `last`: those of each arm's largest budget.")  # fmt: skip
@yes_option
@force_option
@json_option
def gc(store_dir: Path | None, older_than_s: float, kinds: tuple[str, ...], keep_models: Keep, yes: bool, force: bool, as_json: bool) -> None:
    """Remove what no study names, what killed runners left, and with --keep-models weights that were scored.

    Weights that are removed are trained anew when a step needs them again; all scores and curves stay.
    """
    from specsci.core.kinds import KINDS
    from specsci.upkeep.sweep import refuse_running, sweep

    for kind in kinds:
        KINDS[kind]  # a wrong name is told before anything is looked at
    place = open_store(store_dir, create=False)
    if yes:
        refuse_running(place, force=force)
    _finish(place, sweep(place, older_than_s=older_than_s, kinds=kinds, keep_models=keep_models), yes, as_json)


@store.command()
@click.argument("digests", metavar="[DIGEST]...", nargs=-1)
@click.option("--study", "study_name", help="Take out this study: its manifest, and the artefacts that no other study names.")
@store_option
@yes_option
@force_option
@json_option
def rm(digests: tuple[str, ...], study_name: str | None, store_dir: Path | None, yes: bool, force: bool, as_json: bool) -> None:
    """Remove a study, or single artefacts by their digests. Locks and claims of a study stay: they are what people wrote."""
    from specsci.core.errors import UserError
    from specsci.upkeep.sweep import without_steps, without_study

    if bool(digests) == bool(study_name):
        raise UserError("say what is to go", hint="give --study NAME, or digests")
    place = open_store(store_dir, create=False)
    found = without_study(place, study_name, force=force) if study_name else without_steps(place, digests, force=force)
    _finish(place, found, yes, as_json)


@store.command()
@click.argument("other", type=click.Path(path_type=Path, exists=True, file_okay=False))
@store_option
@json_option
def merge(other: Path, store_dir: Path | None, as_json: bool) -> None:
    """Copy what the store OTHER has and this one lacks: artefacts by digest, studies, locks, claims, imports, reviews."""
    import sys
    from dataclasses import asdict

    from specsci.upkeep.merge import merge as bring

    place = open_store(store_dir)
    done = bring(place, open_store(other, create=False))
    _rebuild(place)
    if as_json:
        emit(asdict(done))
    else:
        click.echo(f"{done.copied:,} artefacts copied ({_gib(done.bytes)}), {done.there:,} were here; {len(done.files)} files beside them")
        for text in done.damaged:
            click.echo(f"damaged there, not copied: {text}", err=True)
        for name in done.conflicts:
            click.echo(f"{name}: this store has another one of that name, which stays", err=True)
    sys.exit(1 if done.damaged or done.conflicts else 0)


def _finish(place: Store, found: list[Removal], yes: bool, as_json: bool) -> None:
    """Show what would go, or remove it and bring the results up to date."""
    from specsci.upkeep.sweep import carry_out

    total = sum(one.bytes for one in found)
    if as_json:
        rows: list[dict[str, Any]] = [{"what": r.what, "why": r.why, "bytes": r.bytes, "place": str(r.place)} for r in found]
        emit({"removed": yes, "bytes": total, "removals": rows})
    else:
        for one in found[:MOST_LINES]:
            click.echo(f"{_gib(one.bytes):>10}  {one.what}: {one.why}")
        if len(found) > MOST_LINES:
            click.echo(f"... and {len(found) - MOST_LINES:,} more")
    if yes:
        carry_out(found, place)
        _rebuild(place)
    if not as_json:
        click.echo(f"{len(found):,} removed, {_gib(total)} free now" if yes else f"{len(found):,} would go, {_gib(total)}; add --yes to do it" if found else "nothing to remove")


def _rebuild(place: Store) -> None:
    """Bring results.duckdb up to date, where there is one or there are studies to show."""
    from specsci.database.manifest import manifests
    from specsci.database.stamp import DATABASE, is_current
    from specsci.results.build import build

    if manifests(place):
        if not is_current(place):
            build(place)
    else:
        (place.root / DATABASE).unlink(missing_ok=True)
