"""`specsci study slurm`: a batch script for a cluster."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from specsci.cli.common import limit_option, open_store, profile_option, set_option, store_option, workers_option
from specsci.execute.slurm import GRACE_S


@click.command()
@click.argument("name", metavar="STUDY")
@profile_option
@set_option
@limit_option
@store_option
@click.option("--runners", type=click.IntRange(1, 10_000), default=4, show_default=True, help="Tasks of the array; each is a runner.")
@workers_option
@click.option("--sbatch", "options", multiple=True, metavar="--OPTION=VALUE", help="Of sbatch, such as --gres=gpu:1 or --time=12:00:00; several times.")
@click.option("--grace-s", type=click.IntRange(30, 86_400), default=GRACE_S, show_default=True, help="Seconds before the limit to save and requeue.")
@click.option("--out", "target", type=click.Path(path_type=Path, dir_okay=False), help="Write the script there [stdout].")
def slurm(
    name: str,
    profile: str | None,
    overrides: tuple[str, ...],
    limit: int | None,
    store_dir: Path | None,
    runners: int,
    workers: int | None,
    options: tuple[str, ...],
    grace_s: int,
    target: Path | None,
) -> None:
    """Write an sbatch script: an array of runners that claim STUDY's steps from one store.

    Store, Python and study must be seen by every node under the same path. Tasks save their training stage before the time limit
    and queue again; a task that is killed loses nothing but what it was on.
    """
    from specsci.cli.study import plan_of
    from specsci.core.files import write_text
    from specsci.execute.slurm import Batch, slurm_script
    from specsci.plan.gates import refuse_if_needed

    plan = plan_of(name, profile, overrides, limit)
    refuse_if_needed(plan)
    store = open_store(store_dir)
    (store.root / "slurm").mkdir(exist_ok=True)
    study = str(Path(name).resolve()) if Path(name).is_file() else name
    arguments = [study, *(("--profile", profile) if profile else ()), *(part for one in overrides for part in ("--set", one))]
    arguments += ["--limit", str(limit)] if limit else []
    arguments += ["--workers", str(workers)] if workers else []
    script = slurm_script(plan.loaded.name, arguments, store.root, Batch(runners, grace_s, options))
    if target is None:
        click.echo(script, nl=False)
        return
    write_text(target, script)
    target.chmod(0o755)
    click.echo(f"wrote {target}; submit it with: sbatch {shlex.quote(str(target))}; then: specsci study status {name} --store {store.root}", err=True)
