"""`specsci microlab`: the embedded toy world and its base models."""

from __future__ import annotations

import os
from pathlib import Path

import click

from specsci.cli.common import emit, json_option


@click.group()
def microlab() -> None:
    """The embedded toy world and its base models."""


@microlab.command("list")
@json_option
def list_bases(as_json: bool) -> None:
    """List the shipped bases with their training records and competence figures."""
    from specsci.microlab.source import registry

    bases = registry()["bases"]
    if as_json:
        emit(bases)
        return
    for name, record in bases.items():
        competence = ", ".join(f"{k} {v:.3f}" for k, v in record["competence"].items())
        click.echo(f"{name}: {record['parameters']:,} parameters, {record['updates']:,} updates; {competence}")


@microlab.command()
@click.argument("world", type=click.Choice(["conduct", "cheese"]))
@click.argument("seeds", type=click.IntRange(0), nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Write here and leave the registry alone.")
@click.option("--unique-tokens", type=click.IntRange(1_000), help="Read less than a shipped base does (for a try).")
@click.option("--threads", type=click.IntRange(1), default=1, help="Threads; the shipped bases were made with one.")
def pretrain(world: str, seeds: tuple[int, ...], out: Path | None, unique_tokens: int | None, threads: int) -> None:
    """Pretrain the bases of SEEDS from nothing: about ten minutes each on one core.

    A base depends on its world, its seed and the machine's arithmetic alone. Without --out it joins the
    shipped bases and their registry.
    """
    from specsci.execute.devices import worker_environment
    from specsci.execute.logs import quiet_libraries

    os.environ.update(worker_environment(threads))
    quiet_libraries()
    import torch

    from specsci.microlab.base import BASES, register
    from specsci.microlab.competence import competence_of
    from specsci.microlab.pretrain import pretrain as run

    torch.set_num_threads(threads)
    for seed in seeds:
        with click.progressbar(length=1000, label=f"{world}/{seed}") as bar:
            shown = [0]

            def report(done: int, total: int, shown: list[int] = shown, bar: object = bar) -> None:
                share = 1000 * done // total
                bar.update(share - shown[0])  # type: ignore[attr-defined]
                shown[0] = share

            record = run(world, seed, out or BASES, unique_tokens=unique_tokens, progress=report)
        competence = competence_of(world, seed, (out or BASES) / f"{world}-{seed}.safetensors")
        if out is None:
            register(record, competence)
        click.echo(f"{world}/{seed}: {record.updates} updates, final loss {record.final_loss}, {competence}")
