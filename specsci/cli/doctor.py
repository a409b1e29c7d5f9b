"""`specsci doctor`: check this installation and a store."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from specsci.cli.common import address_option, emit, json_option, open_store, store_option, store_path

if TYPE_CHECKING:
    from specsci.execute.findings import Check

HARMLESS = ("left behind", "rights")
"""Troubles that no result rests on."""


@click.command()
@store_option
@json_option
@click.option(
    "--verify", is_flag=True, help="Check every file of the store: artefacts, manifests, claims, locks, imports, results."
)
@click.option(
    "--repair", is_flag=True, help="Quarantine what is damaged, remove what killed processes left, rebuild the results."
)
@click.option("--executor", type=click.Choice(["ray"]), help="Check every machine of a Ray cluster too: versions, store, clock.")
@address_option
def doctor(store_dir: Path | None, as_json: bool, verify: bool, repair: bool, executor: str | None, address: str) -> None:
    """Check this machine and what a store's disk can do; with --verify, every artefact. Exits with 1 if something is broken."""
    from itertools import chain

    from specsci.execute.doctor import checks
    from specsci.execute.logs import quiet_libraries

    quiet_libraries()
    found = []
    for check in chain(checks(store_path(store_dir)), _machines(store_dir, executor, address)):
        found.append(check)
        if not as_json:
            click.echo(f"{check.level:5} {check.name}: {check.text}" + (f"\n      hint: {check.hint}" if check.hint else ""))
    corrupt = _corrupt(store_dir, repair, as_json) if verify or repair else []
    troubles = _troubles(store_dir, repair, as_json) if verify or repair else []
    if as_json:
        emit({"checks": [asdict(c) for c in found], "corrupt": corrupt, "troubles": troubles})
    if corrupt or any(t["kind"] not in HARMLESS for t in troubles) or any(c.level == "error" for c in found):
        sys.exit(1)


def _machines(store_dir: Path | None, executor: str | None, address: str) -> Iterator[Check]:
    """What every machine of a cluster says of itself; nothing where no cluster is asked about."""
    if executor is None:
        return
    from specsci.execute.pools.ray.doctor import cluster_checks

    yield from cluster_checks(open_store(store_dir).root, address)


def _corrupt(store_dir: Path | None, repair: bool, as_json: bool) -> list[str]:
    """The corrupt artefacts of a store, said on stderr."""
    from specsci.store.fsck import check

    store = open_store(store_dir, create=False)
    corrupt = [str(error) for error in check(store, repair=repair)]
    for text in corrupt:
        click.echo(text, err=True)
    if not as_json:
        moved = ", quarantined" if repair and corrupt else ""
        click.echo(f"{len(corrupt)} corrupt artefacts in {store.root}{moved}")
    return corrupt


def _troubles(store_dir: Path | None, repair: bool, as_json: bool) -> list[dict[str, Any]]:
    """What is wrong beside artefacts, said on stderr."""
    from specsci.results.health import examine

    store = open_store(store_dir, create=False)
    found = list(examine(store, repair=repair))
    for trouble in found:
        done = f"repaired: {trouble.repaired}" if trouble.repaired else f"hint: {trouble.hint}"
        click.echo(f"{trouble.kind} {trouble.place}: {trouble.what}\n  {done}", err=True)
    if not as_json and not found:
        click.echo("manifests, claims, locks, imports and results are whole")
    return [t.as_dict() for t in found]
